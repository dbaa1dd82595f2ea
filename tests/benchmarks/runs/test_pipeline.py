import json
from types import SimpleNamespace
from typing import Any

from benchmarks.runs import pipeline


def test_training_and_evaluation_are_not_counted(tmp_path):
    training = {
        "phases": {
            # 4 s of features and 2 s of the first epoch, then 1 s.
            "head": {"curves": [{"seconds": 2.0}, {"seconds": 1.0}], "feature_cache": {"first_epoch_s": 6.0}},
            "fine_tune": {"curves": [{"seconds": 10.0}]},
        }
    }
    (tmp_path / "training.json").write_text(json.dumps(training))
    model_run = SimpleNamespace(uri=str(tmp_path))
    nodes: dict[str, Any] = {
        "ImportExampleGen": SimpleNamespace(seconds=3.0),
        "AnomalyGate": SimpleNamespace(seconds=0.5),
        "Trainer": SimpleNamespace(seconds=40.0, outputs={"model_run": model_run}),
        "Evaluator": SimpleNamespace(seconds=20.0),
        "Evaluator.tflite": SimpleNamespace(seconds=5.0),
        "Pusher": SimpleNamespace(seconds=1.0),
    }
    seconds = pipeline._subtract_model(100.0, nodes)
    assert seconds.nodes == 3.0 + 40.0 + 1.0 - 17.0
    assert seconds.process == 100.0 - 17.0 - 25.0

"""The built-in photographs: pretrained weights are really loaded, and tuning mends a poor learning rate."""

import io
import json
import re
import signal
from pathlib import Path

import numpy as np
import pytest
from ml_metadata.metadata_store import MetadataStore
from ml_metadata.proto import metadata_store_pb2 as mlmd
from PIL import Image

from atelier import layout, tfrecord
from tests.deferred import deferred_imports
from tests.e2e import forked
from tests.e2e.conftest import FLOAT_ONLY, ROOT, Run, run_pipeline

with deferred_imports():
    from sklearn.linear_model import LogisticRegression
    from tfx.orchestration import metadata

    from tests.e2e import golden_images, one_answer

pytestmark = pytest.mark.slow

CONFIG = ROOT / "configs" / "photos.yaml"
QUICK = ("--set", "trainer.mixed_precision=float32")
"""One run measures which format is the fastest; the others need not."""
POOR = (*QUICK, "--set", "trainer.head_learning_rate=1.0e-6")
SEARCH = ("--set", "tuner.enabled=true", "--set", "tuner.max_minutes=60", "--set", "tuner.max_trials=8")
NEAR_ENOUGH = ("--set", "evaluator.max_accuracy_drop=0.05")
"""Eight short trials need not reach the default rate's accuracy to the last point: the baseline is that run's.

On one machine the runs repeat exactly: the number of trials ends the search and not its time, and each trial draws the
random numbers of its seed, killed before or not. Between machines accuracy may differ by a few images of 288."""
TUNED = (*POOR, *SEARCH, *NEAR_ENOUGH, *FLOAT_ONLY)


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("photos") / "output"


@pytest.fixture(scope="module")
def pretrained(output: Path) -> Run:
    return run_pipeline(output, "--config", CONFIG)


@pytest.fixture(scope="module")
def poor(output: Path, pretrained: Run) -> Run:
    """With a learning rate a thousandth of the default."""
    return run_pipeline(output, "--config", CONFIG, *POOR)


@pytest.fixture(scope="module")
def killed(output: Path, poor: Run) -> list[str]:
    """The trials that a search had finished when it was killed."""
    with forked.start("run", "--output", output, "--config", CONFIG, *TUNED) as run:
        finished: list[str] = []
        for line in run.follow_stderr():
            finished += _list_trials(line)
            if len(finished) == 3:
                run.process.kill()
                break
    assert run.process.exitcode == -signal.SIGKILL
    return finished


@pytest.fixture(scope="module")
def tuned(output: Path, killed: list[str]) -> Run:
    """The next run, which goes on with the search."""
    return run_pipeline(output, "--config", CONFIG, *TUNED)


def _list_trials(text: str) -> list[str]:
    return re.findall(r"trial (\d+): eval accuracy", text)


def test_pretrained_weights_make_the_difference(output: Path, pretrained: Run) -> None:
    assert pretrained.code == 0, pretrained.stderr
    accuracy = pretrained.result["metrics"]["accuracy"]
    assert accuracy >= 0.85
    choice = pretrained.result["training"]["precision_choice"]
    assert choice["reason"]
    assert set(choice["step_ms"]) in (set(), {"float32", "mixed_bfloat16"}, {"float32", "mixed_float16"})
    random = run_pipeline(output, "--config", CONFIG, *QUICK, "--set", "trainer.weights=none")
    assert random.code == 1
    assert random.result["nodes"]["Transform"] == "cached"
    assert random.result["metrics"]["accuracy"] <= accuracy - 0.4


TABLE = ROOT / "docs" / "explanation" / "one-image.md"
BOUNDS = {"Keras": 0, "SavedModel": 1e-4, "gRPC": 1e-4, "TFLite": 0.05, "MediaPipe": 0.05, "browser": 0.05}
"""How far the probability of the best class may be from Keras'; the pushed TFLite file is INT8 or dynamic range."""
NEAR = 0.02
"""The same between those that run the TFLite file: profiles and CMYK differ by a few levels in browsers."""


def test_ten_images_get_one_answer_everywhere(pretrained: Run, mediapipe: Path, tmp_path: Path) -> None:
    saved_model, tflite = (pretrained.output / pretrained.result["pushed"][key] for key in ("saved_model", "tflite"))
    trained = (pretrained.output / "pipeline_root" / "Trainer" / "model").glob("*/model.keras")
    keras_file = min(trained, key=lambda file: int(file.parent.name))  # later runs may be there already
    pushed = one_answer.Pushed(pretrained.output, keras_file, saved_model, tflite)
    special = golden_images.write(tmp_path)
    files = list(special)
    (tmp_path / "sized").mkdir()
    answers = {
        "Keras": one_answer.predict_with_keras(pushed, files),
        "SavedModel": one_answer.predict_with_saved_model(pushed, files),
        "gRPC": one_answer.predict_over_grpc(pushed, files, tmp_path / "served"),
        "TFLite": one_answer.predict_with_tflite(pushed, files),
        "MediaPipe": one_answer.predict_with_mediapipe(pushed, files, mediapipe, tmp_path / "sized"),
        "browser": one_answer.predict_in_browser(pushed, files),
    }
    probabilities = {way: np.array([probability for _, probability in found]) for way, found in answers.items()}
    for way, found in answers.items():
        assert [label for label, _ in found] == [file.stem for file in files], way
    for way, bound in BOUNDS.items():
        np.testing.assert_allclose(probabilities[way], probabilities["Keras"], atol=bound, err_msg=way)
    np.testing.assert_allclose(probabilities["MediaPipe"], probabilities["TFLite"], atol=1e-6)
    np.testing.assert_allclose(probabilities["browser"], probabilities["TFLite"], atol=NEAR)
    table = one_answer.format_table(special, answers, BOUNDS)
    assert table in TABLE.read_text(encoding="utf-8"), f"{TABLE}: the table is now\n{table}"


def test_a_linear_model_of_thumbnails_is_no_match(pretrained: Run) -> None:
    """What needs no network is not worth one: a logistic regression of 4 x 4 pixels on the same splits."""
    splits = {split: _load_thumbnails(pretrained.output / "data" / split) for split in ("train", "test")}
    linear = LogisticRegression(max_iter=500).fit(*splits["train"])
    images, labels = splits["test"]
    assert pretrained.result["metrics"]["example_count"] == len(labels)
    assert 2 / 12 < linear.score(images, labels) < pretrained.result["metrics"]["accuracy"] - 0.2


def _load_thumbnails(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Pixels [N, 48] of 0..1 and class ids [N] of all records in a split's folder."""
    images, labels = [], []
    for record in (record for file in sorted(folder.iterdir()) for record in tfrecord.read_file(file)):
        with Image.open(io.BytesIO(tfrecord.read_first_bytes(record, layout.ENCODED_IMAGE) or b"")) as image:
            small = image.convert("RGB").resize((4, 4), Image.Resampling.BOX)
        images.append(np.asarray(small).ravel() / 255)
        labels.append(tfrecord.parse(record).features.feature[layout.CLASS_ID].int64_list.value[0])
    return np.array(images), np.array(labels)


def test_tuning_raises_the_accuracy_that_a_poor_rate_leaves(poor: Run, tuned: Run) -> None:
    assert poor.code == 1  # its gate refuses it
    assert tuned.code == 0, tuned.stderr
    assert tuned.result["metrics"]["accuracy"] >= poor.result["metrics"]["accuracy"] + 0.03
    (state,) = (tuned.output / "training_state").glob("search-*/trials/oracle.json")
    assert json.loads(state.read_text())["seconds_spent"] < 3600


def test_a_resumed_search_repeats_no_finished_trial(killed: list[str], tuned: Run) -> None:
    later = _list_trials(tuned.stderr)
    # The third may have been killed between its line in the log and its record.
    assert set(later) & set(killed) <= {killed[2]}
    assert sorted({*killed, *later}) == [str(number) for number in range(8)]
    trials = tuned.result["tuner"]
    assert sorted(trial["trial"] for trial in trials) == [str(number) for number in range(8)]
    page = (tuned.output / "report.html").read_text(encoding="utf-8")
    assert "8 trials by hyperband search" in page


def test_the_tuned_values_reach_the_pushed_model_as_mlmd_tells(tuned: Run) -> None:
    store = MetadataStore(metadata.sqlite_metadata_connection_config(str(tuned.output / "metadata.db")))
    pushed = tuned.output / tuned.result["pushed"]["saved_model"]
    (artifact,) = [
        each
        for each in store.get_artifacts_by_type("PushedModel")
        if each.custom_properties["pushed_destination"].string_value == str(pushed)
    ]
    pusher = _find_execution(store, artifact.id, mlmd.Event.OUTPUT)
    trainer = _find_execution(store, _find_input(store, pusher, "model").id, mlmd.Event.OUTPUT)
    best = json.loads(Path(_find_input(store, trainer, "hyperparameters").uri, "best_hyperparameters.txt").read_text())
    chosen = {key: value for key, value in best["values"].items() if not key.startswith("tuner/")}
    assert set(chosen) == {"head_learning_rate", "dropout", "label_smoothing"}
    assert chosen["head_learning_rate"] > 1e-5
    assert chosen == tuned.result["tuner"][0]["values"] == tuned.result["training"]["hyperparameters"]
    provenance = json.loads((pushed / "assets.extra" / "provenance.json").read_text())
    assert json.loads(provenance["hyperparameters"]) == chosen


def _find_execution(store: MetadataStore, artifact: int, kind: int) -> int:
    """The execution that an artifact comes from."""
    (execution,) = {event.execution_id for event in store.get_events_by_artifact_ids([artifact]) if event.type == kind}
    return execution


def _find_input(store: MetadataStore, execution: int, key: str) -> mlmd.Artifact:
    (artifact,) = [
        event.artifact_id
        for event in store.get_events_by_execution_ids([execution])
        if event.type == mlmd.Event.INPUT and event.path.steps[0].key == key
    ]
    return store.get_artifacts_by_id([artifact])[0]

"""What a run has come to: its nodes from MLMD, its gates in words, its metrics against NumPy."""

import json
from pathlib import Path

import numpy as np
import pytest
from google.protobuf import text_format
from ml_metadata import metadata_store
from ml_metadata.proto import metadata_store_pb2 as mlmd

from pipeline.config import config
from tests.deferred import deferred_imports
from tests.pipeline import predictions
from trainer.settings import Augmentation

with deferred_imports():
    from tensorflow_model_analysis.proto import metrics_for_slice_pb2, validation_result_pb2
    from tfx.orchestration import metadata
    from tfx.types import standard_artifacts

    from pipeline.results import evaluations, results, run_artifacts
    from pipeline.results.nodes import Node, read_last_run

CONFIG = config.Config(
    name="pets",
    image=config.Image(size=32),
    augmentation=Augmentation(copies=2),
    evaluator=config.Evaluator(min_accuracy=0.9, max_accuracy_drop=0.01),
)


def artifact(kind, folder, **properties):
    made = kind()
    made.uri = str(folder)
    for key, value in properties.items():
        made.set_string_custom_property(key, value)
    return made


def collect(nodes, output=Path("/output"), **arguments):
    return results.collect(CONFIG, output, nodes, **({"ingest": {}, "failure": "", "warnings": ()} | arguments))


# ---- last_run


class Database:
    """An MLMD database such as LocalDagRunner leaves."""

    def __init__(self, file):
        self.connection = metadata.sqlite_metadata_connection_config(str(file))
        self.store = metadata_store.MetadataStore(self.connection)
        self.node_type = self.store.put_context_type(mlmd.ContextType(name="node"))
        self.run_type = self.store.put_context_type(mlmd.ContextType(name="pipeline_run"))
        self.pipeline_type = self.store.put_context_type(mlmd.ContextType(name="pipeline"))
        self.execution_type = self.store.put_execution_type(mlmd.ExecutionType(name="Trainer"))
        model = standard_artifacts.Model().artifact_type
        self.model_type = self.store.put_artifact_type(model)

    def _context(self, type_id, name):
        known = {context.name: context.id for context in self.store.get_contexts() if context.type_id == type_id}
        return known.get(name) or self.store.put_contexts([mlmd.Context(type_id=type_id, name=name)])[0]

    def run(self, pipeline, name, nodes):
        """Adds a run with (node, state, model's folder or "") each."""
        parent = self._context(self.pipeline_type, pipeline)
        run = self._context(self.run_type, name)
        self.store.put_parent_contexts([mlmd.ParentContext(child_id=run, parent_id=parent)])
        for node, state, folder in nodes:
            execution = mlmd.Execution(type_id=self.execution_type, last_known_state=state)
            path = mlmd.Event.Path(steps=[mlmd.Event.Path.Step(key="model")])
            models = [
                (mlmd.Artifact(type_id=self.model_type, uri=uri), mlmd.Event(type=kind, path=path))
                for kind, uri in ((mlmd.Event.OUTPUT, folder), (mlmd.Event.INPUT, "/another"))
                if folder
            ]
            contexts = [parent, run, self._context(self.node_type, f"{pipeline}.{node}")]
            self.store.put_execution(execution, models, self.store.get_contexts_by_id(contexts))


@pytest.fixture
def database(tmp_path):
    return Database(tmp_path / "metadata.db")


def test_nodes_come_by_id_in_their_order_with_states_and_outputs(database):
    database.run(
        "pets",
        "run-1",
        [
            ("ImportExampleGen", mlmd.Execution.CACHED, ""),
            ("Trainer", mlmd.Execution.COMPLETE, "/models/7"),
            ("Evaluator.tflite", mlmd.Execution.FAILED, ""),
            ("Pusher", mlmd.Execution.RUNNING, ""),
        ],
    )
    nodes = read_last_run(database.connection, "pets")
    assert list(nodes) == ["ImportExampleGen", "Trainer", "Evaluator.tflite", "Pusher"]
    assert [node.state for node in nodes.values()] == ["cached", "complete", "failed", "running"]
    assert nodes["Trainer"].outputs["model"].uri == "/models/7"
    assert nodes["Trainer"].outputs["model"].type_name == "Model"
    assert nodes["Pusher"].outputs == {}
    assert all(node.seconds >= 0 for node in nodes.values())


def test_only_the_last_run_of_the_pipeline_counts(database):
    database.run("pets", "run-1", [("Trainer", mlmd.Execution.COMPLETE, ""), ("Pusher", mlmd.Execution.FAILED, "")])
    database.run("pets", "run-2", [("Trainer", mlmd.Execution.CACHED, "")])
    database.run("cars", "run-3", [("Trainer", mlmd.Execution.FAILED, "")])
    assert {name: node.state for name, node in read_last_run(database.connection, "pets").items()} == {
        "Trainer": "cached"
    }


def test_before_the_first_run_there_are_no_nodes(database, tmp_path):
    assert read_last_run(database.connection, "pets") == {}
    database.run("cars", "run-1", [("Trainer", mlmd.Execution.FAILED, "")])
    assert read_last_run(database.connection, "pets") == {}
    new = metadata.sqlite_metadata_connection_config(str(tmp_path / "new.db"))
    assert read_last_run(new, "pets") == {}


# ---- gates in words


def explain(failure, slice_key=""):
    return evaluations._explain(
        text_format.Parse(failure, validation_result_pb2.ValidationFailure()),
        text_format.Parse(slice_key, metrics_for_slice_pb2.SliceKey()),
    )


def test_a_missed_value_is_told():
    failure = """
    metric_key { name: "sparse_categorical_accuracy" model_name: "candidate" }
    metric_value { double_value { value: 0.91234 } }
    metric_threshold { value_threshold { lower_bound { value: 0.969999 } } }
    """
    assert explain(failure) == "accuracy 0.9123 is below 0.9700 (all images)"


@pytest.mark.parametrize(
    ("key", "where"),
    [
        ('column: "label" int64_value: 7', "label = 7"),
        ('column: "image/format" bytes_value: "png"', "image/format = png"),
        ('column: "share" float_value: 0.5', "share = 0.5"),
    ],
)
def test_a_missed_change_is_told_with_its_slice(key, where):
    failure = """
    metric_key { name: "agreement" is_diff: true }
    metric_value { double_value { value: -0.25 } }
    metric_threshold { change_threshold { absolute { value: -0.1 } direction: HIGHER_IS_BETTER } }
    """
    assert explain(failure, f"single_slice_keys {{ {key} }}") == (
        f"agreement changed by -0.2500 against the baseline; a drop of 0.1000 is allowed ({where})"
    )


def test_a_metric_that_is_missing_is_not_called_zero():
    failure = """
    metric_key { name: "agreement" }
    metric_threshold { value_threshold { lower_bound { value: 0.95 } } }
    message: "Metric not found."
    """
    assert explain(failure) == "agreement could not be compared: Metric not found (all images)"


def test_a_message_over_several_lines_becomes_one():
    failure = 'metric_key { name: "loss" } message: "\\n   Invalid metrics\\n   or threshold.  "'
    assert explain(failure) == "loss could not be compared: Invalid metrics or threshold (all images)"


@pytest.mark.parametrize("state", [None, "running", "failed"])
def test_a_gate_that_was_not_reached_has_no_verdict(state):
    found = collect({"Evaluator": Node(state, 1.0)} if state else {}, failure="Trainer: out of memory")
    assert found["gates"] == {"Evaluator": None, "Evaluator.tflite": None}
    assert not found["blessed"]
    assert found["failure"] == "Trainer: out of memory"
    assert found["reasons"] == ["Trainer: out of memory"]


def test_a_refusal_is_told_before_the_failure_that_followed(monkeypatch):
    gate = {"blessed": False, "reasons": ["accuracy too low"]}
    monkeypatch.setattr(results, "read_gate", lambda node: gate if node else None)
    monkeypatch.setattr(results, "read_evaluation", lambda _: {"metrics": {}})
    found = collect({"Evaluator": Node("complete", 1.0)}, failure="Pusher: disk full")
    assert found["reasons"] == ["Evaluator: accuracy too low", "Pusher: disk full"]


@pytest.mark.parametrize(("first", "second", "blessed"), [(1, 1, True), (1, 0, False), (0, 1, False), (1, None, False)])
def test_a_run_is_blessed_by_both_gates(monkeypatch, first, second, blessed):
    verdicts = {"a": first, "b": second}

    def gate(node):
        verdict = verdicts[node.state]
        return None if verdict is None else {"blessed": bool(verdict), "reasons": []}

    monkeypatch.setattr(results, "read_gate", gate)
    monkeypatch.setattr(results, "read_evaluation", lambda _: {"metrics": {}})
    nodes = {"Evaluator": Node("a", 1.0), "Evaluator.tflite": Node("b", 1.0)}
    assert bool(collect(nodes)["blessed"]) is blessed


# ---- metrics


@pytest.fixture(scope="module")
def collected(passed_evaluation):
    return collect({"Evaluator": passed_evaluation})


@pytest.mark.slow
def test_metrics_over_all_images(collected):
    probabilities = predictions.probabilities(predictions.TFLITE).astype(float)
    of_label = probabilities[np.arange(20), predictions.LABELS]
    assert collected["metrics"]["accuracy"] == pytest.approx(17 / 20)
    assert collected["metrics"]["example_count"] == 20
    assert collected["metrics"]["loss"] == pytest.approx(-np.log(of_label).mean(), rel=1e-5)
    second = np.sort(probabilities, axis=1)[:, -2]
    assert collected["metrics"]["top_k_accuracy"] == pytest.approx(np.mean(of_label >= second))
    assert 17 / 20 < np.mean(of_label >= second) < 1  # so that it can tell k = 1, 2 and 3 apart


@pytest.mark.slow
def test_metrics_by_slice(collected):
    assert [entry["slice"] for entry in collected["slices"]] == [{"label": "0"}, {"label": "1"}]
    assert [entry["metrics"]["accuracy"] for entry in collected["slices"]] == pytest.approx([4 / 5, 13 / 15])
    assert [entry["metrics"]["example_count"] for entry in collected["slices"]] == [5, 15]


@pytest.mark.slow
def test_precision_and_recall_by_class_count_the_most_probable_class(collected):
    # Class 0: 4 images are called so, all rightly, of 5. Class 1: 13 of 15, all rightly. Class 2: 3, all wrongly.
    found = collected["by_class"]
    assert [found[0]["precision"], found[0]["recall"]] == pytest.approx([1, 4 / 5])
    assert [found[1]["precision"], found[1]["recall"]] == pytest.approx([1, 13 / 15])
    assert found[2]["precision"] == 0
    assert set(found) == {0, 1, 2}


@pytest.mark.slow
def test_the_confusion_has_the_cells_that_hold_images(collected):
    assert sorted(collected["confusion"]) == [[0, 0, 4], [0, 2, 1], [1, 1, 13], [1, 2, 2]]


@pytest.mark.slow
def test_the_calibration_against_numpy(collected):
    predicted = predictions.probabilities(predictions.TFLITE).astype(float).ravel()
    true = np.eye(3)[predictions.LABELS].ravel()
    bins = np.minimum((predicted * 20).astype(int), 19)
    expected = [
        [predicted[bins == number].mean(), true[bins == number].mean(), (bins == number).sum()]
        for number in np.unique(bins)
    ]
    assert len(expected) > 5
    np.testing.assert_allclose(collected["calibration"], expected, atol=1e-6)


def test_a_calibration_of_hand_made_buckets():
    plot = metrics_for_slice_pb2.CalibrationHistogramBuckets()
    for probability, label, count in ((0.2, 1, 4), (0.12, 0, 2), (0, 0, 0), (3, 2, 3)):
        bucket = plot.buckets.add()
        bucket.total_weighted_refined_prediction.value = probability
        bucket.total_weighted_label.value = label
        bucket.num_weighted_examples.value = count
    # 0.2 / 4 = 0.05 and 0.12 / 2 = 0.06 fall into the second of 20 bins, and 1 into the last one.
    np.testing.assert_allclose(evaluations._read_calibration(plot), [[0.32 / 6, 1 / 6, 6], [1, 2 / 3, 3]])


# ---- artifacts


def test_pushed_paths_are_relative_to_the_output(tmp_path):
    output = tmp_path / "output"
    pushed = {"pushed_destination": str(output / "serving_model" / "17")}
    nodes = {
        "Pusher": Node("complete", 1.0, {"pushed_model": artifact(standard_artifacts.PushedModel, "x", **pushed)}),
        "Pusher.tflite": Node("complete", 1.0, {"pushed_model": artifact(standard_artifacts.PushedModel, "x")}),
    }
    assert collect(nodes, output)["pushed"] == {"saved_model": "serving_model/17", "tflite": None}
    assert collect({}, output)["pushed"] == {"saved_model": None, "tflite": None}


@pytest.fixture
def gated(monkeypatch):
    """A run with three variants in the order of preference, whose gates come to these verdicts."""
    settings = CONFIG.model_copy(update={"tflite": config.TFLite(push=("int8", "dynamic", "float"))})
    ids = ["Evaluator", *settings.tflite.gates]

    def collected(verdicts, pushed):
        gates = {
            name: verdict if verdict is None else {"blessed": not verdict, "reasons": [verdict] if verdict else []}
            for name, verdict in zip(ids, verdicts, strict=True)
        }
        monkeypatch.setattr(results, "read_gate", lambda node: gates[node.state] if node else None)
        monkeypatch.setattr(results, "read_evaluation", lambda _: {"metrics": {}})
        nodes = {name: Node(name, 1.0) for name in ids}
        properties = {"variant": pushed} if pushed else {}
        model = artifact(standard_artifacts.PushedModel, "x", **properties)
        nodes["Pusher.tflite"] = Node("complete", 1.0, {"pushed_model": model})
        return results.collect(settings, Path("/output"), nodes, ingest={}, failure="", warnings=())

    return collected


def test_a_run_passes_with_the_best_variant_that_passed_and_says_why_not_the_others(gated):
    found = gated(["", "agreement 0.81 is below 0.95", "", ""], "dynamic")
    assert (found["blessed"], found["reasons"]) == (True, [])
    assert found["tflite_push"] == {
        "int8": {"pushed": False, "reason": "its gate Evaluator.tflite rejected it: agreement 0.81 is below 0.95"},
        "dynamic": {"pushed": True, "reason": "the first in tflite.push that passed its gate"},
        "float": {"pushed": False, "reason": "it passed its gate, but dynamic comes first in tflite.push"},
    }


def test_a_run_fails_where_no_variant_passed(gated):
    found = gated(["", "a", "b", "c"], None)
    assert not found["blessed"]
    assert found["reasons"] == ["Evaluator.tflite: a", "Evaluator.tflite.dynamic: b", "Evaluator.tflite.float: c"]
    assert not any(variant["pushed"] for variant in found["tflite_push"].values())


def test_variants_do_not_make_up_for_the_saved_models_gate(gated):
    found = gated(["accuracy 0.5 is below 0.9", None, None, None], None)
    assert not found["blessed"]
    assert found["reasons"] == ["Evaluator: accuracy 0.5 is below 0.9"]
    assert all("not reached" in variant["reason"] for variant in found["tflite_push"].values())


def test_a_variant_that_is_not_listed_says_so():
    told = collect({})["tflite_push"]
    assert list(told) == ["int8", "float", "dynamic"]
    assert told["float"] == told["dynamic"] == {"pushed": False, "reason": "it is not in tflite.push"}


def test_measurements_and_training_are_read_from_their_files(tmp_path):
    (tmp_path / "tflite").mkdir()
    (tmp_path / "tflite" / "measurements.json").write_text('{"int8": {"accuracy": 0.5}}')
    (tmp_path / "run").mkdir()
    cache = {"first_epoch_s": 2.0, "later_epoch_s": 0.1}
    training = {"precision": "float32", "phases": {"head": {"curves": [], "feature_cache": cache}}}
    (tmp_path / "run" / "training.json").write_text(json.dumps(training))
    nodes = {
        "TFLiteExporter": Node(
            "complete", 3.14159, {"tflite": artifact(standard_artifacts.Model, tmp_path / "tflite")}
        ),
        "Trainer": Node("cached", 0.001, {"model_run": artifact(standard_artifacts.ModelRun, tmp_path / "run")}),
    }
    found = collect(nodes)
    assert found["tflite"] == {"int8": {"accuracy": 0.5}}
    assert found["training"] == training
    assert found["feature_cache"] == cache
    assert found["nodes_s"] == {"TFLiteExporter": 3.14, "Trainer": 0.0}
    assert found["nodes"] == {"TFLiteExporter": "complete", "Trainer": "cached"}


def test_a_killed_training_has_left_no_file(tmp_path):
    nodes = {
        "TFLiteExporter": Node("failed", 1.0, {"tflite": artifact(standard_artifacts.Model, tmp_path)}),
        "Trainer": Node("running", 1.0, {"model_run": artifact(standard_artifacts.ModelRun, tmp_path)}),
    }
    found = collect(nodes)
    assert (found["tflite"], found["training"], found["feature_cache"]) == ({}, {}, None)


def test_bytes_an_image_count_the_augmented_ones_too(tmp_path, monkeypatch):
    # 10 + 2 * 10 training images and 5 + 5 others: 40 in 1,000 bytes.
    monkeypatch.setattr(run_artifacts, "count_examples", lambda _: {"train": 10, "eval": 5, "test": 5})
    for name, size in (("Split-train/a.gz", 600), ("Split-train/augmented.gz", 300), ("Split-test/a.gz", 100)):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"0" * size)
    (tmp_path / "Split-train" / "README").write_bytes(b"0" * 77)
    examples = artifact(standard_artifacts.Examples, tmp_path)
    nodes = {"Transform": Node("complete", 1.0, {"transformed_examples": examples})}
    assert collect(nodes)["transform"] == {"bytes_per_image": 25.0, "float32_bytes_per_image": 32 * 32 * 3 * 4}


def test_examples_are_counted_from_the_statistics(tmp_path):
    from tensorflow_metadata.proto.v0 import statistics_pb2

    statistics = artifact(standard_artifacts.ExampleStatistics, tmp_path)
    statistics.split_names = '["train", "eval"]'
    for split, count in (("train", 12), ("eval", 3)):
        (tmp_path / f"Split-{split}").mkdir()
        listed = statistics_pb2.DatasetFeatureStatisticsList(
            datasets=[statistics_pb2.DatasetFeatureStatistics(num_examples=count)]
        )
        (tmp_path / f"Split-{split}" / "FeatureStats.pb").write_bytes(listed.SerializeToString())
    node = Node("complete", 1.0, {"statistics": statistics})
    assert collect({"StatisticsGen": node})["data"] == {"train": 12, "eval": 3}


def test_what_is_known_before_the_run_is_in_the_result():
    quarantine = {"count": 2, "reasons": {"empty": 2}}
    found = collect({}, ingest={"quarantine": quarantine, "seconds": 1}, warnings=["no test split"])
    assert found["name"] == "pets"
    assert found["quarantine"] == quarantine
    assert found["ingest"]["seconds"] == 1
    assert found["warnings"] == ["no test split"]
    assert found["config"]["image"] == {"size": 32, "resize": "crop"}
    assert found["versions"]["tfx"] == "1.21.0"
    assert json.loads(json.dumps(found)) == found
    assert collect({})["quarantine"] == {"count": 0, "reasons": {}}


@pytest.mark.parametrize("blessed", [True, False])
def test_the_stylizers_gate_is_one_of_the_gates(tmp_path, blessed):
    chosen = CONFIG.model_copy(update={"stylizer": config.Stylizer(enabled=True)})
    reasons = [] if blessed else ["SSIM 0.5000 at a strength of 0 is below 0.98"]
    (tmp_path / "run").mkdir()
    (tmp_path / "evaluation").mkdir()
    (tmp_path / "run" / "training.json").write_text(json.dumps({"styles": ["swirls"]}))
    told = {"blessed": blessed, "reasons": reasons, "ssim": 0.5}
    (tmp_path / "evaluation" / "evaluation.json").write_text(json.dumps(told))
    outputs = {
        "StylizerTrainer": {"model_run": artifact(standard_artifacts.ModelRun, tmp_path / "run")},
        "StylizerEvaluator": {"evaluation": artifact(standard_artifacts.ModelEvaluation, tmp_path / "evaluation")},
        "Pusher.stylizer": {
            "pushed_model": artifact(
                standard_artifacts.PushedModel, tmp_path, pushed_destination="/output/stylizer/5" if blessed else ""
            )
        },
    }
    nodes = {name: Node("complete", 1.0, each) for name, each in outputs.items()}
    found = results.collect(chosen, Path("/output"), nodes, {}, "", ())
    assert found["gates"]["StylizerEvaluator"] == {"blessed": blessed, "reasons": reasons}
    assert found["reasons"] == [f"StylizerEvaluator: {reason}" for reason in reasons]
    assert found["pushed"]["stylizer"] == ("stylizer/5" if blessed else None)
    assert found["stylizer"] == {"training": {"styles": ["swirls"]}, "evaluation": {"ssim": 0.5}}
    early = results.collect(chosen, Path("/output"), {}, {}, "", ())
    assert (early["gates"]["StylizerEvaluator"], early["stylizer"], early["blessed"]) == (None, None, False)

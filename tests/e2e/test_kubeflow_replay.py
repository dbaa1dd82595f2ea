"""The whole pipeline compiled for both targets and replayed, and what it leaves compared with the local runner's."""

import gzip
import io
import json
import shutil
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from atelier import tfrecord
from tests.deferred import deferred_imports
from tests.e2e import forked
from tests.e2e.conftest import CONFIG, TINY, Run

with deferred_imports():
    import tensorflow as tf

    from pipeline.results import evaluations

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Replay:
    """One finished replay."""

    code: int
    stdout: str
    stderr: str
    root: Path
    report: dict

    def find_uri(self, task: str, output: str) -> Path:
        (artifact,) = self.report["tasks"][task]["outputs"][output]
        return Path(artifact["uri"])

    def read_metadata(self, task: str, output: str) -> dict:
        (artifact,) = self.report["tasks"][task]["outputs"][output]
        return artifact["metadata"]

    def read_states(self) -> dict[str, str]:
        return {name: task["state"] for name, task in self.report["tasks"].items()}

    def list_versions(self, folder: str) -> list[str]:
        parent = self.root / folder
        return sorted(path.name for path in parent.iterdir()) if parent.exists() else []


def replay(spec: Path, root: Path, **parameters: object) -> Replay:
    """Replays in forked processes: kubeflow/replay/test_replay_tfx.py has nodes in new interpreters."""
    given = [word for name, value in parameters.items() for word in ("--parameter", f"{name}={value}")]
    before = set(root.glob("replays/*/replay.json"))
    done = forked.run_atelier("kubeflow", "replay", spec, "--root", root / "replays", *given)
    assert "Traceback" not in done.stderr
    (report,) = set(root.glob("replays/*/replay.json")) - before
    return Replay(done.returncode, done.stdout, done.stderr, root, json.loads(report.read_text()))


@pytest.fixture(scope="module")
def root(first_run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that stands for the bucket: it holds the data that the local run ingested."""
    folder = tmp_path_factory.mktemp("bucket")
    shutil.copytree(first_run.output / "data", folder / "data")
    return folder


@pytest.fixture(scope="module")
def specs(root: Path) -> dict[str, Path]:
    """The specification for each target."""
    found = {"vertex": root / "pipeline.json", "kfp": root / "pipeline.yaml"}
    for target, spec in found.items():
        values = {
            "kubeflow.target": target,
            "kubeflow.root": root,
            "kubeflow.image": "registry.example/atelier:1",
            "kubeflow.classes": 3,
            "data.source": root / "data",
        }
        overrides = [word for key, value in values.items() for word in ("--set", f"{key}={value}")]
        if target == "kfp":  # the candidate of `worse`
            overrides += TINY
        done = forked.run_atelier("kubeflow", "compile", "--config", CONFIG, "--output", spec, *overrides)
        assert (done.returncode, done.stderr) == (0, "")
    return found


@pytest.fixture(scope="module")
def first(specs: dict[str, Path], root: Path) -> Replay:
    """Vertex AI's specification, to its end."""
    return replay(specs["vertex"], root)


@pytest.fixture(scope="module")
def worse(specs: dict[str, Path], root: Path, first: Replay) -> Replay:
    """Kubeflow's specification, with a candidate that has hardly learned: the baseline that `first` pushed stops it."""
    return replay(specs["kfp"], root, train_args='{"splits": ["train"], "num_steps": 1}', min_accuracy=0)


@pytest.fixture(params=["first", "worse"], ids=["vertex", "kfp"])
def either(request: pytest.FixtureRequest) -> Replay:
    return request.getfixturevalue(request.param)


def test_every_node_runs_and_both_models_are_pushed(first: Replay) -> None:
    assert first.code == 0, first.stderr
    assert Counter(first.read_states().values()) == {"succeeded": 18}
    assert first.read_metadata("Evaluator", "blessing")["blessed"] == 1
    assert first.read_metadata("Evaluator-tflite", "blessing")["blessed"] == 1
    (version,) = first.list_versions("serving_model")
    assert first.read_metadata("Pusher", "pushed_model")["pushed_version"] == version
    assert (first.root / "serving_model" / version / "saved_model.pb").is_file()
    (version,) = first.list_versions("tflite")
    assert (first.root / "tflite" / version / "model.tflite").is_file()
    assert first.read_metadata("StylizerEvaluator", "blessing")["blessed"] == 1
    (version,) = first.list_versions("stylizer")
    assert first.read_metadata("Pusher-stylizer", "pushed_model")["pushed_version"] == version
    assert (first.root / "stylizer" / version / "saved_model.pb").is_file()
    assert "images" in first.stdout  # what a replay cannot show


def test_examples_are_those_of_the_local_runner(either: Replay, first_run: Run) -> None:
    local = count_records(find_newest(first_run, "ImportExampleGen", "examples"))
    assert sum(map(len, local.values())) > 200
    assert count_records(either.find_uri("ImportExampleGen", "examples")) == local
    # The stored pixels and labels that training sees, augmented ones among them.
    local = count_records(find_newest(first_run, "Transform", "transformed_examples"))
    assert sum(map(len, local.values())) > 200
    assert count_records(either.find_uri("Transform", "transformed_examples")) == local


def test_the_model_is_as_good_as_the_local_runners(first: Replay, first_run: Run) -> None:
    """Not the same: Beam orders the records of Transform as its bundles end, and training depends on their order."""
    local = first_run.result
    measured = read_metrics(first)
    assert measured["example_count"] == local["metrics"]["example_count"]
    assert set(measured) == set(local["metrics"])
    assert measured["accuracy"] == pytest.approx(local["metrics"]["accuracy"], abs=0.1)
    served, trained = (
        tf.saved_model.load(str(folder))
        for folder in (
            first.root / "serving_model" / first.list_versions("serving_model")[0],
            first_run.output / local["pushed"]["saved_model"],
        )
    )
    assert served.signatures.keys() == trained.signatures.keys()
    for name in served.signatures:
        assert served.signatures[name].structured_outputs == trained.signatures[name].structured_outputs


def test_the_gallery_is_the_local_runners(either: Replay, first_run: Run) -> None:
    local, replayed = first_run.output / "gallery", either.find_uri("StyleRenderer", "gallery")

    def read_images(folder: Path) -> dict[str, np.ndarray]:
        lines = map(json.loads, (folder / "manifest.jsonl").read_text().splitlines())
        return {line["key"]: np.asarray(Image.open(folder / line["file"])) for line in lines}

    expected, found = read_images(local), read_images(replayed)
    assert expected.keys() == found.keys()
    assert len(expected) == 4
    assert all((expected[key] == found[key]).all() for key in expected)


def test_a_worse_candidate_is_not_pushed(first: Replay, worse: Replay) -> None:
    assert worse.code == 1
    assert worse.read_metadata("BaselineModel", "baseline")["version"] == first.list_versions("serving_model")[0]
    assert worse.read_metadata("Evaluator", "blessing")["blessed"] == 0
    assert read_metrics(worse)["accuracy"] < read_metrics(first)["accuracy"] - 0.05
    # As on the local runner, the gate before stops the export.
    assert worse.read_states()["TFLiteExporter"] == "failed"
    assert {worse.read_states()[name] for name in ("Evaluator-tflite", "Pusher-tflite")} == {"not run"}
    (line,) = worse.stderr.splitlines()
    assert line.startswith("atelier: TFLiteExporter: ")
    assert "was rejected by its gate" in line
    assert len(worse.list_versions("serving_model")) == len(worse.list_versions("tflite")) == 1


def test_what_the_second_replay_does_not_reach_is_what_the_first_has_run(specs: dict[str, Path], worse: Replay) -> None:
    vertex = json.loads(specs["vertex"].read_text())["pipelineSpec"]
    kfp = yaml.safe_load(specs["kfp"].read_text())
    unseen = [name for name, state in worse.read_states().items() if state != "succeeded"]
    assert unseen
    for name in unseen:
        for part in ("components", "deploymentSpec.executors", "root.dag.tasks"):
            key = f"{name}_executor" if part.startswith("deployment") else name
            assert find(vertex, part)[key] == find(kfp, part)[key], (part, key)


def find(spec: dict, path: str) -> dict:
    for key in path.split("."):
        spec = spec[key]
    return spec


def count_records(folder: Path) -> dict[str, Counter]:
    """How often each record is in each split; the order of a record's features is left to chance by protobuf."""
    found: dict[str, Counter] = {}
    for file in sorted(folder.glob("Split-*/*")):
        stream = io.BytesIO(gzip.decompress(file.read_bytes()))
        examples = map(tf.train.Example.FromString, tfrecord.read(stream))
        texts = (example.SerializeToString(deterministic=True) for example in examples)
        found.setdefault(file.parent.name, Counter()).update(texts)
    return found


def find_newest(run: Run, node: str, output: str) -> Path:
    """The folder of a local run's artifact."""
    return max((run.output / "pipeline_root" / node / output).iterdir(), key=lambda folder: int(folder.name))


def read_metrics(run: Replay) -> dict[str, float]:
    """The candidate's metrics over all images, by name."""
    found: dict = {"slices": [], "by_class": {}}
    evaluations._read_metrics(str(run.find_uri("Evaluator", "evaluation")), found)
    return found["metrics"]

"""Replays of what TFX compiles, in both schemas, through TFX's own entry point for containers."""

import functools
import json
import subprocess
import sys
from pathlib import Path

import pytest

from atelier import tfrecord
from tests.deferred import deferred_imports
from tests.e2e import forked
from tests.kubeflow.replayable import start_replay

with deferred_imports():
    from kfp.pipeline_spec import pipeline_spec_pb2 as pb

    from kubeflow.replay import artifact_store, process, replay

pytestmark = pytest.mark.slow

SCRIPT = Path(__file__).with_name("script_with_component.py")
MODEL = "projects/1/artifacts/model"


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    """Compiles `pipeline()`, by schema version, to JSON for 2.0 and YAML for 2.1."""

    def compile_as(schema, ending):
        from tfx.orchestration.kubeflow.v2 import kubeflow_v2_dag_runner as v2

        folder = tmp_path_factory.mktemp("compiled")
        config = v2.KubeflowV2DagRunnerConfig(default_image="none", use_pipeline_spec_2_1=schema == "2.1")
        runner = v2.KubeflowV2DagRunner(config, output_dir=str(folder), output_filename=f"pipeline{ending}")
        runner.run(pipeline())
        return folder / f"pipeline{ending}"

    return compile_as


def pipeline():
    """Data through its driver, a resolver, an importer, and a component under each of two conditions."""
    from tfx import v1 as tfx
    from tfx.types import standard_artifacts

    from components.style_catalog.component import StyleCatalog

    gen = tfx.components.ImportExampleGen(input_base=tfx.dsl.experimental.RuntimeParameter("data_root", str))
    judged = tfx.dsl.Importer(
        source_uri="/made/up", artifact_type=standard_artifacts.ModelBlessing, custom_properties={"blessed": 1}
    ).with_id("judged")
    nodes = [gen, judged]
    blessed = judged.outputs["result"].future()[0].custom_property("blessed")
    for name, predicate in (("when-blessed", blessed == 1), ("when-not", blessed == 0)):
        with tfx.dsl.Cond(predicate):
            nodes.append(StyleCatalog(catalog="builtin", styles='["swirls"]', code="", fingerprint="").with_id(name))
    latest = tfx.dsl.Resolver(
        strategy_class=tfx.dsl.experimental.LatestBlessedModelStrategy,
        model=tfx.dsl.Channel(type=standard_artifacts.Model),
        model_blessing=tfx.dsl.Channel(type=standard_artifacts.ModelBlessing),
    ).with_id("latest")
    return tfx.dsl.Pipeline(pipeline_name="tiny", pipeline_root="/none", components=[*nodes, latest])


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Twelve records in one file."""
    folder = tmp_path_factory.mktemp("data")
    with (folder / "all.tfrecord").open("wb") as stream:
        for number in range(12):
            tfrecord.write(stream, tfrecord.serialize_example({"number": number}))
    return folder


@pytest.fixture
def forked_nodes(monkeypatch):
    """Nodes run in processes forked from one that has imported TFX."""
    monkeypatch.setattr(process, "run", functools.partial(forked.run_node, method="forkserver"))


@pytest.mark.parametrize("schema", ["2.0", "2.1"])
def test_driver_conditions_importer_and_resolver(compiled, data, tmp_path, request, schema):
    ending = ".json"
    if schema == "2.1":  # one schema's nodes are new interpreters, as in a container; ten seconds of imports each
        request.getfixturevalue("forked_nodes")
        ending = ".yaml"
    store = artifact_store.ArtifactStore(tmp_path / replay.STORE_FILE, "tiny")
    model = pb.RuntimeArtifact(name=MODEL, uri="gs://bucket/model", type={"schema_title": "tfx.Model"})
    blessing = pb.RuntimeArtifact(name="b", uri="gs://bucket/blessing", type={"schema_title": "tfx.ModelBlessing"})
    blessing.metadata.update({"blessed": 1, "current_model_id": MODEL})
    store.add(model)
    store.add(blessing)

    report = replay.replay(compiled(schema, ending), tmp_path, parameters={"data_root": str(data)})

    assert report.failure == ""
    assert {name: task.state for name, task in report.tasks.items()} == {
        "ImportExampleGen": "succeeded",
        "judged": "succeeded",
        "when-blessed": "succeeded",
        "when-not": "skipped",
        "latest-model-blessing-resolver": "succeeded",
        "latest-model-resolver": "succeeded",
    }
    (examples,) = report.tasks["ImportExampleGen"].outputs["examples"]
    assert json.loads(str(examples.metadata["split_names"])) == ["train", "eval"]
    assert "num_files:1," in str(examples.metadata["input_fingerprint"])  # the driver's finding
    written = [count(file) for file in Path(examples.uri).glob("Split-*/*.gz")]
    assert (len(written), sum(written)) == (2, 12)
    (found,) = report.tasks["latest-model-resolver"].outputs["model"]
    assert (found.name, found.uri) == (MODEL, "gs://bucket/model")
    (catalog,) = report.tasks["when-blessed"].outputs["published"]
    assert (Path(catalog.uri) / "thumbnails" / "swirls.jpg").is_file()
    assert catalog.metadata["styles"] == "swirls"


def count(file):
    import gzip

    with gzip.open(file, "rb") as stream:
        return sum(1 for _ in tfrecord.read(stream))


def test_a_component_of_a_script_runs_locally_and_fails_in_a_container(tmp_path):
    specification = tmp_path / "script.yaml"
    subprocess.run([sys.executable, SCRIPT, specification], check=True, capture_output=True, cwd=tmp_path)
    (greeting,) = (tmp_path / "local" / "Hello" / "greeting").glob("*/text")
    assert greeting.read_text() == "hello"

    process = start_replay(specification, tmp_path / "root")
    stdout, stderr = process.communicate(timeout=120)
    assert process.returncode == 1
    assert stdout.splitlines()[0].split()[0::3] == ["Hello", "failed"]
    (line,) = stderr.splitlines()
    (log,) = tmp_path.glob("root/*/Hello/executor.log")
    assert line.startswith("atelier: Hello: ImportError: Could not import __main__.Hello_Executor")
    assert "put it into an installed package" in line
    assert line.endswith(f"; log: {log}")


def test_an_error_of_a_component_of_ours_is_reported(tmp_path, forked_nodes):
    from tfx import v1 as tfx
    from tfx.orchestration.kubeflow.v2 import kubeflow_v2_dag_runner as v2

    from components.style_catalog.component import StyleCatalog

    broken = StyleCatalog(catalog="builtin", styles='["no-such-style"]', code="", fingerprint="")
    pipeline = tfx.dsl.Pipeline(pipeline_name="broken", pipeline_root="/none", components=[broken])
    config = v2.KubeflowV2DagRunnerConfig(default_image="none", use_pipeline_spec_2_1=True)
    v2.KubeflowV2DagRunner(config, output_dir=str(tmp_path)).run(pipeline)
    report = replay.replay(tmp_path / "pipeline.json", tmp_path / "root")
    assert report.failure.startswith("StyleCatalog: components.style_catalog.style.CatalogError: ")
    assert "no-such-style" in report.failure

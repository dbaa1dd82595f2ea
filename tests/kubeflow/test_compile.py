"""The compiled pipeline: as it was, as the local one, and as KFP's own code reads it."""

import json
import re
import subprocess
import sys

import pytest
import yaml
from google.protobuf import json_format

from atelier.errors import KubeflowError
from kubeflow import compile as compiler
from pipeline.run_inputs import DataFacts, Places, RunParameters
from tests.deferred import deferred_imports
from tests.kubeflow import readable

with deferred_imports():
    from kfp import components
    from kfp.pipeline_spec import pipeline_spec_pb2

    from pipeline import pipeline

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", params=list(readable.TARGETS))
def target(request):
    return request.param


@pytest.fixture(scope="module")
def job(target):
    return compiler.build_pipeline_job(readable.load_settings(target))


@pytest.fixture(scope="module")
def spec(job):
    return job["pipelineSpec"]


def test_the_compiled_pipeline_matches_the_golden_file(target, job):
    assert readable.format_job(job) == (readable.GOLDEN / f"{target}.yaml").read_text(encoding="utf-8")


def test_the_same_configuration_gives_the_same_bytes(target, tmp_path):
    for name in ("one.json", "two.json"):
        compiler.compile_pipeline(readable.load_settings(target), tmp_path / name)
    assert (tmp_path / "one.json").read_bytes() == (tmp_path / "two.json").read_bytes()


def test_nodes_and_edges_are_those_of_the_local_dag(spec):
    local = pipeline.create_pipeline(
        readable.load_settings("kfp"),
        Places.from_root("/output", keep_training_state=True),
        RunParameters(data_root="/data", schema_file="/data/schema.pbtxt", min_accuracy=0.9, max_accuracy_drop=0.01),
        DataFacts(splits={"train": "train/*", "eval": "eval/*", "test": "test/*"}, text_labels=False, class_count=12),
        baseline_version="",
    )
    edges = {
        node.id.replace(".", "-"): {up.id.replace(".", "-") for up in node.upstream_nodes} for node in local.components
    }
    tasks = spec["root"]["dag"]["tasks"]
    assert {name: set(task.get("dependentTasks", [])) for name, task in tasks.items()} == edges
    # Every input comes from a node that is waited for, under the name of one of its outputs.
    for name, task in tasks.items():
        for source in task.get("inputs", {}).get("artifacts", {}).values():
            producer = source["taskOutputArtifact"]["producerTask"]
            assert producer in edges[name]
            outputs = spec["components"][producer]["outputDefinitions"]["artifacts"]
            assert source["taskOutputArtifact"]["outputArtifactKey"] in outputs


def test_kfps_protos_take_it(job, spec):
    parsed = json_format.ParseDict(spec, pipeline_spec_pb2.PipelineSpec())
    assert (parsed.schema_version, parsed.pipeline_info.name) == ("2.1.0", "vertex")
    assert parsed.default_pipeline_root == "gs://my-bucket/atelier/pipeline_root"
    assert len(parsed.deployment_spec["executors"]) == len(parsed.root.dag.tasks) == 18
    assert json_format.ParseDict(job, pipeline_spec_pb2.PipelineJob()).display_name == "vertex"


def test_kfps_loader_takes_it(target, tmp_path):
    compiler.compile_pipeline(readable.load_settings(target), tmp_path / "pipeline.yaml")
    loaded = components.load_component_from_file(str(tmp_path / "pipeline.yaml"))
    assert loaded.name == "vertex"
    assert {name: (given.type, given.default) for name, given in loaded.component_spec.inputs.items()} == {
        "data_root": ("String", "gs://my-bucket/data/photos"),
        "schema_file": ("String", "gs://my-bucket/data/photos/schema.pbtxt"),
        "train_args": ("String", '{"splits": ["train"], "num_steps": 0}'),
        "min_accuracy": ("Float", 0.85),
        "max_accuracy_drop": ("Float", 0.02),
    }


def test_each_parameter_of_the_run_reaches_its_node(spec):
    reached = {
        (name, key): source["componentInputParameter"]
        for name, task in spec["root"]["dag"]["tasks"].items()
        for key, source in task.get("inputs", {}).get("parameters", {}).items()
        if "componentInputParameter" in source
    }
    assert reached == {
        ("ImportExampleGen", "input_base"): "data_root",
        ("ImportSchemaGen", "schema_file"): "schema_file",
        ("Trainer", "train_args"): "train_args",
        ("Evaluator", "min_accuracy"): "min_accuracy",
        ("Evaluator", "max_accuracy_drop"): "max_accuracy_drop",
    }


def test_names_that_argo_and_vertex_ai_take(spec):
    for name in spec["root"]["dag"]["tasks"]:
        assert re.fullmatch(r"[a-zA-Z0-9]([-a-zA-Z0-9]*[a-zA-Z0-9])?", name)
    types = set(re.findall(r'"instanceSchema": "title: ([^\\]+)', json.dumps(spec)))
    assert len(types) > 5
    # Vertex AI's rule for types that it does not know by themselves.
    assert all(re.fullmatch(r"[a-z][a-z0-9-_]{2,20}[.][A-Z][a-zA-Z0-9-_]{2,49}", title) for title in types)


def test_the_driver_is_vertex_ais_only(target, spec):
    executors = spec["deploymentSpec"]["executors"]
    assert [name for name, executor in executors.items() if "lifecycle" in executor["container"]] == (
        ["ImportExampleGen_executor"] if target == "vertex" else []
    )
    assert all("container" in executor for executor in executors.values())  # no resolver, no importer


def test_executors_lie_in_installed_packages(spec):
    for executor in spec["deploymentSpec"]["executors"].values():
        arguments = executor["container"]["args"]
        path = arguments[arguments.index("--executor_class_path") + 1]
        assert path.split(".")[0] in ("tfx", "components")


def test_all_but_the_baseline_may_come_from_the_cache(target, spec):
    tasks = spec["root"]["dag"]["tasks"]
    cached = {name for name, task in tasks.items() if task.get("cachingOptions", {}).get("enableCache")}
    assert cached == set(tasks) - {"BaselineModel"}
    job = compiler.build_pipeline_job(readable.load_settings(target, "kubeflow.caching=false"))
    assert "enableCache" not in json.dumps(job)


def test_resources(target, spec):
    containers = {name: each["container"] for name, each in spec["deploymentSpec"]["executors"].items()}
    given = {name: container["resources"] for name, container in containers.items() if "resources" in container}
    limits = {"cpuLimit": 4.0, "memoryLimit": 16.0}
    if target == "vertex":  # the Trainer's container only starts a job, and needs no accelerator of its own
        assert given == {"TFLiteExporter_executor": limits}
    else:
        gpu = {"accelerator": {"type": "nvidia.com/gpu", "count": "1"}}
        assert given == {"Trainer_executor": limits | gpu}
    # ImportExampleGen's too, which TFX passes over.
    job = compiler.build_pipeline_job(readable.load_settings(target, "kubeflow.nodes.ImportExampleGen.cpu=2"))
    container = job["pipelineSpec"]["deploymentSpec"]["executors"]["ImportExampleGen_executor"]["container"]
    assert container["resources"] == {"cpuLimit": 2.0}


def test_an_unknown_node_is_named():
    with pytest.raises(KubeflowError, match=r"kubeflow\.nodes\.Trianer: the pipeline has no such node; it has Import"):
        compiler.build_pipeline_job(readable.load_settings("vertex", "kubeflow.nodes.Trianer.cpu=2"))


def test_the_command(tmp_path):
    file = tmp_path / "deep" / "pipeline.yaml"
    command = ["kubeflow", "compile", "--config", "configs/vertex.yaml", "--output", str(file)]
    done = subprocess.run([sys.executable, "-m", "pipeline.cli", *command], capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("vertex: 15 nodes: ")
    assert f"parameter min_accuracy = 0.85\n{'parameter schema_file':s}" in done.stdout
    assert done.stdout.endswith(f"{file}: written\n")
    assert yaml.safe_load(file.read_text())["pipelineInfo"] == {"name": "vertex"}


def test_the_tuner_runs_in_its_own_container_or_as_a_job_of_several_machines(target):
    on_vertex = target == "vertex"
    overrides = ["tuner={enabled: true, parallel_trials: 3}", "kubeflow.nodes={Tuner: {machine_type: a2-highgpu-1g}}"]
    if not on_vertex:
        overrides = ["tuner={enabled: true}"]
    spec = compiler.build_pipeline_job(readable.load_settings(target, *overrides))["pipelineSpec"]
    json_format.ParseDict(spec, pipeline_spec_pb2.PipelineSpec())
    tasks, executors = spec["root"]["dag"]["tasks"], spec["deploymentSpec"]["executors"]
    assert set(tasks["Tuner"]["dependentTasks"]) == {"Transform", "ImportSchemaGen"}
    source = tasks["Trainer"]["inputs"]["artifacts"]["hyperparameters"]["taskOutputArtifact"]
    assert source == {"producerTask": "Tuner", "outputArtifactKey": "best_hyperparameters"}
    arguments = executors["Tuner_executor"]["container"]["args"]
    extension = "tfx.extensions.google_cloud_ai_platform.tuner.executor.Executor"
    assert (extension in arguments) is on_vertex
    if on_vertex:
        given = tasks["Tuner"]["inputs"]["parameters"]
        assert json.loads(given["tune_args"]["runtimeValue"]["constant"]) == {"num_parallel_trials": 3}
        told = json.loads(given["custom_config"]["runtimeValue"]["constant"])
        (pool,) = told["ai_platform_tuning_args"]["job_spec"]["worker_pool_specs"]
        assert pool["machine_spec"] == {"machine_type": "a2-highgpu-1g"}

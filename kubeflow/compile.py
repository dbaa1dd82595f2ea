"""Compiles the DAG for Vertex AI, or for Kubeflow Pipelines of one's own.

Both take KFP's pipeline specification, schema 2.1; what differs is what their backends understand:

- `vertex`: ImportExampleGen keeps its driver, which Vertex AI runs before it looks into the cache.
- `kfp`: the open-source backend knows no such driver, so it is left out. ImportExampleGen's executor does without it,
  as long as no pattern of the input holds {SPAN} or {VERSION}.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from atelier import builtin_names
from atelier.errors import KubeflowError
from atelier.files import leftovers
from atelier.files.replacing import replace_text
from atelier.layout import SCHEMA_FILE, SPLITS, TRAIN
from kubeflow import checks
from pipeline.config.config import Config
from pipeline.config.sections.kubeflow import Kubeflow, Resources
from pipeline.ingest import builtin_sources
from pipeline.run_inputs import DataFacts, Places, RunParameters, VertexJobs
from pipeline.terminal import disk_errors

JOBS = ("Trainer", "Tuner")
"""The nodes that become jobs of Vertex AI where their machine types are given."""

_INGESTED = {split: f"{split}/*" for split in SPLITS}
"""As `atelier ingest` writes them."""
_ENDINGS = (".json", ".yaml", ".yml")


def compile_pipeline(config: Config, output: Path) -> dict[str, Any]:
    """Writes the specification of the whole pipeline.

    Args:
      config: `data.source` and `kubeflow.root` are places that all nodes see.
      output: `.json`: a PipelineJob, with the run's defaults; `.yaml` or `.yml`: the PipelineSpec in it, for KFP's SDK.

    Returns:
      The PipelineJob.

    Raises:
      KubeflowError: the configuration lacks what the cluster needs, or the file cannot be written.
    """
    if output.suffix not in _ENDINGS:
        raise KubeflowError(f"{output}: expected a name that ends in {', '.join(_ENDINGS)}")
    job = build_pipeline_job(config)
    text = json.dumps(job, indent=1, sort_keys=True) if output.suffix == ".json" else _dump_yaml(job["pipelineSpec"])
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        replace_text(output, text + "\n")
    except OSError as error:
        raise KubeflowError(disk_errors.explain(error, output) or f"{output}: {error.strerror}") from None
    return job


def build_pipeline_job(config: Config) -> dict[str, Any]:
    """The PipelineJob as its JSON form, ready to be sent to Vertex AI.

    Raises:
      KubeflowError: the configuration lacks what the cluster needs.
    """
    _check(config)

    from tfx.orchestration.kubeflow.v2 import kubeflow_v2_dag_runner as v2  # seconds, as all of TFX

    runner_config = v2.KubeflowV2DagRunnerConfig(default_image=config.kubeflow.image, use_pipeline_spec_2_1=True)
    with leftovers.create_scratch("compile") as folder:
        runner = v2.KubeflowV2DagRunner(runner_config, output_dir=str(folder), output_filename="job.json")
        runner.run(create_dag(config), write_out=True)
        job = json.loads((folder / "job.json").read_text(encoding="utf-8"))
    spec = job["pipelineSpec"]
    spec["defaultPipelineRoot"] = config.kubeflow.pipeline_root
    # What was pushed last is no input of it, so that the cache would never notice a new one.
    spec["root"]["dag"]["tasks"]["BaselineModel"].pop("cachingOptions", None)
    # TFX writes the parameters' types only, so that every run would have to name them all.
    for name, default in list_parameters(config).items():
        spec["root"]["inputDefinitions"]["parameters"][name] |= {"defaultValue": default, "isOptional": True}
    for label, executor in spec["deploymentSpec"]["executors"].items():
        container = executor["container"]
        if config.kubeflow.target == "kfp":
            container.pop("lifecycle", None)
        if limits := _build_limits(config.kubeflow.nodes.get(label.removesuffix("_executor"), Resources())):
            container["resources"] = limits
    return _replace_dots(job)


def create_dag(config: Config) -> Any:
    """The DAG that a local run has, with a cluster's places for data and results, and parameters of the run."""
    from tfx.orchestration.data_types import RuntimeParameter

    from pipeline.pipeline import create_pipeline

    settings = config.kubeflow
    given = {name: RuntimeParameter(name, type(value), value) for name, value in list_parameters(config).items()}
    dag = create_pipeline(
        config,
        Places.from_root(settings.root, keep_training_state=False),
        RunParameters(**given),
        DataFacts(
            splits={str(name): pattern for name, pattern in config.data.splits.items()} or _INGESTED,
            text_labels=settings.text_labels,
            class_count=settings.classes or None,
            store_size=config.ingest.store_size,
        ),
        baseline_version="latest",
        vertex=VertexJobs(training=build_vertex_job(settings, "Trainer"), tuning=build_vertex_job(settings, "Tuner")),
        enable_cache=settings.caching,
    )
    unknown = sorted(set(settings.nodes) - {node.id for node in dag.components})
    if unknown:
        known = ", ".join(node.id for node in dag.components)
        raise KubeflowError(f"kubeflow.nodes.{unknown[0]}: the pipeline has no such node; it has {known}")
    return dag


def list_parameters(config: Config) -> dict[str, str | float]:
    """What can be changed when a run is started, and its defaults."""
    data = config.data.source.rstrip("/")
    return {
        "data_root": data,
        "schema_file": config.kubeflow.schema_file or f"{data}/{SCHEMA_FILE}",
        "train_args": json.dumps({"splits": [TRAIN], "num_steps": 0}),
        "min_accuracy": config.evaluator.min_accuracy,
        "max_accuracy_drop": config.evaluator.max_accuracy_drop,
    }


def summarize(job: Mapping[str, Any], target: str) -> str:
    """Returns lines for the terminal: the nodes, and the parameters of the run with their defaults."""
    root = job["pipelineSpec"]["root"]
    lines = [f"{target}: {len(root['dag']['tasks'])} nodes: {', '.join(root['dag']['tasks'])}"]
    for name, parameter in root["inputDefinitions"]["parameters"].items():
        lines.append(f"parameter {name} = {parameter['defaultValue']}")
    return "\n".join(lines)


def build_vertex_job(settings: Kubeflow, node: str) -> Mapping[str, object] | None:
    """What TFX's extension for `node` sends to Vertex AI as a CustomJob; None if the node runs in its own container."""
    resources = settings.nodes.get(node, Resources())
    if not resources.machine_type:
        return None

    from tfx.extensions.google_cloud_ai_platform.constants import ENABLE_VERTEX_KEY, VERTEX_REGION_KEY
    from tfx.extensions.google_cloud_ai_platform.trainer.executor import TRAINING_ARGS_KEY
    from tfx.extensions.google_cloud_ai_platform.tuner.executor import TUNING_ARGS_KEY

    machine: dict[str, object] = {"machine_type": resources.machine_type}
    if resources.accelerator:
        machine |= {"accelerator_type": resources.accelerator, "accelerator_count": resources.accelerators}
    job_spec: dict[str, object] = {
        "worker_pool_specs": [
            {"machine_spec": machine, "replica_count": 1, "container_spec": {"image_uri": settings.image}}
        ]
    }
    if settings.service_account:
        job_spec["service_account"] = settings.service_account
    return {
        ENABLE_VERTEX_KEY: True,
        VERTEX_REGION_KEY: settings.region,
        TRAINING_ARGS_KEY if node == "Trainer" else TUNING_ARGS_KEY: {
            "project": settings.project,
            "job_spec": job_spec,
        },
    }


def _check(config: Config) -> None:
    settings = config.kubeflow
    needed = {
        "data.source": (
            config.data.source,
            "the folder of TFRecords that `atelier ingest` wrote, where all nodes see it",
        ),
        "kubeflow.root": (settings.root, "a folder that all nodes see, as in gs://BUCKET/atelier"),
        "kubeflow.image": (settings.image, "the image that `atelier kubeflow image` builds"),
    }
    if any(resources.machine_type for resources in settings.nodes.values()):
        needed["kubeflow.project"] = (settings.project, "the Google Cloud project that the training job runs in")
    checks.require(needed)
    if word := builtin_names.resolve(config.data.source, builtin_sources.NAMES):
        raise KubeflowError(
            f"data.source is {word}, which is made on this machine: run `atelier ingest "
            f"--source {word}`, copy its output to where all nodes see it, and name that folder"
        )
    if (
        config.tuner.enabled
        and config.tuner.parallel_trials > 1
        and not settings.nodes.get("Tuner", Resources()).machine_type
    ):
        raise KubeflowError(
            f"tuner.parallel_trials is {config.tuner.parallel_trials}: only Vertex AI searches on several machines, "
            "and kubeflow.nodes.Tuner.machine_type must name their type"
        )
    for node, resources in settings.nodes.items():
        if resources.machine_type and (node not in JOBS or settings.target == "kfp"):
            raise KubeflowError(
                f"kubeflow.nodes.{node}.machine_type: only {' and '.join(JOBS)} on Vertex AI run as jobs of their own; "
                "limit others by cpu, memory_gb and accelerator"
            )
    checks.check_config(config, sent=False)


def _build_limits(resources: Resources) -> dict[str, object]:
    """KFP's ResourceSpec; TFX leaves it out for ImportExampleGen, whatever its platform configuration says."""
    spec: dict[str, object] = {}
    if resources.cpu:
        spec["cpuLimit"] = resources.cpu
    if resources.memory_gb:
        spec["memoryLimit"] = resources.memory_gb
    if resources.accelerator and not resources.machine_type:
        spec["accelerator"] = {"type": resources.accelerator, "count": str(resources.accelerators)}
    return spec


def _replace_dots(job: dict[str, Any]) -> dict[str, Any]:
    """The job with `-` for the dot in names of nodes, which Argo, below Kubeflow Pipelines, does not take."""
    tasks = job["pipelineSpec"]["root"]["dag"]["tasks"]
    new = {name + end: name.replace(".", "-") + end for name in tasks for end in ("", "_executor")}

    def rename(value: Any) -> Any:
        if isinstance(value, dict):
            return {new.get(key, key): rename(below) for key, below in value.items()}
        if isinstance(value, list):
            return [rename(each) for each in value]
        return new.get(value, value) if isinstance(value, str) else value

    return rename(job)


def _dump_yaml(spec: Mapping[str, Any]) -> str:
    return yaml.safe_dump(spec, sort_keys=True, width=10**6).rstrip("\n")

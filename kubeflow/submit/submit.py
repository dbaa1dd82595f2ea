"""Starts a run, or a schedule of runs, of the compiled pipeline on Vertex AI or on Kubeflow Pipelines."""

import json
import secrets
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

from atelier.files import leftovers
from kubeflow import checks
from pipeline.config.config import Config
from pipeline.config.sections.kubeflow import Kubeflow

Compile = Callable[[Config, Path], object]
"""Writes the specification to a file: `kubeflow.compile.compile_pipeline`."""


def submit(config: Config, given: Mapping[str, str], compile_pipeline: Compile) -> tuple[str, str]:
    """Compiles and submits.

    Args:
      config: its section `kubeflow` says where to, and how.
      given: parameters of the run by name; the others have their defaults.
      compile_pipeline: writes the specification.

    Returns:
      The name of the run or schedule, and the URL where it can be watched.

    Raises:
      KubeflowError: the configuration lacks something, credentials are missing, or the other side refused.
    """
    check(config)
    settings = config.kubeflow
    checks.check_parameters(given, settings, sent=True)
    name = _make_name(config.name)
    with leftovers.create_scratch("submit") as folder:
        if settings.target == "vertex":
            from kubeflow import vertex_api
            from kubeflow.submit import vertex

            credentials = vertex_api.find_credentials()  # before the seconds that compiling takes
            file = folder / "pipeline.json"
            compile_pipeline(config, file)
            job = build_vertex_job(config, _read(file), _resolve_values(file, given), name)
            send = vertex.create_schedule if settings.schedule else vertex.create_run
            return name, send(job, name, settings, credentials)

        from kubeflow.submit import kfp_endpoint

        client = kfp_endpoint.connect(settings)
        file = folder / "pipeline.yaml"
        compile_pipeline(config, file)
        values = _resolve_values(file, given)
        add_pod_labels(file, settings.labels)
        return name, kfp_endpoint.create(client, file, values, name, config.name, settings)


def describe(settings: Kubeflow) -> str:
    """Returns when and where a submitted pipeline runs, for the terminal."""
    where = (
        f"Vertex AI, project {settings.project}, {settings.region}"
        if settings.target == "vertex"
        else settings.endpoint
    )
    what = f"runs at {settings.schedule}" if settings.schedule else "runs"
    return f"{what} on {where}"


def check(config: Config) -> None:
    """Looks for what can be known before anything is compiled or sent.

    Raises:
      KubeflowError: names the key of the configuration, and the remedy.
    """
    settings = config.kubeflow
    needed = {
        "kubeflow.image": (settings.image, "the image that `atelier kubeflow image` builds, in a registry"),
        "kubeflow.root": (settings.root, "a folder that all nodes see, as in gs://BUCKET/atelier"),
    }
    if settings.target == "vertex":
        needed["kubeflow.project"] = (settings.project, "the Google Cloud project that the run belongs to")
        needed["kubeflow.region"] = (settings.region, "where it runs, as in us-central1")
    else:
        needed["kubeflow.endpoint"] = (settings.endpoint, "where Kubeflow Pipelines answers: https://HOST/pipeline")
    checks.require(needed)
    checks.check_config(config, sent=True)


def build_vertex_job(
    config: Config, compiled: Mapping[str, Any], values: Mapping[str, object], name: str
) -> dict[str, Any]:
    """The PipelineJob as its JSON form.

    Args:
      config: has labels, service account, root and the caching switch.
      compiled: a PipelineJob, whose labels and defaults for the run are kept, or a PipelineSpec.
      values: of parameters, by name.
      name: to be shown.
    """
    settings = config.kubeflow
    spec = json.loads(json.dumps(compiled.get("pipelineSpec", compiled)))
    if not settings.caching:
        _turn_caching_off(spec)
    runtime = compiled.get("runtimeConfig", {})
    job: dict[str, Any] = {
        "displayName": name,
        "pipelineSpec": spec,
        "labels": {**compiled.get("labels", {}), **settings.labels},  # TFX's own tell its version
        "runtimeConfig": {
            "gcsOutputDirectory": settings.pipeline_root,
            "parameterValues": {**runtime.get("parameterValues", {}), **values},
        },
    }
    if settings.service_account:
        job["serviceAccount"] = settings.service_account
    return job


def add_pod_labels(package: Path, labels: Mapping[str, str]) -> None:
    """Adds the labels of every container step's pod, as kfp-kubernetes writes them, to a package for KFP.

    Args:
      package: in YAML: the specification, and perhaps more for the platform.
      labels: as Kubernetes takes them.
    """
    if not labels:
        return
    spec, *others = yaml.safe_load_all(package.read_text(encoding="utf-8"))
    platform = others[0] if others else {}
    kubernetes = platform.setdefault("platforms", {}).setdefault("kubernetes", {})
    executors = kubernetes.setdefault("deploymentSpec", {}).setdefault("executors", {})
    for executor, content in spec["deploymentSpec"]["executors"].items():
        if "container" in content:
            pod = executors.setdefault(executor, {}).setdefault("podMetadata", {})
            pod["labels"] = {**pod.get("labels", {}), **labels}
    package.write_text(yaml.safe_dump_all([spec, platform], sort_keys=True, width=10**6), encoding="utf-8")


def _make_name(pipeline: str) -> str:
    """Of a run: its id on Vertex AI, where two runs within a second are two."""
    return f"{pipeline}-{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{secrets.token_hex(2)}"


def _turn_caching_off(spec: dict[str, Any]) -> None:
    """On every task. Never on: a node that was compiled without has a reason."""
    for component in [spec["root"], *spec.get("components", {}).values()]:
        for task in component.get("dag", {}).get("tasks", {}).values():
            task["cachingOptions"] = {"enableCache": False}


def _resolve_values(file: Path, given: Mapping[str, str]) -> dict[str, object]:
    """What was given, in the types that the specification declares."""
    from kubeflow import spec
    from kubeflow.replay.parameter_values import resolve_parameters

    values = resolve_parameters(spec.load(file), given)
    return {name: values[name] for name in given}


def _read(file: Path) -> dict[str, Any]:
    return json.loads(file.read_text(encoding="utf-8"))

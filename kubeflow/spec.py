"""A compiled pipeline, read from its file and checked before anything of it runs."""

import graphlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2 as pb

from atelier.errors import AtelierError, KubeflowError

LEGACY, CURRENT = "2.0.0", "2.1.0"
"""Schema versions. The older has parameters of its own types, the newer ones of protobuf's `Value`."""
_NAME = re.compile(r"[\w-][\w.-]*")


@dataclass(frozen=True)
class Spec:
    """A pipeline whose every reference leads somewhere."""

    name: str
    legacy: bool
    """Of schema 2.0."""
    tasks: Mapping[str, pb.PipelineTaskSpec]
    """By name, each after those that it depends on."""
    upstream: Mapping[str, frozenset[str]]
    """What a task depends on, by its name."""
    components: Mapping[str, pb.ComponentSpec]
    """By the name of the task."""
    executors: Mapping[str, pb.PipelineDeploymentConfig.ExecutorSpec]
    """By the name of the task."""
    parameters: Mapping[str, pb.ComponentInputsSpec.ParameterSpec]
    """What the whole run can be given."""
    runtime: pb.PipelineJob.RuntimeConfig
    """What it is given where nobody says otherwise; empty in YAML, which has no room for it."""


def load(path: Path) -> Spec:
    """Reads and checks a specification.

    Args:
      path: a PipelineJob in JSON, or a PipelineSpec in YAML or JSON.

    Raises:
      KubeflowError: the file cannot be read, or holds no pipeline that can be replayed; names what is wrong.
    """
    document = _read(path)
    try:
        return _read_spec(document)
    except json_format.ParseError as error:
        raise KubeflowError(f"{path}: not a compiled pipeline: {_join_lines(error)}") from None
    except _FaultError as error:
        raise KubeflowError(f"{path}: {error}") from None


class _FaultError(AtelierError):
    """What is wrong with the pipeline."""


def _read(path: Path) -> dict[str, Any]:
    if path.suffix not in (".json", ".yaml", ".yml"):
        raise KubeflowError(f"{path}: the name of a compiled pipeline ends in .json or .yaml")
    try:
        text = path.read_text(encoding="utf-8")
        # KFP's own compiler may put a second document, on the platform, into YAML.
        document = json.loads(text) if path.suffix == ".json" else next(yaml.safe_load_all(text), None)
    except OSError as error:
        raise KubeflowError(f"{path}: {error.strerror}") from None
    except (ValueError, yaml.YAMLError, RecursionError) as error:
        kind = "JSON" if path.suffix == ".json" else "YAML"
        raise KubeflowError(f"{path}: not {kind}: {_join_lines(error)}") from None
    if not isinstance(document, dict):
        raise KubeflowError(f"{path}: not a compiled pipeline: it holds no mapping")
    return document


def _join_lines(error: Exception) -> str:
    return " ".join(str(error).split())


def _read_spec(document: dict[str, Any]) -> Spec:
    pipeline = document.get("pipelineSpec", document)
    spec = _parse(pipeline, pb.PipelineSpec())
    tasks = dict(spec.root.dag.tasks)
    if not tasks:
        raise _FaultError("not a compiled pipeline: it has no root.dag.tasks")
    if spec.schema_version not in (LEGACY, CURRENT):
        raise _FaultError(f"schemaVersion is {spec.schema_version!r}, not {LEGACY} or {CURRENT}")
    deployment = _parse(pipeline.get("deploymentSpec", {}), pb.PipelineDeploymentConfig())
    components = {name: _read_component(name, task, spec.components) for name, task in tasks.items()}
    checked = Spec(
        name=spec.pipeline_info.name,
        legacy=spec.schema_version == LEGACY,
        tasks=tasks,
        upstream={},
        components=components,
        executors={name: _read_executor(name, one, deployment.executors) for name, one in components.items()},
        parameters=dict(spec.root.input_definitions.parameters),
        runtime=_parse(document.get("runtimeConfig", {}), pb.PipelineJob.RuntimeConfig()),
    )
    for name in tasks:
        _check(name, checked)
    upstream = {name: frozenset(_list_upstream(task)) for name, task in tasks.items()}
    order = _sort_tasks(upstream)
    return Spec(**{**vars(checked), "tasks": {name: tasks[name] for name in order}, "upstream": upstream})


def _parse(document: object, message: Any) -> Any:
    if not isinstance(document, dict):
        raise _FaultError(f"not a compiled pipeline: {type(message).__name__} is no mapping")
    try:
        return json_format.ParseDict(document, message, ignore_unknown_fields=True)
    except (
        TypeError,
        AttributeError,
    ) as error:  # protobuf's parser stumbles over some shapes without a word of its own
        raise _FaultError(f"not a compiled pipeline: {_join_lines(error)}") from None


def _read_component(
    name: str, task: pb.PipelineTaskSpec, components: Mapping[str, pb.ComponentSpec]
) -> pb.ComponentSpec:
    if not _NAME.fullmatch(name):
        raise _FaultError(f"task {name!r}: its name cannot be used as the name of a folder")
    reference = task.component_ref.name
    if reference not in components:
        raise _FaultError(f"task {name}: no component {reference!r}")
    component = components[reference]
    if component.HasField("dag"):
        raise _FaultError(f"task {name}: a pipeline within the pipeline (as an exit handler makes) is not replayed")
    for key in component.output_definitions.artifacts.keys() | component.output_definitions.parameters.keys():
        if not _NAME.fullmatch(key):
            raise _FaultError(f"task {name}: output {key!r}: its name cannot be used as the name of a folder")
    return component


def _read_executor(
    name: str, component: pb.ComponentSpec, executors: Mapping[str, pb.PipelineDeploymentConfig.ExecutorSpec]
) -> pb.PipelineDeploymentConfig.ExecutorSpec:
    label = component.executor_label
    if label not in executors:
        raise _FaultError(f"task {name}: no executor {label!r}")
    executor = executors[label]
    kind = executor.WhichOneof("spec")
    if kind not in ("container", "importer", "resolver"):
        raise _FaultError(f"task {name}: executor {label!r} is not a container, an importer or a resolver")
    if kind == "container" and not executor.container.command:
        raise _FaultError(f"task {name}: its container has no command, and its image's own is not known here")
    return executor


def _check(name: str, spec: Spec) -> None:
    """Every reference of a task; corrects that of TFX to tasks by another name."""
    task = spec.tasks[name]
    if task.WhichOneof("iterator"):
        raise _FaultError(f"task {name}: loops are not replayed")
    for dependency in task.dependent_tasks:
        if dependency not in spec.tasks:
            raise _FaultError(f"task {name}: depends on {dependency!r}, which is not a task")
    for key, artifact in task.inputs.artifacts.items():
        if artifact.WhichOneof("kind") != "task_output_artifact":
            raise _FaultError(f"task {name}: input {key!r} is no task's output; other artifacts are not replayed")
        source = artifact.task_output_artifact
        _check_output(name, key, source.producer_task, source.output_artifact_key, "artifacts", spec)
    for key, parameter in task.inputs.parameters.items():
        _check_parameter(name, key, parameter, spec)


def _check_parameter(name: str, key: str, parameter: pb.TaskInputsSpec.InputParameterSpec, spec: Spec) -> None:
    kind = parameter.WhichOneof("kind")
    if kind == "task_output_parameter":
        output = parameter.task_output_parameter
        output.producer_task = _strip_suffix(output.producer_task, spec.tasks)
        _check_output(name, key, output.producer_task, output.output_parameter_key, "parameters", spec)
    elif kind == "component_input_parameter":
        if parameter.component_input_parameter not in spec.parameters:
            unknown = parameter.component_input_parameter
            raise _FaultError(f"task {name}: input {key!r} is {unknown!r}, which is not a parameter of the run")
    elif kind != "runtime_value":
        raise _FaultError(f"task {name}: input {key!r}: {kind or 'no value'} is not replayed")


def _check_output(name: str, key: str, producer: str, output: str, kind: str, spec: Spec) -> None:
    if producer not in spec.tasks:
        raise _FaultError(f"task {name}: input {key!r} is of {producer!r}, which is not a task")
    if output not in getattr(spec.components[producer].output_definitions, kind):
        raise _FaultError(f"task {name}: input {key!r} is {output!r} of {producer}, which has no such output")


def _strip_suffix(producer: str, tasks: Iterable[str]) -> str:
    """TFX 1.21 writes X_task for the output parameter of X; whether a cluster takes that, replay cannot tell."""
    shorter = producer.removesuffix("_task")
    return shorter if producer not in tasks and shorter in tasks else producer


def _list_upstream(task: pb.PipelineTaskSpec) -> Iterable[str]:
    yield from task.dependent_tasks
    for artifact in task.inputs.artifacts.values():
        yield artifact.task_output_artifact.producer_task
    for parameter in task.inputs.parameters.values():
        if parameter.HasField("task_output_parameter"):
            yield parameter.task_output_parameter.producer_task


def _sort_tasks(upstream: Mapping[str, frozenset[str]]) -> list[str]:
    sorter = graphlib.TopologicalSorter({name: sorted(upstream[name]) for name in sorted(upstream)})
    try:
        return list(sorter.static_order())
    except graphlib.CycleError as error:
        raise _FaultError(f"its tasks wait for each other: {' -> '.join(reversed(error.args[1]))}") from None

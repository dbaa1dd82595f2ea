"""What a cluster's launcher hands to a container (ExecutorInput), and what it takes back (ExecutorOutput)."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2 as pb

from atelier.errors import AtelierError, KubeflowError
from kubeflow.replay import parameter_values

VALUE_TYPES = frozenset(f"tfx.{name}" for name in ("Integer", "Float", "String", "Boolean", "JsonValue"))
"""Artifacts that are one file."""


class ExchangeError(AtelierError):
    """A task's input cannot be made, or its output cannot be read."""


@dataclass(frozen=True)
class Outputs:
    """What a task that has ended offers to others."""

    artifacts: Mapping[str, Sequence[pb.RuntimeArtifact]] = field(default_factory=dict)
    parameters: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Place:
    """Where a task leaves what it makes."""

    folder: Path
    run: str
    task: str

    @property
    def output_file(self) -> Path:
        """Where a container writes its ExecutorOutput."""
        return self.folder / "executor_output.json"

    def name_artifact(self, key: str) -> str:
        """Unique, as the metadata store's is: TFX hashes it to an id, and a blessing names its model by it."""
        return f"projects/0/locations/local/metadataStores/default/artifacts/{self.run}-{self.task}-{key}"


def build(
    task: pb.PipelineTaskSpec,
    component: pb.ComponentSpec,
    place: Place,
    *,
    legacy: bool,
    run_parameters: Mapping[str, object],
    upstream: Mapping[str, Outputs],
) -> pb.ExecutorInput:
    """The input of a task.

    Args:
      task: which inputs it takes from where.
      component: which inputs and outputs it has.
      place: where its outputs will be.
      legacy: of schema 2.0.
      run_parameters: of the whole run.
      upstream: outputs of the tasks that have ended, by their names.

    Raises:
      ExchangeError: an input parameter is of a task that has left none.
    """
    result = pb.ExecutorInput()
    for key, source in task.inputs.artifacts.items():
        output = source.task_output_artifact
        found = upstream.get(output.producer_task, Outputs()).artifacts.get(output.output_artifact_key, ())
        result.inputs.artifacts[key].artifacts.extend(found)
    for key, value in _resolve_parameters(task, component, run_parameters, upstream).items():
        if legacy:
            result.inputs.parameters[key].CopyFrom(parameter_values.to_legacy(value))
        else:
            json_format.ParseDict(value, result.inputs.parameter_values[key])
    for key, declared in component.output_definitions.artifacts.items():
        result.outputs.artifacts[key].artifacts.add(
            name=place.name_artifact(key),
            type=declared.artifact_type,
            uri=str(place.folder / key),
            metadata=declared.metadata,
        )
    for key in component.output_definitions.parameters:
        result.outputs.parameters[key].output_file = str(place.folder / "parameters" / key)
    result.outputs.output_file = str(place.output_file)
    return result


def make_folders(executor_input: pb.ExecutorInput) -> None:
    """Makes the folders of the outputs: an object store, where a cluster has them, asks for none.

    A value artifact's class of one's own cannot be told from a folder's, and gets a folder.
    """
    for artifacts in executor_input.outputs.artifacts.values():
        for artifact in artifacts.artifacts:
            uri = Path(artifact.uri)
            (uri.parent if get_type_name(artifact.type) in VALUE_TYPES else uri).mkdir(parents=True, exist_ok=True)
    for parameter in executor_input.outputs.parameters.values():
        Path(parameter.output_file).parent.mkdir(parents=True, exist_ok=True)


def take_driver_output(executor_input: pb.ExecutorInput) -> None:
    """Puts what a driver (preCacheCheck) has found into its executor's input, as the service does.

    Raises:
      ExchangeError: its output cannot be read.
    """
    output = _read(executor_input)
    _merge(executor_input, output)
    for key, value in output.parameter_values.items():
        executor_input.inputs.parameter_values[key].CopyFrom(value)
    for key, legacy in output.parameters.items():
        executor_input.inputs.parameters[key].CopyFrom(legacy)


def take_output(executor_input: pb.ExecutorInput, component: pb.ComponentSpec) -> Outputs:
    """What a container has made: the outputs it was to make, with what its metadata file says of them.

    Raises:
      ExchangeError: the file cannot be read, or a parameter is missing or not of its type.
    """
    output = _read(executor_input)
    final = pb.ExecutorInput()
    final.CopyFrom(executor_input)
    _merge(final, output)
    parameters = {
        key: _read_output_parameter(key, parameter_values.get_type(declared), output, executor_input)
        for key, declared in component.output_definitions.parameters.items()
    }
    return Outputs({key: tuple(found.artifacts) for key, found in final.outputs.artifacts.items()}, parameters)


def import_artifact(importer: pb.PipelineDeploymentConfig.ImporterSpec, executor_input: pb.ExecutorInput) -> Outputs:
    """The artifact of an importer, whose place is a constant or one of its parameters.

    Raises:
      ExchangeError: the place is not known.
    """
    place = importer.artifact_uri
    inputs = executor_input.inputs
    uri: object = None
    if place.HasField("constant"):
        uri = parameter_values.to_python(place.constant)
    elif place.HasField("constant_value"):
        uri = parameter_values.from_legacy(place.constant_value)
    elif place.runtime_parameter in inputs.parameter_values:
        uri = parameter_values.to_python(inputs.parameter_values[place.runtime_parameter])
    elif place.runtime_parameter in inputs.parameters:
        uri = parameter_values.from_legacy(inputs.parameters[place.runtime_parameter])
    if not isinstance(uri, str) or len(executor_input.outputs.artifacts) != 1:
        raise ExchangeError("its importer needs one URI and one output")
    ((key, declared),) = executor_input.outputs.artifacts.items()
    artifact = pb.RuntimeArtifact()
    artifact.CopyFrom(declared.artifacts[0])
    artifact.uri = uri
    artifact.metadata.update(json_format.MessageToDict(importer.metadata))
    return Outputs({key: (artifact,)})


def get_type_name(type_: pb.ArtifactTypeSchema) -> str:
    """The name of an artifact's type, `tfx.Model`."""
    if type_.WhichOneof("kind") != "instance_schema":
        return type_.schema_title or "tfx.Artifact"
    schema = yaml.safe_load(type_.instance_schema)
    return schema.get("title", "tfx.Artifact") if isinstance(schema, dict) else "tfx.Artifact"


def _resolve_parameters(
    task: pb.PipelineTaskSpec,
    component: pb.ComponentSpec,
    run_parameters: Mapping[str, object],
    upstream: Mapping[str, Outputs],
) -> dict[str, object]:
    values: dict[str, object] = {}
    for key, declared in component.input_definitions.parameters.items():
        if declared.HasField("default_value"):
            values[key] = parameter_values.to_python(declared.default_value)
    for key, source in task.inputs.parameters.items():
        kind = source.WhichOneof("kind")
        if kind == "component_input_parameter":
            name = source.component_input_parameter
            if name in run_parameters:
                values[key] = run_parameters[name]
        elif kind == "task_output_parameter":
            output = source.task_output_parameter
            found = upstream.get(output.producer_task, Outputs()).parameters
            if output.output_parameter_key not in found:
                raise ExchangeError(
                    f"{output.producer_task} has not written the parameter {output.output_parameter_key}"
                )
            values[key] = found[output.output_parameter_key]
        elif source.runtime_value.HasField("constant"):
            values[key] = parameter_values.to_python(source.runtime_value.constant)
        else:
            values[key] = parameter_values.from_legacy(source.runtime_value.constant_value)
    return values


def _read(executor_input: pb.ExecutorInput) -> pb.ExecutorOutput:
    """Empty if there is no file: a container need not write it."""
    file = Path(executor_input.outputs.output_file)
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return pb.ExecutorOutput()
    except (OSError, ValueError) as error:
        raise ExchangeError(f"{file.name} cannot be read: {error}") from None
    try:
        return json_format.Parse(text, pb.ExecutorOutput(), ignore_unknown_fields=True)
    except json_format.ParseError as error:
        raise ExchangeError(f"{file.name} is not an ExecutorOutput: {' '.join(str(error).split())}") from None


def _merge(executor_input: pb.ExecutorInput, output: pb.ExecutorOutput) -> None:
    """KFP's launcher takes one artifact an output: its place, if it says one, and its metadata, key by key."""
    for key, made in output.artifacts.items():
        if key in executor_input.outputs.artifacts and made.artifacts:
            ours = executor_input.outputs.artifacts[key].artifacts[0]
            ours.uri = made.artifacts[0].uri or ours.uri
            ours.metadata.update(json_format.MessageToDict(made.artifacts[0].metadata))


def _read_output_parameter(key: str, kind: str, output: pb.ExecutorOutput, executor_input: pb.ExecutorInput) -> object:
    """From the metadata file, else from the parameter's own file."""
    try:
        if key in output.parameter_values:
            return parameter_values.check(key, parameter_values.to_python(output.parameter_values[key]), kind)
        if key in output.parameters:
            return parameter_values.check(key, parameter_values.from_legacy(output.parameters[key]), kind)
        text = Path(executor_input.outputs.parameters[key].output_file).read_text(encoding="utf-8")
        return parameter_values.read(key, text, kind)
    except FileNotFoundError:
        raise ExchangeError(f"its output parameter {key} is not there") from None
    except (KubeflowError, OSError, ValueError) as error:
        raise ExchangeError(f"its output: {error}") from None


def to_json(executor_input: pb.ExecutorInput, indent: int | None = None) -> str:
    """As it stands for `{{$}}` in a command."""
    return json.dumps(parameter_values.restore_integers(json_format.MessageToDict(executor_input)), indent=indent)


def to_dict(artifact: pb.RuntimeArtifact) -> dict[str, Any]:
    """An artifact in JSON's shape."""
    return parameter_values.restore_integers(json_format.MessageToDict(artifact))

"""Placeholders in a container's command line, `{{$}}` and those that name one input or output."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from kfp.pipeline_spec import pipeline_spec_pb2 as pb

from kubeflow.replay import executor_input as exchange
from kubeflow.replay import parameter_values

_PLACEHOLDER = re.compile(r"\{\{\$(.*?)\}\}", re.DOTALL)
_ONE = re.compile(
    r"\.(?P<side>inputs|outputs)\.(?P<kind>artifacts|parameters)\['(?P<key>[^']+)'\]"
    r"(?:\.(?P<field>\w+)(?:\['(?P<item>[^']+)'\])?)?"
)


def resolve(text: str, executor_input: pb.ExecutorInput, names: Mapping[str, str]) -> str:
    """Fills the placeholders of one word of a command.

    Args:
      text: the word.
      executor_input: of the task.
      names: of the run and the task, by `pipeline_job_name` and the like.

    Raises:
      exchange.ExchangeError: what a placeholder asks for is not there, or not known.
    """
    return _PLACEHOLDER.sub(lambda match: _resolve_placeholder(match, executor_input, names), text)


def _resolve_placeholder(match: re.Match[str], executor_input: pb.ExecutorInput, names: Mapping[str, str]) -> str:
    inner = match[1]
    if not inner:
        return exchange.to_json(executor_input)
    if inner == ".outputs.output_file":
        return executor_input.outputs.output_file
    if inner.removeprefix(".") in names:
        return names[inner.removeprefix(".")]
    one = _ONE.fullmatch(inner)
    value = None
    if one and one["kind"] == "artifacts" and one["field"]:
        value = _resolve_artifact(one, executor_input)
    elif one and one["side"] == "inputs" and one["kind"] == "parameters" and not one["field"]:
        value = _resolve_parameter(one["key"], executor_input)
    elif one and one["side"] == "outputs" and one["field"] == "output_file":
        value = executor_input.outputs.parameters[one["key"]].output_file
    if value is None:
        raise exchange.ExchangeError(f"its command asks for {match[0]}, which the task does not have")
    return value


def _resolve_parameter(key: str, executor_input: pb.ExecutorInput) -> str | None:
    inputs = executor_input.inputs
    if key in inputs.parameter_values:
        return parameter_values.to_text(parameter_values.to_python(inputs.parameter_values[key]))
    if key in inputs.parameters:
        return parameter_values.to_text(parameter_values.from_legacy(inputs.parameters[key]))
    return None


def _resolve_artifact(one: re.Match[str], executor_input: pb.ExecutorInput) -> str | None:
    artifacts = getattr(executor_input, one["side"]).artifacts
    if one["key"] not in artifacts or not artifacts[one["key"]].artifacts:
        return None
    artifact = artifacts[one["key"]].artifacts[0]
    if one["field"] == "metadata" and one["item"] in artifact.metadata:
        return parameter_values.to_text(exchange.to_dict(artifact)["metadata"][one["item"]])
    fields: dict[str, Callable[[], str]] = {
        "uri": lambda: artifact.uri,
        "path": lambda: artifact.uri,
        "name": lambda: artifact.name,
        "value": lambda: _read_content(artifact.uri, one[0]),
    }
    return fields[one["field"]]() if one["field"] in fields and one["item"] is None else None


def _read_content(uri: str, placeholder: str) -> str:
    try:
        return Path(uri).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise exchange.ExchangeError(f"its command asks for {placeholder}, which cannot be read: {error}") from None

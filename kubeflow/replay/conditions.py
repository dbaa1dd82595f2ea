"""Conditions of tasks (`triggerPolicy.condition`), in the Common Expression Language."""

from typing import Any

import celpy
from celpy import celtypes
from celpy.celparser import CELParseError
from celpy.evaluation import CELEvalError
from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2 as pb

from atelier.errors import AtelierError


class ConditionError(AtelierError):
    """The condition cannot be evaluated: the node would fail on the cluster."""


def evaluate(condition: str, executor_input: pb.ExecutorInput) -> bool:
    """Evaluates a condition over the task's ExecutorInput, whose fields it names as protobuf does.

    Args:
      condition: as TFX writes it, `inputs.artifacts['blessing'].artifacts[0].metadata['blessed'] == 1.0`.
      executor_input: every number of its metadata and parameters is a double, as in protobuf's `Value`.

    Raises:
      ConditionError: it does not parse, compares what cannot be compared, names what is not there, or is no boolean.
    """
    environment = celpy.Environment()
    try:
        value = environment.program(environment.compile(condition)).evaluate(_collect_names(executor_input))
    except CELParseError as error:
        raise ConditionError(f"its condition does not parse near column {error.column}: {condition}") from None
    except CELEvalError as error:
        raise ConditionError(f"its condition fails ({_explain_error(error)}): {condition}") from None
    if not isinstance(value, celtypes.BoolType):
        raise ConditionError(f"its condition is {value!r}, neither true nor false: {condition}")
    return bool(value)


def _collect_names(executor_input: pb.ExecutorInput) -> dict[str, Any]:
    fields = json_format.MessageToDict(
        executor_input, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    names = {name: _convert_to_cel(value) for name, value in fields.items()}
    if "inputs" in names:
        names["inputs"][celtypes.StringType("parameters")] = _convert_legacy_parameters(executor_input)
    return names


def _convert_legacy_parameters(executor_input: pb.ExecutorInput) -> celtypes.MapType:
    """Parameters of schema 2.0: their integers are none in JSON."""
    types = {
        "int_value": celtypes.IntType,
        "double_value": celtypes.DoubleType,
        "string_value": celtypes.StringType,
    }
    parameters = {}
    for name, value in executor_input.inputs.parameters.items():
        fields = {celtypes.StringType(kind): type_(getattr(value, kind)) for kind, type_ in types.items()}
        parameters[celtypes.StringType(name)] = celtypes.MapType(fields)
    return celtypes.MapType(parameters)


def _convert_to_cel(value: object) -> Any:
    """JSON as CEL's types."""
    if isinstance(value, dict):
        return celtypes.MapType({celtypes.StringType(key): _convert_to_cel(one) for key, one in value.items()})
    if isinstance(value, list):
        return celtypes.ListType([_convert_to_cel(one) for one in value])
    if isinstance(value, bool):
        return celtypes.BoolType(value)
    if isinstance(value, int | float):
        return celtypes.DoubleType(value)
    return None if value is None else celtypes.StringType(str(value))


def _explain_error(error: CELEvalError) -> str:
    """The library's arguments are the kind of the error, an exception's class and its arguments."""
    kind, *rest = error.args or ("unknown",)
    if kind == "no such key" and len(rest) == 2:
        return f"no such key: {rest[1][0]}"
    details = rest[1] if len(rest) == 2 and isinstance(rest[1], tuple) and rest[1] else (kind,)
    return " ".join(str(details[0]).split())

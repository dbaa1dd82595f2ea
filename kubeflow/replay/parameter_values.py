"""Parameters of a run: what they are by default, and what a user says instead."""

import json
import math
import re
from collections.abc import Mapping
from typing import Any

from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2 as pb

from atelier.errors import KubeflowError
from kubeflow.spec import Spec

MAX_INTEGER = 2**53
"""Parameters travel as doubles: from here on not every integer is one."""
_DOUBLE = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_LEGACY_TYPES = {"INT": "NUMBER_INTEGER", "DOUBLE": "NUMBER_DOUBLE", "STRING": "STRING"}


def resolve_parameters(spec: Spec, given: Mapping[str, object]) -> dict[str, object]:
    """The value of every parameter of the run; of optional ones only if they have any.

    Args:
      spec: declares them.
      given: instead of the defaults; texts are read as the declared type.

    Raises:
      KubeflowError: a name is unknown, a value is not of the type, or none is there.
    """
    known = ", ".join(sorted(spec.parameters)) or "none"
    for name in given:
        if name not in spec.parameters:
            raise KubeflowError(f"parameter {name}: the pipeline has no such parameter; it has {known}")
    values = {}
    for name, declared in spec.parameters.items():
        value = read(name, given[name], get_type(declared)) if name in given else get_default(spec, name)
        if value is None and not declared.is_optional:
            raise KubeflowError(f"parameter {name} has no value; give it by --parameter {name}=VALUE")
        if value is not None:
            values[name] = value
    return values


def get_type(declared: Any) -> str:
    """STRING, NUMBER_INTEGER and so on, of an input's or an output's declaration in either schema."""
    if declared.parameter_type:
        return pb.ParameterType.ParameterTypeEnum.Name(declared.parameter_type)
    return _LEGACY_TYPES.get(pb.PrimitiveType.PrimitiveTypeEnum.Name(declared.type), "STRING")


def get_default(spec: Spec, name: str) -> object | None:
    """From the run's configuration, else from the declaration."""
    declared = spec.parameters[name]
    kind = get_type(declared)
    if name in spec.runtime.parameter_values:
        return check(name, to_python(spec.runtime.parameter_values[name]), kind)
    if name in spec.runtime.parameters:
        return check(name, from_legacy(spec.runtime.parameters[name]), kind)
    if declared.HasField("default_value"):
        return check(name, to_python(declared.default_value), kind)
    return None


def to_python(value: Any) -> Any:
    """A protobuf `Value` as Python's."""
    return restore_integers(json_format.MessageToDict(value))


def restore_integers(value: Any) -> Any:
    """JSON whose whole numbers are integers: so Go's protobuf writes them, which the launchers use."""
    if isinstance(value, dict):
        return {key: restore_integers(below) for key, below in value.items()}
    if isinstance(value, list):
        return [restore_integers(each) for each in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def from_legacy(value: pb.Value) -> object | None:
    """A value of schema 2.0 as Python's."""
    kind = value.WhichOneof("value")
    return getattr(value, kind) if kind else None


def to_legacy(value: object) -> pb.Value:
    """A value for schema 2.0, which knows numbers and strings only."""
    if isinstance(value, int) and not isinstance(value, bool):
        return pb.Value(int_value=value)
    if isinstance(value, float):
        return pb.Value(double_value=value)
    return pb.Value(string_value=to_text(value))


def to_text(value: object) -> str:
    """As it stands in a command line."""
    return value if isinstance(value, str) else json.dumps(value)


def read(name: str, value: object, kind: str) -> object:
    """What `value`, a text in most cases, means as a parameter of type `kind`.

    Raises:
      KubeflowError: nothing of that type.
    """
    if not isinstance(value, str) or kind == "STRING":
        return check(name, value, kind)
    text = value.strip()
    if kind == "NUMBER_INTEGER" and re.fullmatch(r"[+-]?\d{1,30}", text, re.ASCII):
        return check(name, int(text), kind)
    if kind == "NUMBER_DOUBLE" and _DOUBLE.fullmatch(text):  # Python's float() also takes 0_1, for 1
        return check(name, float(text), kind)
    if kind == "BOOLEAN":
        return check(name, {"true": True, "false": False}.get(text.lower(), value), kind)
    if kind in ("LIST", "STRUCT"):
        try:
            return check(name, json.loads(text), kind)
        except json.JSONDecodeError:
            pass
    raise KubeflowError(_build_error(name, value, kind))


def check(name: str, value: object, kind: str) -> object:
    """`value`, an integer where one is declared, if it is of the type.

    Raises:
      KubeflowError: it is not.
    """
    number = _read_number(value)
    if kind == "NUMBER_INTEGER" and number is not None and number.is_integer() and -MAX_INTEGER < number < MAX_INTEGER:
        return int(number)
    if kind == "NUMBER_DOUBLE" and number is not None:
        return number
    classes = {"STRING": str, "BOOLEAN": bool, "LIST": list, "STRUCT": dict}
    if kind in classes and isinstance(value, classes[kind]):
        return value
    raise KubeflowError(_build_error(name, value, kind))


def _read_number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:
        return None


def _build_error(name: str, value: object, kind: str) -> str:
    wanted = {
        "STRING": "a string",
        "NUMBER_INTEGER": "an integer",
        "NUMBER_DOUBLE": "a number",
        "BOOLEAN": "true or false",
        "LIST": "a list in JSON",
        "STRUCT": "a mapping in JSON",
    }
    return f"parameter {name}: {to_text(value)!r} is not {wanted.get(kind, f'of a type that is replayed ({kind})')}"

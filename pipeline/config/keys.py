"""The keys of a section, and the types of their values."""

import typing
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import pydantic


def list_keys(section: type[pydantic.BaseModel], prefix: str = "") -> list[str]:
    """Returns every dotted key, sections included, in the order of their definition."""
    keys = []
    for name, field in section.model_fields.items():
        keys.append(prefix + name)
        for kind in (field.annotation, *typing.get_args(field.annotation)):  # the latter of `Section | None`
            if isinstance(kind, type) and issubclass(kind, pydantic.BaseModel):
                keys += list_keys(kind, f"{prefix}{name}.")
    return keys


def find_field(section: type[pydantic.BaseModel], path: Sequence[str | int]) -> tuple[Any, list[Any]]:
    """Returns the type and the constraints of what lies at `path` below `section`; None and none of what is unknown."""
    kind, constraints = _strip_annotation(section)
    for part in path:
        if isinstance(kind, type) and issubclass(kind, pydantic.BaseModel):
            field = kind.model_fields.get(str(part))
            kind, constraints = _strip_annotation(field.annotation, field.metadata) if field else (None, [])
            continue
        items = typing.get_args(kind)
        origin = typing.get_origin(kind)
        if origin is dict:
            kind, constraints = _strip_annotation(items[1])
        elif origin is tuple:
            kind, constraints = _strip_annotation(
                items[part] if isinstance(part, int) and ... not in items else items[0]
            )
        else:
            return None, []
    return kind, constraints


def is_text(kind: Any) -> bool:
    """Whether a value is a text, or one of several words."""
    if isinstance(kind, type):
        return issubclass(kind, str | pydantic.SecretStr)
    return typing.get_origin(kind) is Literal


def _strip_annotation(annotation: Any, constraints: Sequence[Any] = ()) -> tuple[Any, list[Any]]:
    """A type without Annotated and None, and its constraints."""
    found = list(constraints)
    while True:
        parts = typing.get_args(annotation)
        if typing.get_origin(annotation) is Annotated:
            for part in parts[1:]:
                found += part.metadata if isinstance(part, pydantic.fields.FieldInfo) else [part]
            annotation = parts[0]
        elif type(None) in parts:
            annotation = next(part for part in parts if part is not type(None))
        else:
            return annotation, found

"""One entry of `catalog.yaml`: which keys it has, and what they may hold."""

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePosixPath, PureWindowsPath
from typing import Annotated, Any

import pydantic
import yaml
from pydantic import AfterValidator, BeforeValidator, StrictStr
from pydantic_core import ErrorDetails

from atelier.errors import AtelierError
from components.style_renderer.engine.settings import Scale, Settings

_ID = re.compile("[a-z0-9][a-z0-9-]{0,63}")
_SHA256 = re.compile("[0-9a-f]{64}")


class EntryError(AtelierError):
    """An entry that cannot be used; `faults` has a line for each fault."""

    def __init__(self, faults: Sequence[str]):
        super().__init__("\n".join(faults))
        self.faults = list(faults)


def _check_text(value: str) -> str:
    if not value.strip():
        raise ValueError("is blank")
    return value


def _check_id(value: str) -> str:
    if not _ID.fullmatch(value):
        raise ValueError(
            f"{value!r} must be 1 to 64 lower-case letters, digits and hyphens, and not begin with a hyphen"
        )
    return value


def _check_sha256(value: str) -> str:
    if not _SHA256.fullmatch(value):
        raise ValueError(f"{value!r} must be 64 lower-case hexadecimal digits")
    return value


def _check_file(value: str) -> str:
    path = PurePosixPath(value)
    if path.is_absolute() or PureWindowsPath(value).is_absolute() or ".." in path.parts:
        raise ValueError(f"{value} leads out of the catalog's folder; copy the image into it")
    return value


def _check_year(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError(f"is {value!r}: it must be a number, or a text such as '1830-1832'")
    return value


def _name_keys(value: Any) -> Any:
    """YAML has keys of any type; unknown ones are named as the texts that they are written with."""
    return {str(key): each for key, each in value.items()} if isinstance(value, Mapping) else value


Text = Annotated[StrictStr, AfterValidator(_check_text)]


class Entry(pydantic.BaseModel, extra="forbid", frozen=True):
    """An entry, its keys in the order in which they are written."""

    id: Annotated[Text, AfterValidator(_check_id)]
    file: Annotated[Text, AfterValidator(_check_file)]
    """Relative to the catalog's folder."""
    title: Text
    artist: Text = ""
    year: Annotated[int | str | None, BeforeValidator(_check_year)] = None
    licence: Text
    source: Text = ""
    sha256: Annotated[Text, AfterValidator(_check_sha256)]
    """Of the file's bytes."""
    preset: Annotated[Settings, BeforeValidator(_name_keys)] = Settings()
    """What differs from the defaults."""


KEYS = tuple(Entry.model_fields)
_REQUIRED = tuple(name for name, field in Entry.model_fields.items() if field.is_required())


def parse_entry(values: object) -> Entry:
    """Parses an entry as YAML gives it; its image is not looked at. An empty value counts as none.

    Raises:
      EntryError: names every fault.
    """
    if not isinstance(values, dict):
        raise EntryError([f"is {values!r}, not a mapping with the keys {', '.join(_REQUIRED)}"])
    given = {str(key): value for key, value in values.items() if key not in KEYS or value not in (None, "")}
    try:
        return Entry.model_validate(given)
    except pydantic.ValidationError as error:
        raise EntryError([_explain(detail) for detail in _select(error)]) from None


def check_settings(values: Mapping[str, Any], name: str) -> None:
    """Checks fields of `Settings`, which the messages call `name`.

    Raises:
      EntryError: names every fault.
    """
    try:
        Settings(**values)
    except pydantic.ValidationError as error:
        raise EntryError([_explain_setting(name, detail["loc"], detail) for detail in _select(error)]) from None


def find_nearest(word: str, known: Iterable[str]) -> str:
    """Returns the hint that ends a message about an unknown word."""
    known = list(known)
    near = difflib.get_close_matches(word, known, n=1)
    return f"did you mean {near[0]}?" if near else f"known here: {', '.join(known)}"


def dump_entries(entries: list[dict[str, Any]]) -> str:
    """Writes entries as YAML: keys in the usual order, without those that say nothing."""
    tidy = [{key: entry[key] for key in KEYS if entry.get(key) not in (None, "", {})} for entry in entries]
    return yaml.safe_dump(tidy, sort_keys=False, allow_unicode=True, width=120)


def _select(error: pydantic.ValidationError) -> list[ErrorDetails]:
    """A list whose item is wrong is reported again as too short: the item says enough."""
    details = error.errors()
    return [
        detail
        for detail in details
        if not any(
            len(each["loc"]) > len(detail["loc"]) and each["loc"][: len(detail["loc"])] == detail["loc"]
            for each in details
        )
    ]


def _explain(detail: ErrorDetails) -> str:
    key, *inner = detail["loc"]
    if key == "preset":
        return _explain_setting("preset", tuple(inner), detail)
    match detail["type"]:
        case "extra_forbidden":
            return f"unknown key {key}; {find_nearest(str(key), KEYS)}"
        case "missing":
            return f"{key} is missing"
        case "string_type":
            return f"{key} is {detail['input']!r}: it must be text; put it in quotes"
    return f"{key} {detail['msg'].removeprefix('Value error, ')}"


def _explain_setting(name: str, place: tuple[int | str, ...], detail: ErrorDetails) -> str:
    key = ".".join([name, *map(str, place)])
    message = detail["msg"].removeprefix("Value error, ")
    match detail["type"]:
        case "extra_forbidden":
            fields = (Settings if len(place) == 1 else Scale).model_fields
            return f"unknown setting {key}; {find_nearest(str(place[-1]), fields)}"
        case "missing":
            return f"{key} is missing"
        case "model_type" if not place:
            return f"{key} is {detail['input']!r}, not a mapping of a rendering's settings"
    if not place:
        return f"{key}: {message}"
    return f"{key} is {detail['input']!r}: {message[0].lower()}{message[1:]}"

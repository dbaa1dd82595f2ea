"""One entry of `catalog.yaml`: which keys it has, and what they may hold."""

import difflib
import itertools
import re
import unicodedata
from collections.abc import Collection, Iterable, Mapping
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

import pydantic
import yaml

from components.style_renderer.engine.settings import Scale, Settings

REQUIRED = ("id", "file", "title", "licence", "sha256")
OPTIONAL = ("artist", "year", "source", "preset")
KEYS = ("id", "file", "title", "artist", "year", "licence", "source", "sha256", "preset")
"""In the order in which an entry is written."""

_ID = re.compile("[a-z0-9][a-z0-9-]{0,63}")
_SHA256 = re.compile("[0-9a-f]{64}")


def faults(entry: object) -> list[str]:
    """What is wrong with an entry as YAML gives it, one line each; its picture is not looked at."""
    if not isinstance(entry, dict):
        return [f"is {entry!r}, not a mapping with the keys {', '.join(REQUIRED)}"]
    found = [f"unknown key {key}; {nearest(str(key), KEYS)}" for key in entry if key not in KEYS]
    found += [f"{key} is missing" for key in REQUIRED if entry.get(key) in (None, "")]
    texts = {key: value for key, value in entry.items() if key in KEYS and key not in ("year", "preset")}
    for key, value in texts.items():
        if value is not None and not isinstance(value, str):
            found.append(f"{key} is {value!r}: it must be text; put it in quotes")
        elif value and not value.strip():
            found.append(f"{key} is blank")
    year = entry.get("year")
    if year is not None and (isinstance(year, bool) or not isinstance(year, int | str)):
        found.append(f"year is {year!r}: it must be a number, or a text such as '1830-1832'")
    return found or [*_malformed(entry), *preset_faults(entry.get("preset"))]


def preset_faults(preset: object, name: str = "preset") -> list[str]:
    """What is wrong with fields of `Settings`, one line each."""
    if preset is None:
        return []
    if not isinstance(preset, Mapping):
        return [f"{name} is {preset!r}, not a mapping of a rendering's settings"]
    try:
        Settings(**{str(key): value for key, value in preset.items()})
    except pydantic.ValidationError as error:
        details = error.errors()
        # A list whose item is wrong is reported again as too short: the item says enough.
        inner = {detail["loc"][:1] for detail in details if len(detail["loc"]) > 1}
        return [_explain(name, detail) for detail in details if detail["loc"] not in inner]
    return []


def nearest(word: str, known: Iterable[str]) -> str:
    """The hint that ends a message about an unknown word."""
    known = list(known)
    near = difflib.get_close_matches(word, known, n=1)
    return f"did you mean {near[0]}?" if near else f"known here: {', '.join(known)}"


def unique_id(text: str, taken: Collection[str]) -> str:
    """An id made from a title or a file's name, with a number behind it where it is taken."""
    ascii_only = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    slug = re.sub("[^a-z0-9]+", "-", ascii_only.lower()).strip("-")[:60].rstrip("-") or "style"
    numbered = (f"{slug[: 63 - len(str(number))]}-{number}" for number in itertools.count(2))
    return next(name for name in itertools.chain([slug], numbered) if name not in taken)


def dump(entries: list[dict[str, Any]]) -> str:
    """Entries as YAML: keys in the usual order, without those that say nothing."""
    tidy = [{key: entry[key] for key in KEYS if entry.get(key) not in (None, "", {})} for entry in entries]
    return yaml.safe_dump(tidy, sort_keys=False, allow_unicode=True, width=120)


def _malformed(entry: dict[str, Any]) -> list[str]:
    """Texts that are there, but not of their form."""
    found = []
    if not _ID.fullmatch(entry["id"]):
        found.append(
            f"id {entry['id']!r} must be 1 to 64 lower-case letters, digits and hyphens, and not begin with a hyphen"
        )
    if not _SHA256.fullmatch(entry["sha256"]):
        found.append(f"sha256 {entry['sha256']!r} must be 64 lower-case hexadecimal digits")
    path = PurePosixPath(entry["file"])
    if path.is_absolute() or PureWindowsPath(entry["file"]).is_absolute() or ".." in path.parts:
        found.append(f"file {entry['file']} leads out of the catalogue's folder; copy the picture into it")
    return found


def _explain(name: str, error: Any) -> str:
    key = ".".join([name, *(str(part) for part in error["loc"])])
    if error["type"] == "extra_forbidden":
        fields = (Settings if len(error["loc"]) == 1 else Scale).model_fields
        return f"unknown setting {key}; {nearest(str(error['loc'][-1]), fields)}"
    message = error["msg"].removeprefix("Value error, ")
    if not error["loc"]:
        return f"{name}: {message}"
    if error["type"] == "missing":
        return f"{key} is missing"
    return f"{key} is {error['input']!r}: {message[0].lower()}{message[1:]}"

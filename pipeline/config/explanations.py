"""Explains in words of the configuration what pydantic found wrong with its values."""

import difflib
from collections.abc import Sequence
from typing import Any

import pydantic

from pipeline.config.keys import find_field


def explain_errors(
    section: type[pydantic.BaseModel],
    error: pydantic.ValidationError,
    *,
    source: str,
    prefix: str,
    known_keys: Sequence[str],
) -> str:
    """Returns a line for each of pydantic's errors.

    Args:
      section: what the values were checked against.
      error: of pydantic.
      source: the file or the option that the values are from; begins each line.
      prefix: of the keys of `section`, with the dot at its end.
      known_keys: of the whole configuration.
    """
    errors = error.errors()
    # A list whose item is wrong is reported again as too short: the item says enough.
    inside = {e["loc"][:length] for e in errors for length in range(len(e["loc"]))}
    return "\n".join(
        _explain(section, source, prefix, known_keys, each) for each in errors if each["loc"] not in inside
    )


def _explain(section: type[pydantic.BaseModel], source: str, prefix: str, known_keys: Sequence[str], error: Any) -> str:
    """One line about one of pydantic's errors."""
    key = prefix + ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        return f"{source}: unknown key {key}; {_suggest_key(key, known_keys)}"
    if error["type"] == "missing":
        hint = " (every gate needs its threshold)" if key.startswith("evaluator") else ""
        return f"{source}: {key} is missing{hint}"
    message = error["msg"].removeprefix("Value error, ")
    if not error["loc"] or (error["type"] == "value_error" and isinstance(error["input"], dict)):
        # About a section as a whole: the message names its keys.
        return f"{source}: {message}" if key in message or not error["loc"] else f"{source}: {key}: {message}"
    allowed = _FORMS.get(error["type"]) or _describe_range(*find_field(section, error["loc"]))
    return f"{source}: {key} is {error['input']!r}: {message[0].lower()}{message[1:]}{allowed}"


_FORMS = {"string_type": "; put a text in quotes", "tuple_type": " (a list, as in [a, b])"}


def _describe_range(kind: Any, constraints: Sequence[Any]) -> str:
    """The range of a key's numbers, at the end of a message about one that is not in it; "" for other keys."""
    if kind not in (int, float):
        return ""
    words = {"ge": "from", "gt": "above", "le": "up to", "lt": "below"}
    bounds = [f"{words[n]} {getattr(each, n)}" for each in constraints for n in words if hasattr(each, n)]
    return f" (expected a {'whole ' if kind is int else ''}number {' '.join(bounds)})"


def _suggest_key(key: str, known_keys: Sequence[str]) -> str:
    """Suggests the nearest known key, of the same section if there is one: also where the section is left out."""
    section, _, name = key.rpartition(".")
    here = [k for k in known_keys if k.rpartition(".")[0] == section]
    for candidates in (here, known_keys):
        by_name = {k.rpartition(".")[2]: k for k in reversed(candidates)}  # the first of one name stays
        if near := difflib.get_close_matches(name, by_name, n=1):
            return f"did you mean {by_name[near[0]]}?"
    return f"known here: {', '.join(here)}"

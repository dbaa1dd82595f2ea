"""Values of a configuration as YAML and as `key=value` overrides, before they are checked."""

import re
from pathlib import Path
from typing import Any

import pydantic
import yaml

from atelier.files.path_text import format_path, is_utf8
from pipeline.config.errors import ConfigError
from pipeline.config.keys import find_field, is_text


def read_file(path: Path) -> dict[str, Any]:
    """Reads the values of a YAML file.

    Raises:
      ConfigError: the file cannot be read, or holds no keys.
    """
    try:
        values = yaml.load(path.read_text(encoding="utf-8"), _Loader)  # noqa: S506 - a SafeLoader
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file; the ready ones are in configs/") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # a date of 2026-13-40 is a ValueError
        raise ConfigError(f"{path}: not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: expected `key: value` lines, found {type(values).__name__}")
    return values


def apply_override(
    section: type[pydantic.BaseModel], values: dict[str, Any], override: str, flag: str = "--set"
) -> None:
    """Sets one dotted key of `section` in nested `values`, in place.

    A text is taken as it is typed, so that `#`, `*`, `no` and digits stay what they are; quotes of YAML are read.
    """
    dotted, separator, text = override.partition("=")
    if not separator or not dotted:
        example = "--beam workers=2" if flag == "--beam" else "--set trainer.batch_size=16"
        raise ConfigError(f"{flag} {override}: expected key=value, as in {example}")
    *sections, key = path = dotted.strip().split(".")
    for name in sections:
        below = values.setdefault(name, {})
        if below is None:
            below = values[name] = {}
        if not isinstance(below, dict):
            raise ConfigError(f"{flag} {override}: {name} is a value, not a section")
        values = below
    if is_text(find_field(section, path)[0]) and text.strip()[:1] not in ("'", '"'):
        values[key] = text.strip()
        return
    try:
        values[key] = yaml.load(text, _Loader)  # noqa: S506 - a SafeLoader
    except (yaml.YAMLError, ValueError, RecursionError):
        raise ConfigError(f"{flag} {override}: the value is not YAML") from None


def find_undecodable(values: dict[str, Any]) -> tuple[str, str] | None:
    """Finds a text that is not UTF-8, as names of files may be, and its dotted key; None if there is none.

    `data.source` may be such a name: no other key's value does without being written down.
    """
    pending: list[tuple[str, Any]] = [("", values)]
    seen: set[int] = set()  # YAML's aliases: the same object in many places, even in itself
    while pending:
        key, value = pending.pop()
        if isinstance(value, str):
            if key != "data.source" and not is_utf8(value):
                return key, value
        elif isinstance(value, dict | list) and id(value) not in seen:
            seen.add(id(value))
            pairs = value.items() if isinstance(value, dict) else enumerate(value)
            for name, below in pairs:
                if not is_utf8(str(name)):
                    return format_path(f"{key}.{name}".lstrip(".")), str(name)
                pending.append((f"{key}.{name}".lstrip("."), below))
    return None


class _Loader(yaml.SafeLoader):
    """YAML in which nothing is said twice, and `0300` and `1:30` are texts: not 192, octal, nor 90, sexagesimal."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value != "<<":
                if key.value in seen:
                    raise yaml.MarkedYAMLError(problem=f"{key.value} is there twice", problem_mark=key.start_mark)
                seen.add(key.value)
        return super().construct_mapping(node, deep)

    def construct_number(self, node: yaml.ScalarNode) -> int | float | str:
        if re.match("[-+]?0[0-9_]|.*:", node.value):
            return node.value
        return self.construct_yaml_int(node) if node.tag.endswith(":int") else self.construct_yaml_float(node)


_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_number)
_Loader.add_constructor("tag:yaml.org,2002:float", _Loader.construct_number)

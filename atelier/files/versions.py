"""Version folders below a model's base path: which names are versions, and which number each one has.

The rule is ModelServer's (`ParseVersionNumber` in file_system_storage_path_source.cc, which is `absl::SimpleAtoi` since
TensorFlow 2.21): an integer of 64 bits in ASCII digits, with a sign or not, and white space around it or not. Every
other name is no version and is skipped.
"""

import argparse
import os
import re
from collections.abc import Iterable
from pathlib import Path

HIGHEST = 2**63 - 1
"""The highest version that ModelServer and the protocol can hold."""

_NUMBER = re.compile(r"[ \t\n\v\f\r]*([+-]?[0-9]+)[ \t\n\v\f\r]*")
_DIGITS = len(str(HIGHEST))


def parse_version(name: str) -> int | None:
    """Returns the version that a folder of this name is; None if it is no version."""
    match = _NUMBER.fullmatch(name)
    # Python refuses to convert very long digit strings, and zeros in front may be any number.
    if match is None or len(match[1].lstrip("+-").lstrip("0")) > _DIGITS:
        return None
    number = int(match[1].lstrip("+-").lstrip("0") or "0") * (-1 if match[1].startswith("-") else 1)
    return number if -HIGHEST - 1 <= number <= HIGHEST else None


def parse_argument(text: str) -> int:
    """Returns the version that a command line names; a type for argparse."""
    number = parse_version(text)
    if number is None:
        raise argparse.ArgumentTypeError(f"{text}: expected a version, an integer of at most 64 bits")
    return number


def sort_by_number(names: Iterable[str]) -> dict[int, str]:
    """Returns the names of versions by version, lowest first.

    Of two names for one version (`7`, `007`) the last in alphabetical order counts, as in ModelServer.
    """
    found = {number: name for name in sorted(names) if (number := parse_version(name)) is not None}
    return dict(sorted(found.items()))


def list_folders(base: str | os.PathLike[str]) -> dict[int, Path]:
    """Returns the version folders of a base path by version, lowest first; files are none.

    Raises:
      OSError: the base path cannot be listed.
    """
    with os.scandir(base) as entries:
        names = [entry.name for entry in entries if parse_version(entry.name) is not None and not entry.is_file()]
    return {number: Path(base, name) for number, name in sort_by_number(names).items()}


def explain_none(base: str | os.PathLike[str]) -> str:
    """Returns why a base path has no versions and what to do, for people who took something else for a base path.

    Raises:
      OSError: the base path cannot be listed.
    """
    folder = Path(base).resolve()
    if _holds_model(folder) and parse_version(folder.name) is not None:
        return f"it is itself a version; give the folder above it, {folder.parent}"
    if _holds_model(folder):
        renamed = folder.with_name(str(max(list_folders(folder.parent), default=0) + 1))
        return f"it is itself a model; rename it to a number, such as {renamed}, and give the folder above it"
    for child in sorted(folder.iterdir()):
        if _holds_model(child):
            return f"{child.name!r} in it holds a model, but is no number of 64 bits; rename it to a number, such as 1"
    return "no versions in it: folders named by numbers"


def _holds_model(folder: Path) -> bool:
    return any((folder / name).is_file() for name in ("saved_model.pb", "saved_model.pbtxt"))

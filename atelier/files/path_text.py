"""Paths as text: names of files may be of any bytes."""

import os
from pathlib import Path


def format_path(path: str) -> str:
    r"""Returns the path for a message: every byte that is not UTF-8 is written as \xNN."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def is_utf8(path: str) -> bool:
    """Returns whether the path is UTF-8: other bytes are surrogate escapes in it."""
    try:
        path.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def resolve_folder(path: Path) -> Path:
    """Returns the absolute path without links; unlike `Path.resolve`, also of a link that leads to itself."""
    return Path(os.path.realpath(path))


def is_url(path: Path) -> bool:
    """Returns whether the path was a URL, as `gs://bucket/folder`, and is no folder of this machine."""
    first = path.parts[0] if path.parts else ""
    return first.endswith(":") and len(path.parts) > 1 and not os.path.lexists(first)

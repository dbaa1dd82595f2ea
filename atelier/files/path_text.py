"""Paths as text: names of files may be of any bytes."""

import os


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

"""Errors of the disk, of a quota or of permissions, in words: whatever library has met them."""

import errno
import os
import re
from pathlib import Path

_FREE = "free some space, or give an output elsewhere"
_WRITABLE = "give an output in a folder that can be written to"
_REMEDIES = {
    errno.ENOSPC: _FREE,
    errno.EDQUOT: _FREE,
    errno.EFBIG: "raise the limit of a file's size (ulimit -f), or give an output elsewhere",
    errno.EROFS: _WRITABLE,
    errno.EACCES: "change its permissions, or give another file or folder",
    errno.EPERM: "change its permissions, or give another file or folder",
    errno.EIO: "the disk or the network may be failing",
    errno.ESTALE: "the network file system was lost; mount it again",
}
# As Python, HDF5, TensorFlow and SQLite put it; Beam and TFX pass on an error's text alone.
_TEXTS = {
    re.compile(r"No space left on device|\[Errno 28\]|errno = 28\b|database or disk is full"): errno.ENOSPC,
    re.compile(r"Disk quota exceeded|\[Errno 122\]|errno = 122\b"): errno.EDQUOT,
    re.compile(r"File too large|\[Errno 27\]|errno = 27\b"): errno.EFBIG,
    re.compile(r"Read-only file system|\[Errno 30\]|errno = 30\b|attempt to write a readonly database"): errno.EROFS,
}
_FILE = re.compile(r"(?:\[Errno \d+\] [\w -]+: |: )'([^'\n]+)'|^(/[^\n;:]+); ")


def explain(error: BaseException, place: Path) -> str:
    """One line on an error of the disk: the file, what is wrong, and what to do; "" if it is none.

    Args:
      error: from any depth; the errors that led to it are looked at, too.
      place: the output that is named where the error itself names no file.
    """
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, OSError) and seen.errno in _REMEDIES:
            return _format_line(seen.errno, seen.filename or place)
        seen = seen.__cause__ or seen.__context__
    return explain_text(str(error), place)


def explain_text(text: str, place: Path) -> str:
    """As `explain`, of an error's text."""
    for pattern, number in _TEXTS.items():
        if pattern.search(text):
            file = _FILE.search(text)
            return _format_line(number, next(filter(None, file.groups())) if file else place)
    return ""


def _format_line(number: int, file: object) -> str:
    where = f"{os.fsdecode(file)}: " if isinstance(file, str | bytes | os.PathLike) else ""
    return f"{where}{os.strerror(number)}: {_REMEDIES[number]}"

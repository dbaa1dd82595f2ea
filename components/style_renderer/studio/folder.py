"""The studio's folder, which one server at a time uses."""

import contextlib
import errno
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from components.style_renderer.studio.request import StudioError

_LOCK = ".lock"


@contextlib.contextmanager
def claim(folder: Path) -> Iterator[None]:
    """Makes the folder, and keeps other servers out of it until the block ends, whatever ends it.

    Raises:
      StudioError: it cannot be made, or another server uses it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / _LOCK).open("ab")
    except OSError as error:
        raise StudioError(f"{folder}: cannot be used: {error.strerror}; choose another with --folder") from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StudioError(
                f"{folder}: another `atelier studio` uses it; stop that one, or choose another folder with --folder"
            ) from None
        yield


def explain_full_disk(error: OSError) -> str:
    """What to do about a full disk; "" if the error is another one."""
    if error.errno not in (errno.ENOSPC, errno.EDQUOT):
        return ""
    return f"{os.strerror(error.errno)}: free some space on the studio's disk, and try again"

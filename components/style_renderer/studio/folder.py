"""The studio's folder, which one server at a time uses."""

import contextlib
import fcntl
from collections.abc import Iterator
from pathlib import Path

from components.style_renderer.studio.request import StudioError

_LOCK = ".lock"


@contextlib.contextmanager
def owned(folder: Path) -> Iterator[None]:
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

"""Unfinished folders: each belongs to a living process, or is removed by the next one that works in the same place.

The owner holds a lock on the folder, which the kernel releases at its end, whatever ends it. A file system without
such locks keeps its leftovers: nothing is removed of which nobody knows whose it is.
"""

import contextlib
import fcntl
import os
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

_SCRATCH = "atelier-scratch-"


@contextlib.contextmanager
def create_owned(folder: Path) -> Iterator[Path]:
    """Makes a folder that is this process's until the block ends, and is gone then, unless it was renamed.

    Raises:
      OSError: the folder cannot be made, or is there already.
    """
    folder.mkdir(parents=True)
    with lock(folder):
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def create_scratch(purpose: str) -> Iterator[Path]:
    """Makes a temporary folder that is gone when the block ends, and removes those of killed processes before.

    Args:
      purpose: part of its name.
    """
    place = Path(tempfile.gettempdir())
    sweep(place.glob(f"{_SCRATCH}*"))
    for last in (False, False, True):
        with contextlib.ExitStack() as stack:
            try:
                folder = stack.enter_context(create_owned(place / f"{_SCRATCH}{purpose}-{uuid.uuid4().hex[:12]}"))
                folder.chmod(0o700)
            except FileNotFoundError:  # another process swept it in the moment before it was locked
                if last:
                    raise
                continue
            yield folder
            return


@contextlib.contextmanager
def lock(folder: Path) -> Iterator[None]:
    """Keeps a folder from being swept, under whatever name, until the block ends.

    Raises:
      OSError: it is gone: another process swept it in the moment before.
    """
    lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.flock(lock, fcntl.LOCK_EX)
        folder.stat()
        yield
    finally:
        os.close(lock)


def sweep(folders: Iterable[Path], remove: Callable[[Path], object] = shutil.rmtree) -> None:
    """Removes those of the folders whose owner has ended.

    Args:
      folders: candidates; files and links among them stay.
      remove: what is done with each.
    """
    for folder in folders:
        with contextlib.suppress(OSError):  # gone meanwhile, or its owner lives
            lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                remove(folder)
            finally:
                os.close(lock)

"""Small files that are whole or as they were, also where the disk is full or the process is ended."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO


def replace_text(file: Path, text: str, errors: str = "strict") -> None:
    """Writes a file beside its place, in UTF-8, and renames it. What an ended process left there is overwritten.

    Raises:
      OSError: names `file`, which is as it was.
    """
    partial = file.with_name(f".{file.name}.partial")
    try:
        with _open_exclusively(partial) as stream:
            try:
                stream.write(text.encode("utf-8", errors))
                stream.flush()
                partial.replace(file)
            except BaseException:
                partial.unlink(missing_ok=True)
                raise
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(file)) from None


@contextlib.contextmanager
def _open_exclusively(partial: Path) -> Iterator[BinaryIO]:
    """Opens a file, empty, that no other process writes to; waits for one that does."""
    while True:
        with partial.open("ab") as stream:
            with contextlib.suppress(OSError):  # a file system without locks
                fcntl.flock(stream, fcntl.LOCK_EX)
            # The one before may have renamed the file that this process has opened.
            if not partial.exists() or not os.path.samestat(partial.stat(), os.fstat(stream.fileno())):
                continue
            stream.truncate(0)
            yield stream
            return

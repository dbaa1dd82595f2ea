"""The process's own file descriptors 1 and 2, led elsewhere for a while.

TensorFlow, Beam, MLMD and gRPC write to them from C++, past `sys.stdout`, `sys.stderr` and `logging`. It can go when
all of them write to Python's `logging`.
"""

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO


@contextmanager
def send_to_file(file: Path) -> Iterator[None]:
    """Appends everything that this process writes to its standard streams to a file instead."""
    file.parent.mkdir(parents=True, exist_ok=True)
    sys.stdout.flush()
    sys.stderr.flush()
    saved = [os.dup(1), os.dup(2)]
    with file.open("ab") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    try:
        yield
    finally:
        for stream in (sys.stdout, sys.stderr):
            _flush(stream)
        for target, source in zip((1, 2), saved, strict=True):
            os.dup2(source, target)
            os.close(source)


@contextmanager
def record_errors(record: list[str]) -> Iterator[None]:
    """Adds to a list, as one text, what this process writes to standard error; it is then written there, too."""
    sys.stderr.flush()
    saved = os.dup(2)
    with tempfile.TemporaryFile() as said:
        os.dup2(said.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(saved, 2)
            os.close(saved)
            said.seek(0)
            log = said.read()
            os.write(2, log)
            record.append(log.decode(errors="replace"))


def drop_output() -> None:
    """Lets what is still to be written to standard output go nowhere, instead of failing at the process's end."""
    _redirect_to_devnull(sys.stdout)


def _flush(stream: TextIO) -> None:
    """Writes what is left to the log; where the disk is full it goes nowhere, and never to the terminal."""
    try:
        stream.flush()
    except OSError:
        _redirect_to_devnull(stream)
        stream.flush()


def _redirect_to_devnull(stream: TextIO) -> None:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)

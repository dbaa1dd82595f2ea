"""Follows a log that clients write, across what happens to such files."""

import os
from collections.abc import Iterator
from pathlib import Path

from serving.ab.answer_log import Answer, parse_line

_CHUNK = 1 << 20
_LONGEST_LINE = 1 << 20
"""A line that is longer is none of a log's; it is not collected in memory."""


class LogTail:
    """Reads what has been added to a log since the last time.

    The file may be missing at first, end in the middle of a line, be moved away and begun again, or be cut off.

    Attributes:
      file: the log.
      problem: why the file cannot be read now; "": it can.
      broken: lines that are no records of such a log.
      last_broken: where the last of them is, and why.
    """

    def __init__(self, file: Path) -> None:
        """Reads nothing yet."""
        self.file = file
        self.problem = ""
        self.broken, self.last_broken = 0, ""
        self._descriptor = -1
        self._begin()

    def read(self, most: int = 16 * _CHUNK) -> Iterator[Answer | tuple[str, str]]:
        """Yields answers, and truths as (id, class), of at most about `most` further bytes."""
        if self._descriptor < 0 and not self._open():
            return
        left = most
        while left > 0:
            try:
                content = os.read(self._descriptor, _CHUNK)
            except OSError as error:
                self.problem = f"{self.file}: cannot be read: {error.strerror}"
                return
            if not content:
                if not self._was_replaced():
                    return
                if self._rest:
                    self._note(self._number + 1, "cut off")
                self.close()
                if not self._open():
                    return
                continue
            left -= len(content)
            yield from self._split(content)

    def close(self) -> None:
        """Closes the file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _begin(self) -> None:
        self._rest, self._number, self._skips = b"", 0, False

    def _open(self) -> bool:
        self._begin()
        try:
            self._descriptor = os.open(self.file, os.O_RDONLY | os.O_NONBLOCK)
        except OSError as error:
            missing = isinstance(error, FileNotFoundError)
            reason = "no client has logged an answer" if missing else f"cannot be read: {error.strerror}"
            self.problem = f"{self.file}: {reason}"
            return False
        self.problem = ""
        return True

    def _was_replaced(self) -> bool:
        """Tells whether another file is at the path now, or the file has become shorter than what was read of it."""
        own = os.fstat(self._descriptor)
        if own.st_size < os.lseek(self._descriptor, 0, os.SEEK_CUR):
            return True
        try:
            return not os.path.samestat(own, self.file.stat())
        except OSError:
            return False  # it was moved away; the writers go on with it until they open a new one

    def _split(self, content: bytes) -> Iterator[Answer | tuple[str, str]]:
        *lines, rest = (self._rest + content).split(b"\n")
        for line in lines:
            self._number += 1
            if self._skips:
                self._skips = False
            elif line:
                yield from self._parse(line)
        if len(rest) > _LONGEST_LINE:
            if not self._skips:
                self._note(self._number + 1, f"longer than {_LONGEST_LINE} bytes")
            self._skips, rest = True, b""
        self._rest = rest

    def _parse(self, line: bytes) -> Iterator[Answer | tuple[str, str]]:
        try:
            yield parse_line(line)
        except ValueError as error:
            self._note(self._number, str(error))

    def _note(self, number: int, reason: str) -> None:
        self.broken += 1
        self.last_broken = f"line {number}: {reason}"

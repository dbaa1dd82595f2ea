"""Decides when to load a failed version again: after a while, and when something in its folder changes.

ModelServer tries again by time alone (`max_num_load_retries`, `load_retry_interval_micros`). Here a slow copy is served
as soon as it is whole, however long it takes.
"""

import os
import time
from dataclasses import dataclass
from pathlib import Path

Contents = frozenset[tuple[str | int, ...]]


@dataclass(frozen=True)
class RetryPolicy:
    """ModelServer's two settings."""

    most: int = 5
    """Retries after the first failure, each time that the folder's contents change."""
    seconds: float = 10.0
    """Between two of them. ModelServer's default is a minute."""


class FailedLoad:
    """A version whose folder could not be loaded, and what is known for the decision to try again."""

    def __init__(self, folder: Path, tried: Contents, policy: RetryPolicy, before: "FailedLoad | None" = None) -> None:
        """Notes a failure.

        Args:
          folder: of the version.
          tried: its contents before the load that failed.
          policy: how often and when to try again.
          before: the failure before this one.
        """
        self.folder = folder
        self._tried = self._seen = tried
        self._policy = policy
        self._next = time.monotonic() + policy.seconds
        self._retries: int = before._retries + 1 if before and before._tried == tried else 0

    @property
    def is_final(self) -> bool:
        """Tells whether only a change in the folder brings another try."""
        return self._retries >= self._policy.most

    def is_due(self) -> bool:
        """Looks at the folder, and tells whether it is time to try again.

        A change counts once the folder looks the same at two calls one after the other: what is still being copied
        would fail again.
        """
        seen = read_contents(self.folder)
        settled, self._seen = seen == self._seen, seen
        if settled and seen != self._tried:
            return True
        return not self.is_final and time.monotonic() >= self._next


def read_contents(folder: Path) -> Contents:
    """Returns what tells whether anything in a folder changes: each name with its inode, size, and times."""
    paths = [str(folder)]
    for parent, folders, files in os.walk(folder):
        paths += [os.path.join(parent, name) for name in (*folders, *files)]  # noqa: PTH118  # a look every second
    return frozenset((path, *_read_status(path)) for path in paths)


def _read_status(path: str) -> tuple[int, ...]:
    try:
        status = os.stat(path)  # noqa: PTH116  # likewise
    except OSError:
        return ()
    # The time of the last status change, too: `chmod` makes an unreadable file readable.
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns

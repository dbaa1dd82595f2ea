"""How far a batch is: each unit in work leaves a small file, and the driver counts them, on any runner."""

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any

from atelier import storage
from atelier.processes import watching

Progress = Callable[[str, float], None]
"""Told what is being done, and the share (0..1) of the batch's units that is done, parts of units included."""

_DONE = ".done"
_PARTLY = ".progress"
_INTERVAL_S = 0.5
_REMOTE_INTERVAL_S = 15.0


class Reporter:
    """What a worker tells of the unit that it renders."""

    def __init__(self, work: str, key: str, title: str) -> None:
        """Reports on the unit `key`, for people `title`, into the folder `work`."""
        self._path = storage.join(work, key)
        self._title = title
        self._interval = _choose_interval(work)
        self._last = 0.0

    def iterate(self, step: Any) -> None:
        """The engine's callback; `step.done` is the share of the unit's work that is done."""
        if time.monotonic() - self._last >= self._interval:
            text = f"{min(1.0, max(0.0, float(step.done))):.4f} {self._title}"
            storage.write_bytes(self._path + _PARTLY, text.encode("utf-8", "backslashreplace"))
            self._last = time.monotonic()

    def count_finished(self) -> None:
        """The unit is rendered, or a dead letter."""
        storage.write_bytes(self._path + _DONE, b"1")
        storage.remove(self._path + _PARTLY)


@contextlib.contextmanager
def follow(work: str, units: int, progress: Progress | None) -> Iterator[None]:
    """Calls `progress` from another thread while Beam blocks, and once more at the end."""
    if progress is None or not units:
        yield
        return
    try:
        with watching.call_repeatedly(lambda: progress(*_describe_progress(work, units)), _choose_interval(work)):
            yield
    finally:
        progress(*_describe_progress(work, units))


def _choose_interval(work: str) -> float:
    return _REMOTE_INTERVAL_S if storage.is_url(work) else _INTERVAL_S


def _describe_progress(work: str, units: int) -> tuple[str, float]:
    names = storage.list_files(work)
    done = {name.removesuffix(_DONE) for name in names if name.endswith(_DONE)}
    shares, titles = 0.0, []
    for name, entry in names.items():
        if name.endswith(_PARTLY) and name.removesuffix(_PARTLY) not in done:
            with contextlib.suppress(OSError, ValueError):  # finished meanwhile
                share, _, title = storage.read_bytes(entry.path).decode("utf-8").partition(" ")
                shares += float(share)
                titles.append(f"{title} {float(share):.0%}")
    text = f"{len(done)} of {units} rendered" + (f", now {', '.join(sorted(titles))}" if titles else "")
    return text, min(1.0, (len(done) + shares) / units)

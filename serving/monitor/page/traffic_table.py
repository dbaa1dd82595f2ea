"""The answers of the logs as columns, from which the page's charts are summed up."""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import numpy as np

from serving.ab.answer_log import Answer
from serving.ab.image_statistics import ImageStatistics
from serving.monitor.drift_watch import WINDOW

MOST_ANSWERS = 200_000
"""Kept in memory, about 150 MB; older ones leave."""
BINS = 60
"""Points of a chart."""
_ACCURACY_BINS = 6
"""Accuracy is that of as many bins up to a point: of one bin alone it would jump."""
_MIN_LABELED = 5
"""Truths of a point before it is one: the accuracy of one answer is 0 or 1."""


class AnswerTable:
    """The last answers with their truths.

    Attributes:
      answers: in the order of the logs, without the statistics of their images.
      truths: classes by request id.
      images: statistics of the last images.
      forgotten: answers that have left.
    """

    def __init__(self) -> None:
        """Starts empty."""
        self.answers: deque[Answer] = deque()
        self.truths: dict[str, str] = {}
        self.images: deque[ImageStatistics] = deque(maxlen=WINDOW)
        self.forgotten = 0

    def add(self, records: Iterable[Answer | tuple[str, str]]) -> int:
        """Adds records of a log; returns how many."""
        count = 0
        for record in records:
            count += 1
            if not isinstance(record, Answer):
                self.truths[record[0]] = record[1]
                continue
            if record.image:
                self.images.append(record.image)
            self.answers.append(replace(record, image=None))
            if len(self.answers) > MOST_ANSWERS:
                self.truths.pop(self.answers.popleft().id, None)
                self.forgotten += 1
        return count

    def list_versions(self) -> list[int]:
        """Returns the versions that have answered, lowest first."""
        return sorted({each.version for each in self.answers if each.version is not None})

    def list_labels(self, version: int) -> list[str]:
        """Returns the last predicted classes of a version, oldest first."""
        found: list[str] = []
        for each in reversed(self.answers):
            if each.version == version and not each.error:
                found.append(each.label)
                if len(found) == WINDOW:
                    break
        return found[::-1]

    def list_mistakes(self, most: int) -> list[tuple[Answer, str]]:
        """Returns the last answers with another class than their truth, newest first, each with its truth."""
        found: list[tuple[Answer, str]] = []
        for each in reversed(self.answers):
            truth = self.truths.get(each.id)
            if truth is not None and not each.error and truth != each.label:
                found.append((each, truth))
                if len(found) == most:
                    break
        return found


_MOST_OLD_IN_A_ROW = 1000
"""Several clients write, each by its own clock, which may be behind: one old answer does not end the range."""


@dataclass(frozen=True)
class _Columns:
    """Of the answers in a range of time: arrays of [n]."""

    when: np.ndarray
    version: np.ndarray
    failed: np.ndarray
    milliseconds: np.ndarray
    right: np.ndarray
    """1 right, 0 wrong, NaN: the truth is not known."""

    def select(self, chosen: np.ndarray) -> "_Columns":
        return _Columns(*(getattr(self, name)[chosen] for name in self.__dataclass_fields__))


def summarize(table: AnswerTable, now: float, minutes: float) -> dict[str, Any]:
    """Returns numbers and series of the answers of the last minutes, as JSON has them; versions are texts.

    A browser's numbers do not hold all versions.

    Args:
      table: the answers.
      now: Unix time.
      minutes: length of the range.
    """
    width = 60 * minutes / BINS
    end = (int(now / width) + 1) * width  # bins stay where they are from one look to the next
    edges = end - width * np.arange(BINS, -1, -1)
    columns = _collect(table, edges[0], now)
    versions = [int(each) for each in np.unique(columns.version) if each >= 0]
    by_version = {version: columns.select(columns.version == version) for version in versions}
    times = (edges[:-1] + width / 2).tolist()
    return {
        "all": _sum_up(columns, columns, minutes),
        "versions": [
            {"version": str(version), **_sum_up(by_version[version], columns, minutes)} for version in versions
        ],
        "charts": {
            "times": times,
            "traffic": {str(each): _bin_rate(by_version[each], edges, width, now) for each in versions},
            "failed": _bin_rate(columns.select(columns.failed), edges, width, now),
            "accuracy": {str(each): _bin_accuracy(by_version[each], edges) for each in versions},
            "latency": {str(each): _bin_latency(by_version[each], edges) for each in versions},
        },
    }


def _collect(table: AnswerTable, start: float, now: float) -> _Columns:
    rows: list[tuple[float, int, bool, float, float]] = []
    truths: Mapping[str, str] = table.truths
    too_old = 0
    for each in reversed(table.answers):
        when = datetime.fromisoformat(each.when).timestamp()
        too_old = too_old + 1 if when < start else 0
        if too_old > _MOST_OLD_IN_A_ROW:
            break
        if start <= when <= now + 60:
            truth = truths.get(each.id)
            right = float("nan") if truth is None or each.error else float(truth == each.label)
            rows.append(
                (when, -1 if each.version is None else each.version, bool(each.error), each.milliseconds, right)
            )
    columns = np.array(rows, float).reshape(-1, 5).T
    versions = np.array([row[1] for row in rows], np.int64)  # a float does not hold all of them
    return _Columns(columns[0], versions, columns[2].astype(bool), columns[3], columns[4])


def _sum_up(columns: _Columns, everything: _Columns, minutes: float) -> dict[str, Any]:
    answered = columns.milliseconds[~columns.failed]
    labeled = columns.right[np.isfinite(columns.right)]
    quantiles = np.quantile(answered, [0.5, 0.95, 0.99]).tolist() if answered.size else [None] * 3
    total = len(everything.when)
    return {
        "requests": len(columns.when),
        "share": len(columns.when) / total if total else None,
        "per_second": len(columns.when) / (60 * minutes),
        "failed": int(columns.failed.sum()),
        "labeled": int(labeled.size),
        "wrong": int((labeled == 0).sum()),
        "accuracy": float(labeled.mean()) if labeled.size else None,
        "latency_ms": dict(zip(("p50", "p95", "p99"), quantiles, strict=True)),
    }


def _bin_rate(columns: _Columns, edges: np.ndarray, width: float, now: float) -> list[float | None]:
    """Requests a second; the last bin has not lasted as long as the others."""
    counts = np.histogram(columns.when, edges)[0].astype(float)
    seconds = np.full(len(counts), width)
    seconds[-1] = max(now - edges[-2], 1.0)
    found: list[float | None] = (counts / seconds).tolist()
    return found


def _bin_accuracy(columns: _Columns, edges: np.ndarray) -> list[float | None]:
    known = columns.select(np.isfinite(columns.right))
    bins = _split(known.when, known.right, edges)
    last = [np.concatenate(bins[max(0, at - _ACCURACY_BINS + 1) : at + 1]) for at in range(len(bins))]
    return [float(values.mean()) if values.size >= _MIN_LABELED else None for values in last]


def _bin_latency(columns: _Columns, edges: np.ndarray) -> list[float | None]:
    answered = columns.select(~columns.failed)
    return [
        float(np.quantile(values, 0.95)) if values.size else None
        for values in _split(answered.when, answered.milliseconds, edges)
    ]


def _split(when: np.ndarray, values: np.ndarray, edges: np.ndarray) -> Sequence[np.ndarray]:
    places = np.searchsorted(edges, when, side="right") - 1
    return [values[places == number] for number in range(len(edges) - 1)]

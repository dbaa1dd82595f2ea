"""Accuracy over truth that came in later, from the log of answers, for Prometheus.

The log is read on from where the last scrape left off. One process publishes it, whoever writes it: `atelier ab guard
--metrics-port`, or an application by `registry.register(AnswerLogMetrics(log))`.
"""

import os
import threading
from collections import OrderedDict
from collections.abc import Iterable
from pathlib import Path

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from serving.ab.answer_log import Answer, parse_line

WINDOW = 1000
"""Answers whose truth is known, of each arm and version: the accuracy is that of the last ones."""
MAX_WAITING = 100_000
"""Answers that are kept for their truth; that of older ones is counted as without an answer."""
_MAX_WINDOWS = 30
_PIECE = 2**20


class AnswerLogMetrics(Collector):
    """The metrics of one log."""

    def __init__(self, log: Path) -> None:
        """Reads what the log has; it may not be there yet."""
        self._log = log
        self._lock = threading.Lock()
        self._start_anew(None)
        with self._lock:
            self._read_on()

    def collect(self) -> Iterable[Metric]:
        """Reads what has come in, and returns the metrics."""
        with self._lock:
            readable = self._read_on()
            accuracy = GaugeMetricFamily(
                "atelier_accuracy_ratio", f"Accuracy of the last {WINDOW} answers with a truth.", labels=_LABELS
            )
            judged = GaugeMetricFamily("atelier_accuracy_answers", "Answers in that accuracy.", labels=_LABELS)
            for (arm, version), window in self._windows.items():
                accuracy.add_metric((arm, version), sum(window.values()) / len(window))
                judged.add_metric((arm, version), len(window))
            yield accuracy
            yield judged
            yield CounterMetricFamily(
                "atelier_truths_without_answer", "Truths whose request is not in the log.", self._strangers
            )
            yield CounterMetricFamily(
                "atelier_answer_log_bad_lines", "Lines of the log that are no record of it.", self._bad_lines
            )
            yield GaugeMetricFamily("atelier_answer_log_readable", "1 if the log can be read.", int(readable))

    def describe(self) -> Iterable[Metric]:
        """Returns nothing, so that registering reads no file."""
        return ()

    def _start_anew(self, inode: int | None) -> None:
        self._inode, self._offset = inode, 0
        self._answers: OrderedDict[str, tuple[str, str, str]] = OrderedDict()
        self._windows: OrderedDict[tuple[str, str], OrderedDict[str, bool]] = OrderedDict()
        self._strangers = self._bad_lines = 0

    def _read_on(self) -> bool:
        """Takes the new lines that are complete; tells whether the log can be read."""
        try:
            with self._log.open("rb") as file:
                status = os.fstat(file.fileno())
                if status.st_ino != self._inode or status.st_size < self._offset:
                    self._start_anew(status.st_ino)
                file.seek(self._offset)
                while lines := file.readlines(_PIECE):
                    for line in lines:
                        if not line.endswith(b"\n"):
                            return True  # it is being written
                        self._offset += len(line)
                        self._take(line)
        except OSError:
            return False
        return True

    def _take(self, line: bytes) -> None:
        if not line.strip():
            return
        try:
            found = parse_line(line)
        except ValueError:
            self._bad_lines += 1
            return
        if isinstance(found, Answer):
            self._take_answer(found)
        else:
            self._take_truth(*found)

    def _take_answer(self, answer: Answer) -> None:
        if answer.version is None:
            return  # it failed: there is no class that may be right
        self._answers[answer.id] = (answer.arm, str(answer.version), answer.label)
        if len(self._answers) > MAX_WAITING:
            self._answers.popitem(last=False)

    def _take_truth(self, id_: str, truth: str) -> None:
        answer = self._answers.get(id_)
        if answer is None:
            self._strangers += 1
            return
        arm, version, label = answer
        window = self._windows.setdefault((arm, version), OrderedDict())
        self._windows.move_to_end((arm, version))
        window[id_] = label == truth  # a later truth for the same request replaces the earlier one
        if len(window) > WINDOW:
            window.popitem(last=False)
        if len(self._windows) > _MAX_WINDOWS:
            self._windows.popitem(last=False)


_LABELS = ("arm", "version")

"""Reads what is to be watched: logs, references, kept images, models.config and a server's memory."""

import math
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from atelier import __version__
from atelier.errors import AtelierError
from serving.ab.arms import select
from serving.ab.e_value_trace import trace_e_value
from serving.ab.judging import Report, RunningTest, find_test, judge_answers, report_no_test
from serving.ab.samples import name_sample
from serving.ab.verdict import Rules, compute_threshold
from serving.monitor import drift_watch
from serving.monitor.drift_watch import DriftWatch, Effect
from serving.monitor.errors import MonitorError
from serving.monitor.features import FeatureWindow
from serving.monitor.log_tail import LogTail
from serving.monitor.page.memory import MemoryScrape
from serving.monitor.page.traffic_table import AnswerTable, summarize
from serving.monitor.reference import load, locate
from serving.registry.aliases import Registry
from serving.registry.models_config import STABLE

MISTAKES = 12
_MOST_AHEAD_S = 60.0
"""An answer that is further in the future than this is not counted yet."""
_TRACE_POINTS = 300
_JUDGE_S = 5.0
"""Aliases and references are looked at this often where no answer comes in."""
_REST = 9
"""Times as long as it took to judge all answers, nothing is judged: with many answers it would fill a processor."""


@dataclass(frozen=True)
class Sources:
    """What is watched.

    Attributes:
      registry: the versions and their aliases.
      output: output folder of the runs, with the references.
      logs: of the answers.
      rules: of the verdict.
      samples: folder of the kept images; None: none are shown, and features are no data.
      features: computes features; None: they are no data.
      memory: None: memory is no data.
    """

    registry: Registry
    output: Path
    logs: Sequence[Path]
    rules: Rules
    samples: Path | None = None
    features: FeatureWindow | None = None
    memory: MemoryScrape | None = None


class Watcher:
    """Follows the sources. One thread calls `look` again and again; others call `summarize`, after the first look."""

    def __init__(self, sources: Sources) -> None:
        """Reads nothing yet."""
        self.sources = sources
        self._table = AnswerTable()
        self._tails = [LogTail(log) for log in sources.logs]
        self._drift_watch: DriftWatch | None = None
        self._reference_file: tuple[Path, float] | None = None
        self._judged: dict[str, Any] = {}
        self._is_behind = False
        self._soonest = self._latest = -math.inf
        """When to judge again, where there are new answers and where there are none; time.monotonic()."""
        self._problems: list[str] = []
        self._lock = threading.Lock()
        self.effects: list[Effect] = []

    def look(self) -> None:
        """Reads what is new, and judges it. The first look asks no server for features: the page is there sooner."""
        with self._lock:
            added = sum(self._table.add(tail.read()) for tail in self._tails)
        if self.sources.memory:
            self.sources.memory.ask()
        self._is_behind = self._is_behind or added > 0
        if time.monotonic() < (self._soonest if self._is_behind else self._latest):
            return
        is_first = not self._judged
        problems: list[str] = []
        aliases = self._read_aliases(problems)
        version = self._choose_version(aliases)
        features = "they are being computed" if is_first else self._collect_features(version)  # this may take long
        began, self._is_behind = time.monotonic(), False
        with self._lock:
            self.effects = self._judge_drift(version, features)
            self._problems = problems
            self._judged = {
                "aliases": aliases,
                "drift": self._describe_drift(),
                "ab": self._judge_test(),
                "mistakes": self._list_mistakes(),
            }
        if not is_first:
            ended = time.monotonic()
            self._soonest, self._latest = ended + _REST * (ended - began), began + _JUDGE_S

    def summarize(self, minutes: float) -> dict[str, Any]:
        """Returns all that the page shows, as JSON has it.

        Args:
          minutes: range of the charts.
        """
        now = time.time()
        with self._lock:
            traffic, judged = summarize(self._table, now, minutes), self._judged
        aliases = judged["aliases"]
        for each in traffic["versions"]:
            each["aliases"] = [alias for alias, version in aliases.items() if str(version) == each["version"]]
        return {
            "atelier": __version__,
            "model": self.sources.registry.model,
            "now": now,
            "minutes": minutes,
            "problems": [*self._list_problems(), *self._problems],
            "answers": len(self._table.answers),
            **traffic,
            **judged,
            "memory": self._describe_memory(now, minutes),
        }

    def _list_problems(self) -> list[str]:
        found = [tail.problem for tail in self._tails if tail.problem]
        found += [
            f"{tail.file}: {tail.broken} broken line{'s' if tail.broken > 1 else ''} passed over; the last: "
            f"{tail.last_broken}"
            for tail in self._tails
            if tail.broken
        ]
        if self._table.answers:
            ahead = datetime.fromisoformat(self._table.answers[-1].when).timestamp() - time.time()
            if ahead > _MOST_AHEAD_S:
                found.append(
                    f"the last answer is {ahead:.0f} s in the future and not counted yet: check the clients' clocks"
                )
        return found

    def _read_aliases(self, problems: list[str]) -> dict[str, int]:
        try:
            return dict(self.sources.registry.read_aliases())
        except AtelierError as error:
            problems.append(str(error))
            return {}

    def _choose_version(self, aliases: dict[str, int]) -> int | None:
        """Returns the version whose drift is watched: the stable one, or that of the last answer."""
        if STABLE in aliases:
            return aliases[STABLE]
        return next((each.version for each in reversed(self._table.answers) if each.version is not None), None)

    def _collect_features(self, version: int | None) -> np.ndarray | str:
        """Returns the features of kept images, or why there are none."""
        if self.sources.samples is None:
            return "no images are kept: name their folder with --samples"
        if self.sources.features is None:
            return "no server computes features: name one with --target"
        if version is None:
            return "no version has answered"
        try:
            return self.sources.features.collect(version, drift_watch.WINDOW)
        except MonitorError as error:
            return str(error)

    def _judge_drift(self, version: int | None, features: np.ndarray | str) -> list[Effect]:
        watch, reason = None, "no version has answered"
        if version is not None:
            file = locate(self.sources.output, version)
            reason = f"version {version} has no reference: write one with `atelier models reference {version}`"
            try:
                watch = self._load_reference(file)
            except MonitorError as error:
                reason = str(error)
        if watch is None or version is None:
            return [drift_watch.build_unknown(name, unit, 0, reason) for name, unit in drift_watch.PROPERTIES.items()]
        return [
            watch.judge_predictions(self._table.list_labels(version)),
            *watch.judge_images(list(self._table.images)),
            drift_watch.build_unknown(drift_watch.FEATURES, drift_watch.MMD, 0, features)
            if isinstance(features, str)
            else watch.judge_features(features),
        ]

    def _load_reference(self, file: Path) -> DriftWatch | None:
        try:
            stamp = (file, file.stat().st_mtime)
        except OSError:
            return None
        if stamp != self._reference_file:
            self._reference_file, self._drift_watch = stamp, None
            reference = load(file)
            self._drift_watch = DriftWatch(reference) if reference else None
        return self._drift_watch

    def _describe_drift(self) -> dict[str, Any]:
        reference = self._drift_watch.reference if self._drift_watch else None
        known = any(each.state != drift_watch.NO_DATA for each in self.effects)
        return {
            "effects": [asdict(each) for each in self.effects],
            "version": str(reference.version) if reference and known else None,
            "images": reference.images if reference and known else None,
            "window": drift_watch.WINDOW,
        }

    def _judge_test(self) -> dict[str, Any]:
        try:
            test = find_test(self.sources.registry)
        except AtelierError as error:
            test = str(error)
        threshold = compute_threshold(self.sources.rules)
        if isinstance(test, str):
            return _describe_report(report_no_test(test), threshold)
        answers = list(self._table.answers)
        if self._table.forgotten and test.since < answers[0].when:
            reason = "the test has more answers than this page holds: use `atelier ab report`"
            return _describe_report(report_no_test(reason, test.canary), threshold)
        report = judge_answers(test, answers, self._table.truths, self.sources.rules)
        return _describe_report(report, threshold) | {"trace": self._trace(test, answers)}

    def _trace(self, test: RunningTest, answers: list[Any]) -> dict[str, Any]:
        counted = select(answers, canary=test.canary, control=test.stable, since=test.since)
        when, log_e = trace_e_value(counted, self._table.truths)
        chosen = np.unique(np.linspace(0, len(when) - 1, min(len(when), _TRACE_POINTS)).astype(int)).tolist()
        first = min((each.when for each in counted), default=None)
        start = [(_to_unix(first), 0.0)] if first else []
        points = start + [(_to_unix(when[each]), float(log_e[each]) / np.log(10)) for each in chosen]
        return {"times": [time for time, _ in points], "log10_e": [value for _, value in points]}

    def _list_mistakes(self) -> list[dict[str, Any]]:
        return [
            {
                "id": each.id,
                "when": _to_unix(each.when),
                "version": str(each.version),
                "label": each.label,
                "truth": truth,
                "probability": each.probability,
                "image": self._find_image(each.id),
            }
            for each, truth in self._table.list_mistakes(MISTAKES)
        ]

    def _find_image(self, request_id: str) -> str | None:
        name = name_sample(request_id)
        return name if self.sources.samples and (self.sources.samples / name).is_file() else None

    def _describe_memory(self, now: float, minutes: float) -> dict[str, Any]:
        scrape = self.sources.memory
        if scrape is None:
            return {"times": [], "bytes": [], "reason": "name the server's endpoint with --metrics"}
        points = [each for each in scrape.points if each[0] >= now - 60 * minutes]
        points = points[:: max(1, len(points) // 200)] if len(points) > 400 else points
        return {
            "times": [each[0] for each in points],
            "bytes": [each[1] for each in points],
            "reason": scrape.problem,
        }


def _describe_report(report: Report, threshold: float) -> dict[str, Any]:
    found = {**report.numbers, "threshold": threshold, "trace": {"times": [], "log10_e": []}}
    if "arms" in found:
        found["arms"] = {name: arm | {"version": str(arm["version"])} for name, arm in found["arms"].items()}
    return found


def _to_unix(when: str) -> float:
    return datetime.fromisoformat(when).timestamp()

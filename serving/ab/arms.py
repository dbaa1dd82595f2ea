"""Counts what a log says of the two arms of one test: requests, errors, latencies, and the shares of the traffic."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from serving.ab.answer_log import Answer
from serving.ab.mixture import Factor
from serving.ab.split import CANARY, CONTROL


@dataclass(frozen=True)
class Arm:
    """One arm of a test.

    Attributes:
      version: that answers it.
      requests: all of them.
      failed: requests that were not answered.
      labeled: answered requests whose truth has come in.
      wrong: of these, those with another class.
      latencies: [n] float64 milliseconds of the answered requests, in their order.
      last: time of the last request, UTC, ISO 8601; "": there is none.
    """

    version: int
    requests: int
    failed: int
    labeled: int
    wrong: int
    latencies: np.ndarray
    last: str

    @property
    def errors(self) -> int:
        """Failed and wrong requests."""
        return self.failed + self.wrong

    @property
    def known(self) -> int:
        """Requests of which it is known whether they are errors."""
        return self.failed + self.labeled

    @property
    def accuracy(self) -> float | None:
        """Of the answers whose truth has come in, 0..1; None: of none."""
        return 1 - self.wrong / self.labeled if self.labeled else None


@dataclass(frozen=True)
class Test:
    """The canary against its control group.

    Attributes:
      canary: the candidate's arm.
      control: the stable version's arm of the same size.
      factors: the errors of both, one entry for each pair of shares.
    """

    canary: Arm
    control: Arm
    factors: tuple[Factor, ...]


def count(answers: Iterable[Answer], truths: Mapping[str, str], *, canary: int, control: int, since: str = "") -> Test:
    """Counts one test.

    Args:
      answers: of the log; those of other versions, from before the test, are not counted.
      truths: classes by request id.
      canary: version of the canary.
      control: the stable version.
      since: when the test began, UTC, ISO 8601.
    """
    counted = select(answers, canary=canary, control=control, since=since)
    versions = {CANARY: canary, CONTROL: control}
    arms = {arm: _count_arm(arm, version, counted, truths) for arm, version in versions.items()}
    return Test(arms[CANARY], arms[CONTROL], _find_factors(counted, truths))


def select(answers: Iterable[Answer], *, canary: int, control: int, since: str = "") -> list[Answer]:
    """Returns the answers of one test; the arguments are those of `count`."""
    versions = {CANARY: canary, CONTROL: control}
    return [
        each
        for each in answers
        if each.arm in versions and each.when >= since and each.version in (None, versions[each.arm])
    ]


def list_errors(answers: Iterable[Answer], truths: Mapping[str, str]) -> list[Answer]:
    """Returns the answers of a test that are error events: failed, or known to be wrong."""
    return [
        each
        for each in answers
        if (each.error or (each.id in truths and truths[each.id] != each.label)) and each.canary and each.control
    ]


def _count_arm(arm: str, version: int, answers: Iterable[Answer], truths: Mapping[str, str]) -> Arm:
    own = [each for each in answers if each.arm == arm]
    answered = [each for each in own if not each.error]
    labeled = [each for each in answered if each.id in truths]
    return Arm(
        version=version,
        requests=len(own),
        failed=len(own) - len(answered),
        labeled=len(labeled),
        wrong=sum(truths[each.id] != each.label for each in labeled),
        latencies=np.array([each.milliseconds for each in answered], float),
        last=max((each.when for each in own), default=""),
    )


def _find_factors(answers: Iterable[Answer], truths: Mapping[str, str]) -> tuple[Factor, ...]:
    """Returns the errors by the shares under which they happened: a change of the shares begins a new factor."""
    found: dict[tuple[float, float], list[int]] = {}
    for each in list_errors(answers, truths):
        events = found.setdefault((each.canary, each.control), [0, 0])
        events[0] += 1
        events[1] += each.arm == CANARY
    return tuple(
        Factor(events, first, canary / (canary + control)) for (canary, control), (events, first) in found.items()
    )

"""What the benchmarks share: two sides measured in turn, their medians, and whether a target holds."""

import statistics
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

ROUNDS = 5


@dataclass(frozen=True)
class Target:
    """What the ratio of ours to what stands beside it must be."""

    bound: float
    at_most: bool
    """Else at least."""

    def holds(self, ratio: float) -> bool:
        """Whether `ratio` meets it."""
        return ratio <= self.bound if self.at_most else ratio >= self.bound

    def __str__(self) -> str:
        return f"{'<=' if self.at_most else '>='} {self.bound:g}"


def at_most(bound: float) -> Target:
    """Less is better: seconds, bytes."""
    return Target(bound, at_most=True)


def at_least(bound: float) -> Target:
    """More is better: images per second."""
    return Target(bound, at_most=False)


@dataclass(frozen=True)
class Result:
    """One line of the table: two figures of one unit, and their ratio."""

    name: str
    """Of the benchmark, as `atelier bench` takes it."""
    case: str
    ours: float
    beside: float
    unit: str
    target: Target | None
    """None: measured for orientation only."""

    @property
    def ratio(self) -> float:
        """Ours over what stands beside it."""
        return self.ours / self.beside

    def as_json(self) -> dict[str, Any]:
        """The entry of `bench.json`; `target` and `holds` are null where there is none."""
        target = self.target
        values = asdict(self) | {
            "ratio": self.ratio,
            "target": None if target is None else str(target),
            "holds": None if target is None else target.holds(self.ratio),
        }
        return {key: values[key] for key in ("name", "case", "ours", "beside", "unit", "ratio", "target", "holds")}


def interleave(
    ours: Callable[[], float], beside: Callable[[], float], rounds: int = ROUNDS
) -> tuple[list[float], list[float]]:
    """Calls both in turn, so that what else the machine does meets both alike.

    Every second round the order is turned around: whoever comes second finds warm caches.

    Args:
      ours: measures once, and returns the figure.
      beside: the same for what a user would do without us.
      rounds: of both.

    Returns:
      The figures of each, a round each.
    """
    found: tuple[list[float], list[float]] = ([], [])
    for number in range(rounds):
        for side in (0, 1) if number % 2 == 0 else (1, 0):
            found[side].append((ours, beside)[side]())
    return found


def compare(
    name: str,
    case: str,
    unit: str,
    target: Target | None,
    ours: Callable[[], float],
    beside: Callable[[], float],
    rounds: int = ROUNDS,
) -> Result:
    """The medians of `rounds` measurements of each side, taken in turn."""
    first, second = interleave(ours, beside, rounds)
    return Result(name, case, statistics.median(first), statistics.median(second), unit, target)

"""Several sides measured in turn, as `measure.interleave` does it with two."""

from collections.abc import Callable, Mapping
from typing import TypeVar

from benchmarks import measure

_T = TypeVar("_T")


def take_turns(sides: Mapping[str, Callable[[], _T]], rounds: int = measure.ROUNDS) -> dict[str, list[_T]]:
    """Calls every side once a round, so that what else the machine does meets all alike.

    Each round begins with another side: whoever comes later finds warm caches.

    Args:
      sides: by name; each measures once, and returns what it found.
      rounds: of all.

    Returns:
      What each found, a round each.
    """
    names = list(sides)
    found: dict[str, list[_T]] = {name: [] for name in names}
    for number in range(rounds):
        first = number % len(names)
        for name in (*names[first:], *names[:first]):
            found[name].append(sides[name]())
    return found

"""The Tuner's trials for the report: rows of a table, and the geometry of their parallel coordinates.

As in `plots`, coordinates only: the page's template draws them.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

WIDTH, HEIGHT = 900, 300
"""Of the chart, in SVG user units."""
LEFT, RIGHT, TOP, BOTTOM = 60, 840, 40, 270
"""Between which its axes stand."""
SCORE = "eval accuracy"


@dataclass(frozen=True)
class AxisTick:
    """A marked value on an axis."""

    y: float
    text: str


@dataclass(frozen=True)
class Axis:
    """One of the values that were searched, or the score."""

    x: float
    name: str
    ticks: list[AxisTick]


@dataclass(frozen=True)
class TrialLine:
    """One trial."""

    path: str
    """The attribute `d` of an SVG path."""
    opacity: float
    chosen: bool
    text: str
    """Shown when the pointer rests on it."""


@dataclass(frozen=True)
class TrialsChart:
    """All that the template needs; the chosen trial's line is the last, above the others."""

    axes: list[Axis]
    lines: list[TrialLine]


def format_rows(trials: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Returns rows, best first: `trial`, `accuracy`, `epochs` (None: all trials had as many) and `values` as texts."""
    return [
        {**trial, "values": {key: format_number(value) for key, value in trial["values"].items()}} for trial in trials
    ]


def build_parallel_coordinates(trials: Sequence[Mapping[str, Any]], space: Mapping[str, Any]) -> TrialsChart | None:
    """Builds parallel coordinates: an axis for each value that was searched, and one for the score.

    Args:
      trials: best first, the first one chosen; each with `trial`, `accuracy` and `values` by key.
      space: the section `tuner.space`: intervals (`min`, `max`, `sampling`), or lists of values, by key.

    Returns:
      None without trials.
    """
    if not trials:
        return None
    scores = [trial["accuracy"] for trial in trials]
    low, high = min(scores), max(scores)
    low = low if low < high else high - 0.01
    scales = {key: _build_axis(space[key]) for key in trials[0]["values"]}
    scales[SCORE] = _build_interval(low, high, "linear")
    step = (RIGHT - LEFT) / max(len(scales) - 1, 1)
    places = {key: round(LEFT + index * step, 1) for index, key in enumerate(scales)}
    lines = []
    for index, trial in enumerate(trials):
        values = {**trial["values"], SCORE: trial["accuracy"]}
        points = [f"{places[key]:g} {scales[key][0](value):g}" for key, value in values.items()]
        told = ", ".join(f"{key} {format_number(value)}" for key, value in values.items())
        share = (trial["accuracy"] - low) / (high - low)
        lines.append(
            TrialLine("M" + "L".join(points), round(0.15 + 0.6 * share, 2), index == 0, f"{trial['trial']}: {told}")
        )
    axes = [Axis(places[key], key.replace("_", " "), ticks) for key, (_, ticks) in scales.items()]
    return TrialsChart(axes, lines[::-1])


def format_number(value: Any) -> str:
    """Returns a value as text; three digits are enough to try it again."""
    return f"{value:.3g}" if isinstance(value, float) else str(value)


_Scale = tuple[Callable[[Any], float], list[AxisTick]]


def _build_axis(searched: Any) -> _Scale:
    if isinstance(searched, Mapping):
        return _build_interval(searched["min"], searched["max"], searched["sampling"])
    step = (BOTTOM - TOP) / (len(searched) + 1)
    places = {value: round(BOTTOM - (index + 1) * step, 1) for index, value in enumerate(searched)}
    return places.__getitem__, [AxisTick(y, str(value)) for value, y in places.items()]


def _build_interval(low: float, high: float, sampling: str) -> _Scale:
    """Clipped at its ends: a default that lies outside is no trial, yet rounding may be."""
    bend: Callable[[float], float] = math.log if sampling == "log" else float

    def scale(value: float) -> float:
        share = (bend(min(max(value, low), high)) - bend(low)) / (bend(high) - bend(low))
        return round(BOTTOM - share * (BOTTOM - TOP), 1)

    return scale, [AxisTick(scale(low), format_number(float(low))), AxisTick(scale(high), format_number(float(high)))]

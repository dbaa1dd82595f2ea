"""Geometry of the report's charts: measurements in, coordinates out; the page's template draws them as SVG.

No markup is made here, so that the template escapes all text and colors everything by the page's own theme.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from atelier.layout import EVAL, TRAIN

WIDTH, HEIGHT = 440, 260
"""Of every chart, in SVG user units."""
LEFT, RIGHT, TOP, BOTTOM = 46, 430, 26, 220
"""Borders of the area inside the axes."""

_MOST_DOTS = 40
"""A line of more points is drawn without dots, which would run into one another."""
_SPLITS = {TRAIN: "", EVAL: "val_"}
"""Lines of a training chart, and what Keras puts before a metric's name."""


@dataclass(frozen=True)
class Tick:
    """A marked place on an axis."""

    at: float
    text: str


@dataclass(frozen=True)
class Dot:
    """One measurement."""

    x: float
    y: float
    radius: float
    text: str
    """Shown when the pointer rests on it."""


@dataclass(frozen=True)
class Line:
    """Measurements that belong together."""

    name: str
    path: str
    """The attribute `d` of an SVG path."""
    dots: list[Dot] = field(default_factory=list)


@dataclass(frozen=True)
class Chart:
    """All that the template needs to draw one chart."""

    title: str
    description: str
    """What a reader who cannot see the chart should know."""
    x_name: str
    x_ticks: list[Tick]
    y_ticks: list[Tick]
    lines: list[Line]
    dividers: list[float] = field(default_factory=list)
    """Where a vertical line parts two phases."""
    captions: list[Tick] = field(default_factory=list)
    """Names of the phases, at their middles."""


def build_training_chart(phases: Mapping[str, Mapping[str, Any]], metric: Literal["accuracy", "loss"]) -> Chart | None:
    """Builds curves of `metric` on train and eval over all epochs, phase after phase; None if nothing was recorded.

    Args:
      phases: by name, in order; `curves` holds a row an epoch with `epoch` (from 0), `accuracy`, `loss`, `val_accuracy`
        and `val_loss`. What is missing or not finite leaves a gap.
      metric: which of the metrics.
    """
    runs: list[tuple[str, int, list[tuple[int, str, float]]]] = []
    offset = 0
    for name, phase in phases.items():
        rows = phase.get("curves") or []
        points = [
            (offset + int(row["epoch"]) + 1, split, float(row[prefix + metric]))
            for row in rows
            for split, prefix in _SPLITS.items()
            if _is_number(row.get(prefix + metric))
        ]
        if points:
            runs.append((name, offset, points))
            offset = max(epoch for epoch, _, _ in points)
    if not runs:
        return None
    values = [value for _, _, points in runs for _, _, value in points]
    y_values = _choose_ticks(min(values), max(values))
    x = _build_scale(0.5, offset + 0.5, LEFT, RIGHT)
    y = _build_scale(y_values[0], y_values[-1], BOTTOM, TOP)

    lines = []
    for split in _SPLITS:
        strokes = [
            [(x(e), y(v), f"{split} {metric} {v:.4f}, epoch {e}") for e, s, v in p if s == split] for *_, p in runs
        ]
        radius = 2.5 if sum(map(len, strokes)) <= _MOST_DOTS else 0
        # A phase of one epoch is a dot or nothing at all.
        dots = [Dot(*p[:2], radius or 2.5, p[2]) for stroke in strokes for p in stroke if radius or len(stroke) == 1]
        if any(strokes):
            lines.append(Line(split, "".join(_draw_path((px, py) for px, py, _ in stroke) for stroke in strokes), dots))
    ends = [start for _, start, _ in runs[1:]] + [offset]
    return Chart(
        title=f"{metric.capitalize()} by epoch",
        description=_describe_training(runs, metric),
        x_name="epoch",
        x_ticks=[Tick(x(epoch), str(epoch)) for epoch in range(1, offset + 1, max(1, math.ceil(offset / 10)))],
        y_ticks=[Tick(y(value), _format_number(value)) for value in y_values],
        lines=lines,
        dividers=[x(start + 0.5) for _, start, _ in runs[1:]],
        captions=[
            Tick(x((start + end + 1) / 2), name.replace("_", "-"))
            for (name, start, _), end in zip(runs, ends, strict=True)
        ],
    )


def build_reliability_diagram(rows: Sequence[Sequence[float]]) -> Chart | None:
    """Builds a reliability diagram: predicted probability against the share that came true; None without measurements.

    Args:
      rows: [mean probability, share that came true, number of probabilities] a bin.
    """
    if not rows:
        return None
    x, y = _build_scale(0, 1, LEFT, RIGHT), _build_scale(0, 1, BOTTOM, TOP)
    most = math.log1p(max(count for _, _, count in rows))
    dots = [
        Dot(x(p), y(share), 2.5 + 4 * math.log1p(n) / most, f"said {p:.3f}, came true {share:.3f}, {int(n):,} times")
        for p, share, n in rows
    ]
    ticks = [0, 0.2, 0.4, 0.6, 0.8, 1]
    return Chart(
        title="Reliability diagram",
        description="; ".join(dot.text for dot in dots),
        x_name="predicted probability",
        x_ticks=[Tick(x(value), _format_number(value)) for value in ticks],
        y_ticks=[Tick(y(value), _format_number(value)) for value in ticks],
        lines=[
            Line("perfect", _draw_path([(LEFT, BOTTOM), (RIGHT, TOP)])),
            Line("measured", _draw_path((dot.x, dot.y) for dot in dots), dots),
        ],
    )


def compute_calibration_error(rows: Sequence[Sequence[float]]) -> float:
    """Computes the mean gap of probability and share that came true, weighted by count (Guo et al. 2017, equation 3).

    Args:
      rows: as for `build_reliability_diagram`, at least one.
    """
    return sum(abs(p - share) * count for p, share, count in rows) / sum(count for _, _, count in rows)


def _describe_training(runs: list[tuple[str, int, list[tuple[int, str, float]]]], metric: str) -> str:
    sentences = []
    for name, _, points in runs:
        for split in _SPLITS:
            values = [value for _, s, value in points if s == split]
            if values:
                sentences.append(f"{name.replace('_', '-')}: {split} {metric} from {values[0]:.4f} to {values[-1]:.4f}")
    return "; ".join(sentences)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value)


def _build_scale(low: float, high: float, start: float, end: float) -> Any:
    return lambda value: round(start + (value - low) / (high - low) * (end - start), 1)


def _choose_ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Round numbers (1, 2 or 5 times a power of ten apart) that enclose [low, high], at most `most` of them."""
    if high - low < 1e-9:
        low, high = (low - 0.1, high) if low >= 0.1 else (low, high + 0.1)
    magnitude = 10.0 ** math.floor(math.log10((high - low) / most))
    for factor in (1, 2, 5, 10, 20):
        step = magnitude * factor
        # Rounded first: 0.3 / 0.1 is a hair below 3, and a value on a tick needs no further one.
        first, last = math.floor(round(low / step, 6)), math.ceil(round(high / step, 6))
        if last - first < most:
            break
    return [round(n * step, 10) for n in range(first, last + 1)]


def _format_number(value: float) -> str:
    return f"{value:g}"


def _draw_path(points: Iterable[tuple[float, float]]) -> str:
    return "".join(f"{'L' if i else 'M'}{x:g} {y:g}" for i, (x, y) in enumerate(points))

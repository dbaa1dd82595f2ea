"""What a confusion matrix says: precision and recall by class, the pairs that are mixed up, and a heat map.

The matrix comes as its cells that are not empty: [actual class, predicted class, images]. The predicted class is the
most probable one, however improbable it is; -1 stands for none.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

Cells = Sequence[Sequence[int]]

MOST_LABELS = 40
"""A heat map of more classes cannot be labeled legibly."""
LEVELS = 10
"""Shades of the heat map."""


@dataclass(frozen=True)
class ClassRow:
    """How well one class is recognized."""

    name: str
    images: int
    """Test images of this class."""
    precision: float | None
    """Of the images taken for this class, the share that is; None if none was."""
    recall: float | None
    """Of this class's images, the share that was recognized; None if there is none."""
    mistaken_for: str
    """The class that its images are most often taken for, "" if none is mistaken."""
    mistakes: int
    """How many of them are taken for `mistaken_for`."""


@dataclass(frozen=True)
class Pair:
    """Images of one class that were taken for another."""

    actual: str
    predicted: str
    images: int
    share: float
    """Of all images of the actual class."""


@dataclass(frozen=True)
class HeatCell:
    """One cell of the heat map."""

    images: int
    share: float
    """Of the row."""
    level: int
    """Shade, 0 (empty) to `LEVELS`."""
    right: bool


def find_class_name(number: int, names: Sequence[str]) -> str:
    """Returns the name of a class id; the id itself if no name is known."""
    if number < 0:
        return "none"
    return names[number] if number < len(names) else str(number)


def count_by_class(cells: Cells, names: Sequence[str]) -> list[ClassRow]:
    """Returns a row for each class that was seen or predicted, lowest recall first, classes without images last."""
    right = Counter({actual: count for actual, predicted, count in cells if actual == predicted})
    actual_count, predicted_count = _sum_by(cells, 0), _sum_by(cells, 1)
    worst: dict[int, tuple[int, int]] = {}
    for actual, predicted, count in cells:
        if actual != predicted:
            worst[actual] = max(worst.get(actual, (0, 0)), (count, -predicted))
    rows = []
    for number in sorted((actual_count | predicted_count).keys() - {-1}):
        mistakes, predicted = worst.get(number, (0, 0))
        rows.append(
            ClassRow(
                name=find_class_name(number, names),
                images=actual_count[number],
                precision=right[number] / predicted_count[number] if predicted_count[number] else None,
                recall=right[number] / actual_count[number] if actual_count[number] else None,
                mistaken_for=find_class_name(-predicted, names) if mistakes else "",
                mistakes=mistakes,
            )
        )
    return sorted(rows, key=lambda row: (row.recall is None, row.recall or 0.0, -row.images))


def find_pairs(cells: Cells, names: Sequence[str], most: int) -> list[Pair]:
    """Returns the `most` pairs with most images."""
    actual_count = _sum_by(cells, 0)
    wrong = sorted((c for c in cells if c[0] != c[1]), key=lambda c: (-c[2], -c[2] / actual_count[c[0]]))
    return [
        Pair(find_class_name(actual, names), find_class_name(predicted, names), count, count / actual_count[actual])
        for actual, predicted, count in wrong[:most]
    ]


def build_heat_map(cells: Cells, names: Sequence[str]) -> list[tuple[str, list[HeatCell]]] | None:
    """Returns rows (name of the actual class, a cell for each predicted class); None above `MOST_LABELS` classes.

    Shades follow the square root of the share of the row: one mistake in a hundred must still be seen.
    """
    classes = max([len(names), *(1 + max(actual, predicted) for actual, predicted, _ in cells)])
    if not cells or classes > MOST_LABELS:
        return None
    counts = {(actual, predicted): count for actual, predicted, count in cells}
    actual_count = _sum_by(cells, 0)
    rows = []
    for actual in range(classes):
        row = []
        for predicted in range(classes):
            count = counts.get((actual, predicted), 0)
            share = count / actual_count[actual] if count else 0.0
            level = max(1, round(LEVELS * math.sqrt(share))) if count else 0
            row.append(HeatCell(count, share, level, actual == predicted))
        rows.append((find_class_name(actual, names), row))
    return rows


def _sum_by(cells: Cells, axis: int) -> Counter[int]:
    sums: Counter[int] = Counter()
    for cell in cells:
        sums[cell[axis]] += cell[2]
    return sums

"""Judges the last requests of a version: which of their properties have drifted from the reference.

A property has drifted if its effect size is above a limit. The limit is a size that matters in practice, or, if that
is larger, the largest size of `_DRAWS` windows that are drawn from the reference itself: with many classes or few
requests, a window differs from the reference by chance. Fewer than `MIN_REQUESTS` are no data.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from serving.ab.image_statistics import NUMBERS, ImageStatistics
from serving.monitor import drift
from serving.monitor.reference import Reference

WINDOW = 500
"""Requests of a window: the last ones."""
MIN_REQUESTS = 100
STEADY, DRIFTED, NO_DATA = "steady", "drift", "no data"

PREDICTIONS, FORMAT, FEATURES = "predictions", "format", "features"
BITS, DEVIATIONS, MMD = "bits", "standard deviations", "MMD\N{SUPERSCRIPT TWO}"
MATTERS: Mapping[str, float] = {BITS: 0.02, DEVIATIONS: 0.3, MMD: 0.02}
"""Effect sizes that matter, by unit. 0.02 bits: one of two equally frequent classes goes from 50 to 66 %."""
_DRAWS = 200
_SEED = 20121


@dataclass(frozen=True)
class Effect:
    """The drift of one property.

    Attributes:
      name: predictions, brightness, contrast, sharpness, size, format or features.
      state: steady, drift or no data.
      unit: of `size` and `limit`.
      requests: in the window.
      size: effect size; None: no data.
      limit: above it the property has drifted; None: no data.
      reason: why there is no data.
    """

    name: str
    state: str
    unit: str
    requests: int
    size: float | None = None
    limit: float | None = None
    reason: str = ""


class DriftWatch:
    """Compares windows with one reference."""

    def __init__(self, reference: Reference) -> None:
        """Takes the reference."""
        self.reference = reference
        self._limit = functools.lru_cache(maxsize=64)(self._find_limit)

    def judge_predictions(self, labels: Sequence[str]) -> Effect:
        """Judges the predicted classes, of which the last `WINDOW` count."""
        known = self.reference.classes.tolist()
        expected = np.append(self.reference.class_counts, 0)
        return self._judge(
            PREDICTIONS,
            BITS,
            labels,
            lambda window: drift.compute_divergence(drift.count_names(window, known), expected),
        )

    def judge_images(self, images: Sequence[ImageStatistics]) -> list[Effect]:
        """Judges brightness, contrast, sharpness, size and format, of which the last `WINDOW` count."""
        found = []
        for column, name in enumerate(NUMBERS):
            measure = functools.partial(drift.compute_distance, reference=self.reference.numbers[:, column])
            found.append(self._judge(name, DEVIATIONS, np.array([getattr(each, name) for each in images]), measure))
        known = sorted(set(self.reference.formats.tolist()))
        expected = drift.count_names(self.reference.formats.tolist(), known)
        formats = [each.format for each in images]
        effect = self._judge(
            FORMAT, BITS, formats, lambda window: drift.compute_divergence(drift.count_names(window, known), expected)
        )
        return [*found, effect]

    def judge_features(self, features: np.ndarray) -> Effect:
        """Judges penultimate features [n, channels], of which the last `WINDOW` count."""
        reference = self.reference.features
        if len(reference) < MIN_REQUESTS:
            return build_unknown(
                FEATURES, MMD, len(features), "the reference has no features: its model has no signature for them"
            )
        if len(features) and features.shape[1] != reference.shape[1]:
            return build_unknown(FEATURES, MMD, len(features), "the features of model and reference differ in number")
        for name, rows in (("reference", reference), ("model", features[-WINDOW:])):
            if not np.isfinite(rows).all():
                return build_unknown(
                    FEATURES, MMD, len(features), f"features of the {name} are infinite or not a number"
                )
        return self._judge(FEATURES, MMD, features, self._compute_discrepancy)

    def _judge(self, name: str, unit: str, values: Any, measure: Callable[[Any], float]) -> Effect:
        window = values[-WINDOW:]
        count = len(window)
        if count < MIN_REQUESTS:
            return build_unknown(name, unit, count, f"{count} of at least {MIN_REQUESTS} requests")
        size = measure(window)
        limit = max(MATTERS[unit], self._limit(name, WINDOW if count == WINDOW else MIN_REQUESTS))
        return Effect(name, DRIFTED if size > limit else STEADY, unit, count, size, limit)

    def _compute_discrepancy(self, window: np.ndarray) -> float:
        reference, bandwidth = self.reference.features, self.reference.bandwidth
        return drift.compute_discrepancy(
            drift.compute_kernel(window, window, bandwidth),
            self._reference_kernel,
            drift.compute_kernel(window, reference, bandwidth),
        )

    @functools.cached_property
    def _reference_kernel(self) -> np.ndarray:
        features = self.reference.features
        return drift.compute_kernel(features, features, self.reference.bandwidth)

    def _find_limit(self, name: str, count: int) -> float:
        """Returns the largest effect size of windows from the reference, each against another draw of its size."""
        drawn = np.random.default_rng(_SEED)
        if name == FEATURES:
            return max(self._draw_discrepancy(drawn, count) for _ in range(_DRAWS))
        if name in NUMBERS:
            values = self.reference.numbers[:, NUMBERS.index(name)]
            return max(
                drift.compute_distance(drawn.choice(values, count), drawn.choice(values, len(values)))
                for _ in range(_DRAWS)
            )
        counts = self.reference.class_counts
        if name == FORMAT:
            counts = np.unique(self.reference.formats, return_counts=True)[1]
        shares = counts / counts.sum()
        return max(
            drift.compute_divergence(drawn.multinomial(count, shares), drawn.multinomial(int(counts.sum()), shares))
            for _ in range(_DRAWS)
        )

    def _draw_discrepancy(self, drawn: np.random.Generator, count: int) -> float:
        """Splits the reference in two, of which the window is at most one half: no row is on both sides."""
        kernel = self._reference_kernel
        order = drawn.permutation(len(kernel))
        count = min(count, len(kernel) // 2)
        first, second = order[:count], order[count:]
        return drift.compute_discrepancy(
            kernel[np.ix_(first, first)], kernel[np.ix_(second, second)], kernel[np.ix_(first, second)]
        )


def build_unknown(name: str, unit: str, requests: int, reason: str) -> Effect:
    """Returns the effect of a property that is not known."""
    return Effect(name, NO_DATA, unit, requests, reason=reason)


PROPERTIES: Mapping[str, str] = {
    PREDICTIONS: BITS,
    **dict.fromkeys(NUMBERS, DEVIATIONS),
    FORMAT: BITS,
    FEATURES: MMD,
}
"""The unit of each property, in the order in which they are shown."""

"""Tests on events that fall on one of two sides, valid however often one looks: the exact beta-binomial mixture.

Under the hypothesis each event falls on the first side with a known probability. The mixture of the likelihood ratios
of all other probabilities, weighted by a Beta distribution around the known one, is a martingale that starts at 1. By
Ville's inequality it ever reaches 1/alpha with a probability of at most alpha, however often one looks and whenever one
stops.

Source: Lindon & Malek, "Anytime-valid inference for multinomial count data" (NeurIPS 2022). The sequences for quantiles
are those of Howard & Ramdas, "Sequential estimation of quantiles with applications to A/B testing and best-arm
identification" (Bernoulli 28(3), 2022), with this mixture in its exact form as their boundary.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import optimize, special

STRENGTH = 10.0
"""k: how firmly the mixture's Beta distribution sits around the hypothesis, in events."""
_LARGEST_LOG_RATIO = 30.0


@dataclass(frozen=True)
class Factor:
    """The events of a time in which the share did not change.

    Attributes:
      events: n >= 0.
      first: s of them fell on the first side, 0..n.
      share: rho, the first side's share under the hypothesis, 0 < rho < 1.
    """

    events: int
    first: int
    share: float

    def __post_init__(self) -> None:
        if not (0 <= self.first <= self.events and 0 < self.share < 1):
            raise ValueError(f"{self.first} of {self.events} events at a share of {self.share}")


def compute_log_e_value(
    events: np.ndarray | float, first: np.ndarray | float, share: float, k: float = STRENGTH
) -> np.ndarray:
    """Returns log E of one factor.

    Args:
      events: n, of any shape.
      first: s, of the same shape.
      share: rho, 0 < rho < 1.
      k: see `STRENGTH`.
    """
    a, b = k * share, k * (1 - share)
    first, other = np.asarray(first, float), np.asarray(events, float) - first
    mixed = special.betaln(a + first, b + other) - special.betaln(a, b)
    log_e: np.ndarray = mixed - first * math.log(share) - other * math.log1p(-share)
    return log_e


def combine(factors: Sequence[Factor]) -> float:
    """Returns log E of several times with different shares: their product is again a martingale."""
    return float(sum(compute_log_e_value(each.events, each.first, each.share) for each in factors))


def estimate_ratio(factors: Sequence[Factor], alpha: float) -> tuple[float, float]:
    """Returns the bounds between which the ratio of the sides' event rates is, at all times with probability 1 - alpha.

    A ratio r of the first side's rate to the other's makes the first side's share of the events
    rho r / (rho r + 1 - rho). The bounds enclose every r that the same mixture does not reject; log E is convex in
    log r.

    Args:
      factors: the events.
      alpha: 0..1.
    """

    def compute_excess(log_ratio: float) -> float:
        return _compute_log_e_at(factors, log_ratio) + math.log(alpha)

    best = optimize.minimize_scalar(
        lambda log_ratio: _compute_log_e_at(factors, log_ratio),
        bounds=(-_LARGEST_LOG_RATIO, _LARGEST_LOG_RATIO),
        method="bounded",
    ).x
    low = _find_root(compute_excess, -_LARGEST_LOG_RATIO, best, 0.0)
    high = _find_root(compute_excess, best, _LARGEST_LOG_RATIO, math.inf)
    return low, high


def bound_quantile(values: np.ndarray, quantile: float, alpha: float) -> tuple[float, float]:
    """Returns the bounds between which a quantile is, at all times with probability 1 - alpha; infinite while unknown.

    The number of values at or below the true quantile is a sum of Bernoulli variables, on which the mixture is a test.
    Which counts it does not reject is which ranks enclose the quantile. Ties do no harm.

    Args:
      values: [n], independent and of one distribution, in any order.
      quantile: 0 < p < 1.
      alpha: 0..1.
    """
    count = len(values)
    if not count:
        return -math.inf, math.inf
    ranked = np.sort(values)
    possible = np.flatnonzero(compute_log_e_value(count, np.arange(count + 1), quantile) < -math.log(alpha))
    lowest, highest = int(possible[0]), int(possible[-1])
    lower = float(ranked[lowest - 1]) if lowest >= 1 else -math.inf
    upper = float(ranked[highest]) if highest < count else math.inf
    return lower, upper


def _compute_log_e_at(factors: Sequence[Factor], log_ratio: float) -> float:
    """Returns log E under the hypothesis that the rates have this ratio; at 0 it is that of `combine`."""
    total = 0.0
    for each in factors:
        logit = special.logit(each.share) + log_ratio
        a, b = STRENGTH * each.share, STRENGTH * (1 - each.share)
        other = each.events - each.first
        total += float(special.betaln(a + each.first, b + other) - special.betaln(a, b))
        total -= each.first * float(special.log_expit(logit)) + other * float(special.log_expit(-logit))
    return total


def _find_root(compute_excess: Callable[[float], float], low: float, high: float, unbounded: float) -> float:
    """Returns exp of the zero of a function between two places; `unbounded` if it has none there."""
    if compute_excess(low) * compute_excess(high) > 0:
        return unbounded
    return math.exp(optimize.brentq(compute_excess, low, high))

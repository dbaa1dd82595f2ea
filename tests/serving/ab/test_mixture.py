"""The e-values against exact fractions and another library, and what they promise against simulations."""

import importlib.util
import math
from fractions import Fraction

import numpy as np
import pytest

from serving.ab.mixture import Factor, bound_quantile, combine, compute_log_e_value, estimate_ratio


def beta_ratio(a, b, first, other):
    """B(a + first, b + other) / B(a, b) by the rising factorials, exactly."""
    found = Fraction(1)
    for step in range(first):
        found *= Fraction(a) + step
    for step in range(other):
        found *= Fraction(b) + step
    for step in range(first + other):
        found /= Fraction(a) + Fraction(b) + step
    return found


@pytest.mark.parametrize("share", [Fraction(1, 2), Fraction(1, 10), Fraction(3, 10)])
@pytest.mark.parametrize(("events", "first"), [(0, 0), (1, 0), (1, 1), (5, 5), (12, 3), (40, 31)])
def test_e_values_are_those_of_exact_fractions(events, first, share):
    exact = beta_ratio(10 * share, 10 * (1 - share), first, events - first)
    exact /= share**first * (1 - share) ** (events - first)
    assert math.exp(compute_log_e_value(events, first, float(share))) == pytest.approx(float(exact), rel=1e-9)


def test_by_hand():
    """One event: B(6, 5) / (B(5, 5) / 2) = 1. Two on one side: (5 * 6) / (10 * 11) / (1/4) = 12/11."""
    assert compute_log_e_value(1, 1, 0.5) == pytest.approx(0, abs=1e-12)
    assert math.exp(compute_log_e_value(2, 2, 0.5)) == pytest.approx(12 / 11)
    assert math.exp(compute_log_e_value(2, 1, 0.5)) == pytest.approx(2 * 5 * 5 / 110 / (2 / 4))


def test_the_expectation_under_the_hypothesis_is_1():
    for share in (0.5, 0.1):
        first = np.arange(31)
        weights = [math.comb(30, s) * share**s * (1 - share) ** (30 - s) for s in first]
        assert np.dot(weights, np.exp(compute_log_e_value(30, first, share))) == pytest.approx(1)


def test_factors_multiply():
    parts = [Factor(20, 15, 0.5), Factor(30, 9, 0.1)]
    assert combine(parts) == pytest.approx(float(compute_log_e_value(20, 15, 0.5) + compute_log_e_value(30, 9, 0.1)))
    assert combine([]) == 0
    with pytest.raises(ValueError, match="5 of 3 events"):
        Factor(3, 5, 0.5)


def test_large_counts_neither_overflow_nor_vanish():
    assert np.isfinite(compute_log_e_value(2_000_000, 1_000_000, 0.5))
    assert compute_log_e_value(2_000_000, 1_100_000, 0.5) > 1000


RUNS, REQUESTS, LOOKS = 1000, 10_000, 100


def simulate(rng, share, control, canary, requests=REQUESTS):
    """Errors of all and of the canary at each look, [RUNS, LOOKS]; requests go to it by chance."""
    per_look = requests // LOOKS
    of_canary = rng.binomial(per_look, share, (RUNS, LOOKS))
    s = rng.binomial(of_canary, 1 - canary).cumsum(axis=1)
    return s + rng.binomial(per_look - of_canary, 1 - control).cumsum(axis=1), s


@pytest.mark.parametrize("share", [0.1, 0.5])
@pytest.mark.parametrize("accuracy", [0.90, 0.98])
def test_equal_arms_looked_at_a_hundred_times_are_rarely_told_apart(share, accuracy):
    events, first = simulate(np.random.default_rng(7), share, accuracy, accuracy)
    false = (compute_log_e_value(events, first, share) >= math.log(1 / 0.05)).any(axis=1).mean()
    assert false <= 0.05


@pytest.mark.parametrize(("share", "median"), [(0.5, 600), (0.1, 1400)])
def test_a_worse_arm_is_found(share, median):
    """From 0.90 to 0.80: after a median of 600 requests at half of the traffic, of 1,400 at a tenth."""
    events, first = simulate(np.random.default_rng(7), share, 0.90, 0.80)
    found = compute_log_e_value(events, first, share) >= math.log(1 / 0.05)
    assert found.any(axis=1).mean() > 0.99
    needed = (found.argmax(axis=1) + 1) * REQUESTS // LOOKS
    assert np.median(needed) == pytest.approx(median, abs=200)


def test_the_ratio_is_enclosed_at_all_looks():
    """Error rates 0.2 and 0.1: the ratio 2 is missed at any look in at most 5 % of the runs."""
    events, first = simulate(np.random.default_rng(3), 0.3, 0.9, 0.8, requests=2000)
    missed = 0
    for run in range(60):
        bounds = [estimate_ratio([Factor(events[run, look], first[run, look], 0.3)], 0.05) for look in (5, 20, 60, 99)]
        missed += any(not low <= 2 <= high for low, high in bounds)
    assert missed <= 6  # 3 are expected at most
    low, high = estimate_ratio([Factor(int(events[0, -1]), int(first[0, -1]), 0.3)], 0.05)
    assert 1 < low < 2 < high < 4


def test_the_bounds_of_the_ratio_are_where_the_test_turns():
    factor = [Factor(100, 60, 0.5), Factor(50, 10, 0.1)]
    low, high = estimate_ratio(factor, 0.05)
    for bound in (low, high):
        # Under this ratio the shares of the events are these, and the same mixture is exactly at 1/alpha.
        log_e = 0.0
        for each in factor:
            p = each.share * bound / (each.share * bound + 1 - each.share)
            log_e += float(compute_log_e_value(each.events, each.first, each.share))
            log_e += each.first * math.log(each.share / p)
            log_e += (each.events - each.first) * math.log((1 - each.share) / (1 - p))
        assert log_e == pytest.approx(math.log(20))
    assert estimate_ratio([], 0.05) == (0.0, math.inf)


def test_bounds_of_the_ratio_where_one_arm_has_all_errors():
    """E at a ratio r is 5*6*7*8*9 / (35*36*37*38*39) * (1 + 1/r)**30, which is 20 at the bound."""
    low, high = estimate_ratio([Factor(30, 30, 0.5)], 0.05)
    by_hand = 1 / ((20 * (35 * 36 * 37 * 38 * 39) / (5 * 6 * 7 * 8 * 9)) ** (1 / 30) - 1)
    assert (low, high) == (pytest.approx(by_hand), math.inf)
    mirrored = estimate_ratio([Factor(30, 0, 0.5)], 0.05)
    assert mirrored == (0.0, pytest.approx(1 / low))


@pytest.mark.parametrize("quantile", [0.5, 0.95])
def test_quantiles_are_enclosed_at_all_looks(quantile):
    """Exponential latencies: the true quantile is missed at any of 100 looks in at most 5 % of 300 runs."""
    rng = np.random.default_rng(11)
    true = -math.log(1 - quantile)
    missed = 0
    for _ in range(300):
        values = rng.exponential(size=3000)
        below = (values < true).cumsum()[29::30]
        looks = np.arange(30, 3001, 30)
        missed += bool((compute_log_e_value(looks, below, quantile) >= math.log(1 / 0.05)).any())
    assert missed / 300 <= 0.05
    low, high = bound_quantile(rng.exponential(size=3000), quantile, 0.05)
    assert low < true < high
    assert high - low < 0.6


def test_ranks_by_hand():
    """Of 100 values 1..100 the bounds of the median are ranks that mirror each other; few values bound nothing."""
    low, high = bound_quantile(np.random.default_rng(0).permutation(np.arange(1.0, 101.0)), 0.5, 0.05)
    assert low + high == 101
    assert 30 < low < 42
    assert bound_quantile(np.array([1.0, 2.0]), 0.5, 0.05) == (-math.inf, math.inf)
    assert bound_quantile(np.array([]), 0.5, 0.05) == (-math.inf, math.inf)
    assert bound_quantile(np.ones(500), 0.95, 0.05) == (1.0, 1.0)


@pytest.mark.slow
@pytest.mark.skipif(not importlib.util.find_spec("ville"), reason="ville is not installed")
def test_another_library_agrees_on_the_verdict():
    """ville.BettingABTest bounds the difference by bets: both reject what is far, and neither what is equal."""
    import ville

    rng = np.random.default_rng(5)
    for canary, differs in ((0.1, False), (0.35, True)):
        treated = rng.random(3000) < 0.5
        errors = (rng.random(3000) < np.where(treated, canary, 0.1)).astype(float)
        betting = ville.BettingABTest(alpha=0.05, propensity=0.5, grid=2000)
        betting.update(errors, treated)
        low, high = betting.interval()[0], betting.interval()[1]
        assert (not low <= 0 <= high) is differs
        log_e = compute_log_e_value(int(errors.sum()), int(errors[treated].sum()), 0.5)
        assert bool(log_e >= math.log(20)) is differs

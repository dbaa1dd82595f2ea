"""What a test comes to: promote, roll back, wait, or no data, with the numbers that say why.

Errors and latencies are two tests. Together they give a false verdict on equal arms in at most `alpha` of all cases,
however often one looks: four fifths of alpha are for the errors, one fifth is for the latencies.

A canary that makes more errors is rolled back on what is known of them, its failed requests too. It is promoted only
once the truth of enough requests has come in.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from atelier.settings.field_types import Count, Number
from atelier.settings.section import Section
from serving.ab.arms import Arm, Test
from serving.ab.mixture import bound_quantile, combine, estimate_ratio

PROMOTE, ROLL_BACK, WAIT, NO_DATA = "promote", "roll back", "wait", "no data"
QUANTILES = (0.5, 0.95)
_ERRORS_SHARE = 0.8
_LARGEST_LOG = 700.0
"""exp() of more is infinite, which JSON does not have."""


class Rules(Section):
    """When a verdict is given."""

    alpha: Annotated[Number, Field(gt=0, lt=1)] = 0.05
    """Probability of a false verdict on equal arms, however often one looks."""
    min_requests: Count = 200
    """Requests of each arm before any verdict; to promote, requests whose outcome is known."""
    max_slowdown: Annotated[Number, Field(ge=1)] = 1.2
    """The canary is too slow if a quantile of its latency is surely more than this many times the control group's."""
    max_silence: Annotated[Number, Field(gt=0)] = 3600.0
    """Seconds without a request of an arm after which there is no data to wait for."""


DEFAULT_RULES = Rules()


@dataclass(frozen=True)
class LatencyBounds:
    """A quantile of the latency of both arms, in milliseconds; None: not bounded yet."""

    quantile: float
    canary: tuple[float | None, float | None]
    control: tuple[float | None, float | None]
    slower: bool


@dataclass(frozen=True)
class Verdict:
    """The verdict and its numbers.

    Attributes:
      verdict: promote, roll back, wait or no data.
      reasons: each a sentence with numbers.
      e_value: of the errors, against equal rates.
      ratio: bounds of the canary's error rate divided by the control group's; None: infinite.
      latency: by quantile.
    """

    verdict: str
    reasons: Sequence[str]
    e_value: float
    ratio: tuple[float, float | None]
    latency: Sequence[LatencyBounds]


def judge(test: Test, rules: Rules = DEFAULT_RULES, now: datetime | None = None) -> Verdict:
    """Judges a test.

    Args:
      test: what was counted.
      rules: when a verdict is given.
      now: None: the time of the call.
    """
    log_e = combine(test.factors)
    alpha = _ERRORS_SHARE * rules.alpha
    low, high = estimate_ratio(test.factors, alpha)
    e_value = math.exp(min(log_e, _LARGEST_LOG))
    latency = [_compare_latency(test, quantile, rules) for quantile in QUANTILES]
    verdict, reasons = _decide(test, rules, log_e, e_value, low, latency, now or datetime.now(UTC))
    return Verdict(verdict, reasons, e_value, (low, high if math.isfinite(high) else None), latency)


def compute_threshold(rules: Rules) -> float:
    """Returns the E-value of the errors that decides."""
    return 1 / (_ERRORS_SHARE * rules.alpha)


def _decide(
    test: Test,
    rules: Rules,
    log_e: float,
    e_value: float,
    low: float,
    latency: Sequence[LatencyBounds],
    now: datetime,
) -> tuple[str, list[str]]:
    arms = {"canary": test.canary, "control group": test.control}
    if empty := [name for name, arm in arms.items() if not arm.requests]:
        return NO_DATA, [f"no request of the {name} was logged" for name in empty]
    few = [
        f"the {name} has {arm.requests} of at least {rules.min_requests} requests"
        for name, arm in arms.items()
        if arm.requests < rules.min_requests
    ]
    if few:
        return _decide_to_wait(few, arms, rules, now)
    if slow := [_describe_slowdown(each, rules) for each in latency if each.slower]:
        return ROLL_BACK, slow
    threshold = compute_threshold(rules)
    told = (
        f"{_describe_errors(test.canary)} of the canary, {_describe_errors(test.control)} of the control group; "
        f"E-value {e_value:.3g}, {threshold:.3g} decides"
    )
    decided = log_e >= math.log(threshold)
    if decided and low >= 1:
        return ROLL_BACK, [f"the canary makes more errors: {told}"]
    if unlabeled := [name for name, arm in arms.items() if not arm.labeled]:
        return NO_DATA, [f"no truth has come in for the {name}: its errors are not known" for name in unlabeled]
    few = [
        f"the outcome of {arm.known} of at least {rules.min_requests} requests of the {name} is known"
        for name, arm in arms.items()
        if arm.known < rules.min_requests
    ]
    if few:
        return _decide_to_wait(few, arms, rules, now)
    if decided:
        return PROMOTE, [f"the canary makes fewer errors: {told}"]
    return _decide_to_wait([f"the arms are not told apart: {told}"], arms, rules, now)


def _decide_to_wait(reasons: list[str], arms: dict[str, Arm], rules: Rules, now: datetime) -> tuple[str, list[str]]:
    """Decides to wait; where an arm gets no requests any more, there is nothing to wait for."""
    silent = {name: (now - datetime.fromisoformat(arm.last)).total_seconds() for name, arm in arms.items()}
    if gone := {name: seconds for name, seconds in silent.items() if seconds > rules.max_silence}:
        told = [f"no request of the {name} for {seconds:.0f} s" for name, seconds in gone.items()]
        return NO_DATA, [*told, *reasons]
    return WAIT, reasons


def _compare_latency(test: Test, quantile: float, rules: Rules) -> LatencyBounds:
    # Of both arms and of every quantile one bound may fail.
    alpha = (1 - _ERRORS_SHARE) * rules.alpha / (2 * len(QUANTILES))
    canary = bound_quantile(test.canary.latencies, quantile, alpha)
    control = bound_quantile(test.control.latencies, quantile, alpha)
    return LatencyBounds(
        quantile, _drop_infinite(canary), _drop_infinite(control), slower=canary[0] > rules.max_slowdown * control[1]
    )


def _drop_infinite(bounds: tuple[float, float]) -> tuple[float | None, float | None]:
    low, high = (each if math.isfinite(each) else None for each in bounds)
    return low, high


def _describe_slowdown(bounds: LatencyBounds, rules: Rules) -> str:
    return (
        f"the canary is slower: the {bounds.quantile:.0%} quantile of its latency is at least {bounds.canary[0]:.1f} "
        f"ms, the control group's at most {bounds.control[1]:.1f} ms; {rules.max_slowdown:g} times that is allowed"
    )


def _describe_errors(arm: Arm) -> str:
    failed = f" ({arm.failed} failed)" if arm.failed else ""
    return f"{arm.errors} errors{failed} in {arm.known} requests"


def to_json(test: Test, verdict: Verdict) -> dict[str, Any]:
    """Returns the numbers of a test and its verdict as JSON has them."""
    return {
        "verdict": verdict.verdict,
        "reasons": list(verdict.reasons),
        "e_value": verdict.e_value,
        "error_ratio": list(verdict.ratio),
        "arms": {name: _arm_to_json(arm) for name, arm in (("canary", test.canary), ("control", test.control))},
        "latency": [
            {
                "quantile": each.quantile,
                "canary_ms": list(each.canary),
                "control_ms": list(each.control),
                "slower": each.slower,
            }
            for each in verdict.latency
        ],
    }


def _arm_to_json(arm: Arm) -> dict[str, Any]:
    names = (*QUANTILES, 0.99)
    latency = np.quantile(arm.latencies, names).tolist() if arm.latencies.size else []
    return {
        "version": arm.version,
        "requests": arm.requests,
        "failed": arm.failed,
        "labeled": arm.labeled,
        "wrong": arm.wrong,
        "errors": arm.errors,
        "accuracy": arm.accuracy,
        "latency_ms": {f"p{round(100 * name)}": value for name, value in zip(names, latency, strict=False)},
        "last": arm.last,
    }

"""The E-value over time ends where the verdict is."""

import math

import numpy as np
import pytest

from serving.ab.arms import count, select
from serving.ab.e_value_trace import trace_e_value
from serving.ab.mixture import compute_log_e_value
from serving.ab.verdict import judge
from tests.serving.ab.answers import answer


def test_each_step_is_that_of_the_mixture_and_the_last_that_of_the_verdict():
    drawn = np.random.default_rng(0)
    answers, truths = [], {}
    for number in range(60):
        shares = {"canary": 0.1, "control": 0.1} if number < 30 else {"canary": 0.6, "control": 0.4}
        arm, version = [("canary", 2), ("control", 1), ("rest", 1)][number % 3]
        answers.append(answer(number, arm=arm, version=version, **shares))
        truths[f"r{number}"] = "dog" if drawn.random() < 0.5 else "cat"
    counted = select(answers, canary=2, control=1)
    when, log_e = trace_e_value(counted, truths)
    wrong = [each for each in counted if truths[each.id] == "dog"]
    assert when == [each.when for each in wrong]
    early = [each for each in wrong if each.canary == 0.1]
    assert 0 < len(early) < len(wrong)
    for number in range(1, len(early) + 1):
        on_canary = sum(each.arm == "canary" for each in early[:number])
        assert log_e[number - 1] == pytest.approx(float(compute_log_e_value(number, on_canary, 0.5)))
    verdict = judge(count(answers, truths, canary=2, control=1))
    assert math.exp(log_e[-1]) == pytest.approx(verdict.e_value)


def test_without_errors_there_is_nothing_to_trace():
    when, log_e = trace_e_value([answer(1)], {"r1": "cat"})
    assert (when, log_e.tolist()) == ([], [])

"""Verdicts and their reasons, from answers as the log has them."""

import itertools
from datetime import UTC, datetime

import numpy as np
import pytest

from serving.ab.arms import count
from serving.ab.mixture import Factor
from serving.ab.verdict import DEFAULT_RULES, NO_DATA, PROMOTE, ROLL_BACK, WAIT, Rules, judge, to_json
from tests.serving.ab.answers import answer

NOW = datetime(2026, 11, 27, 10, 1, tzinfo=UTC)


def make(arm, requests, wrong, *, labeled=None, failed=0, milliseconds=None, share=0.1, start=0):
    """Answers and truths of one arm; the first `wrong` of those with a truth are wrong."""
    version = {"canary": 2, "control": 1}[arm]
    latencies = itertools.repeat(5.0) if milliseconds is None else iter(milliseconds)
    answers = [
        answer(
            30,
            id=f"{arm}{start + each}",
            arm=arm,
            canary=share,
            control=share,
            milliseconds=float(next(latencies)),
            **({"version": None, "label": "", "error": "UNAVAILABLE"} if each < failed else {"version": version}),
        )
        for each in range(requests)
    ]
    known = [each for each in answers if not each.error][: requests if labeled is None else labeled]
    return answers, {each.id: "dog" if number < wrong else "cat" for number, each in enumerate(known)}


def judged(*parts, rules=DEFAULT_RULES, now=NOW):
    answers = [each for made, _ in parts for each in made]
    truths = {id_: truth for _, found in parts for id_, truth in found.items()}
    test = count(answers, truths, canary=2, control=1)
    return test, judge(test, rules, now)


def test_counts_by_hand():
    test, _ = judged(make("canary", 10, 2, labeled=6, failed=3), make("control", 8, 1))
    canary, control = test.canary, test.control
    assert (canary.requests, canary.failed, canary.labeled, canary.wrong, canary.errors) == (10, 3, 6, 2, 5)
    assert (canary.accuracy, control.accuracy) == (pytest.approx(4 / 6), 7 / 8)
    assert test.factors == (Factor(6, 5, 0.5),)


def test_other_versions_other_arms_and_earlier_requests_do_not_count():
    (first,), truths = make("canary", 1, 1)
    others = [
        answer(1, id="early"),
        answer(30, id="old version", version=7),
        answer(30, id="rest", arm="rest", version=1),
    ]
    test = count([first, *others], truths, canary=2, control=1, since="2026-11-27T10:00:15.000+00:00")
    assert (test.canary.requests, test.control.requests) == (1, 0)


def test_a_change_of_the_shares_begins_a_new_factor():
    test, _ = judged(make("canary", 10, 4), make("control", 10, 2), make("canary", 9, 3, share=0.4, start=50))
    assert test.factors == (Factor(6, 4, 0.5), Factor(3, 3, 0.5))


def test_a_worse_canary_is_rolled_back_and_a_better_one_promoted():
    _, worse = judged(make("canary", 300, 60), make("control", 300, 20))
    assert worse.verdict == ROLL_BACK
    assert "60 errors in 300 requests of the canary, 20 errors in 300 requests of the control group" in worse.reasons[0]
    assert worse.ratio[0] > 1
    _, better = judged(make("canary", 300, 20), make("control", 300, 60))
    assert (better.verdict, better.e_value) == (PROMOTE, pytest.approx(worse.e_value))
    assert better.ratio[1] < 1


def test_equal_arms_wait_with_their_numbers():
    _, found = judged(make("canary", 300, 30), make("control", 300, 32))
    assert found.verdict == WAIT
    assert "not told apart" in found.reasons[0]
    assert "25 decides" in found.reasons[0]  # 1 / (0.8 * 0.05)


def test_nothing_is_said_below_the_minimum():
    _, found = judged(make("canary", 199, 199), make("control", 300, 0))
    assert (found.verdict, found.reasons) == (WAIT, ["the canary has 199 of at least 200 requests"])
    assert (
        judged(make("canary", 199, 199), make("control", 300, 0), rules=Rules(min_requests=100))[1].verdict == ROLL_BACK
    )


def test_no_data_is_a_state_of_its_own():
    _, found = judged(make("control", 300, 3))
    assert (found.verdict, found.reasons) == (NO_DATA, ["no request of the canary was logged"])
    _, found = judged(make("canary", 300, 0, labeled=0), make("control", 300, 0))
    assert found.verdict == NO_DATA
    assert "no truth has come in for the canary" in found.reasons[0]
    later = datetime(2026, 11, 27, 12, 0, tzinfo=UTC)
    _, found = judged(make("canary", 300, 30), make("control", 300, 32), now=later)
    assert (found.verdict, found.reasons[0]) == (NO_DATA, "no request of the canary for 7170 s")


def test_failed_requests_are_errors_before_any_truth_comes_in():
    _, found = judged(make("canary", 300, 0, labeled=0, failed=40), make("control", 300, 0, labeled=0))
    assert found.verdict == ROLL_BACK
    assert "40 errors (40 failed)" in found.reasons[0]


def test_a_few_truths_do_not_promote():
    _, found = judged(make("canary", 300, 0, labeled=20), make("control", 300, 20, labeled=20))
    assert found.verdict == WAIT
    assert found.e_value > 25
    assert "the outcome of 20 of at least 200 requests of the canary is known" in found.reasons[0]


def test_a_slow_canary_is_rolled_back_by_its_quantiles_not_its_mean():
    rng = np.random.default_rng(1)
    fast, slow = rng.exponential(10, 2000), rng.exponential(20, 2000)
    _, found = judged(make("canary", 2000, 100, milliseconds=slow), make("control", 2000, 100, milliseconds=fast))
    assert found.verdict == ROLL_BACK
    assert "50% quantile of its latency is at least" in found.reasons[0]
    spiked = np.where(rng.random(2000) < 0.003, 1e5, fast)  # the mean is thirty times as high
    _, found = judged(make("canary", 2000, 100, milliseconds=spiked), make("control", 2000, 100, milliseconds=fast))
    assert found.verdict == WAIT


@pytest.mark.slow
def test_equal_arms_looked_at_often_rarely_get_a_verdict():
    """Errors and latencies together, judged 10 times in each of 60 runs."""
    rng, false = np.random.default_rng(2), 0
    for _ in range(60):
        wrong = rng.random((2, 2000)) < 0.1
        milliseconds = rng.exponential(10, (2, 2000))
        for look in range(200, 2001, 200):
            parts = [
                make(arm, look, int(wrong[row, :look].sum()), milliseconds=milliseconds[row])
                for row, arm in enumerate(("canary", "control"))
            ]
            if judged(*parts)[1].verdict in (PROMOTE, ROLL_BACK):
                false += 1
                break
    assert false <= 3


def test_as_json():
    test, verdict = judged(make("canary", 300, 60), make("control", 300, 20))
    found = to_json(test, verdict)
    assert (found["verdict"], found["arms"]["canary"]["accuracy"]) == ("roll back", pytest.approx(0.8))
    assert found["arms"]["control"]["latency_ms"] == {"p50": 5.0, "p95": 5.0, "p99": 5.0}
    assert found["latency"][0] == {"quantile": 0.5, "canary_ms": [5, 5], "control_ms": [5, 5], "slower": False}

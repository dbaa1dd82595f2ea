"""Accuracy from the log of answers, by truth that comes in later."""

import os

import pytest
from prometheus_client import CollectorRegistry

from serving.ab.answer_log import AnswerLog
from serving.monitor.metrics import answers
from serving.monitor.metrics.answers import AnswerLogMetrics
from tests.serving.ab.answers import answer


@pytest.fixture
def file(tmp_path):
    return tmp_path / "answers.jsonl"


@pytest.fixture
def log(file):
    made = AnswerLog(file)
    yield made
    made.close()


@pytest.fixture
def read(file):
    registry = CollectorRegistry()
    registry.register(AnswerLogMetrics(file))

    def value(name, arm=None, version="2"):
        return registry.get_sample_value(name, {"arm": arm, "version": version} if arm else {})

    return value


def test_accuracy_of_each_arm_over_truth_that_came_in_later(log, read):
    for number in range(10):
        log.add_answer(answer(number, arm="canary" if number < 6 else "control", version=2 if number < 6 else 1))
    assert read("atelier_accuracy_ratio", "canary") is None  # no truth is not an accuracy of 0
    log.add_truths([(f"r{number}", "cat" if number < 3 else "dog") for number in range(4)])
    log.add_truths([("r9", "cat")])
    assert read("atelier_accuracy_ratio", "canary") == 0.75
    assert read("atelier_accuracy_answers", "canary") == 4
    assert read("atelier_accuracy_ratio", "control", "1") == 1
    log.add_truths([("r3", "cat")])  # corrected
    assert (read("atelier_accuracy_ratio", "canary"), read("atelier_accuracy_answers", "canary")) == (1, 4)


def test_only_the_last_answers_count(log, read, monkeypatch):
    monkeypatch.setattr(answers, "WINDOW", 4)
    for number in range(6):
        log.add_answer(answer(number))
        log.add_truths([(f"r{number}", "dog" if number < 3 else "cat")])
    assert read("atelier_accuracy_ratio", "canary") == 0.75
    assert read("atelier_accuracy_answers", "canary") == 4


def test_truths_of_strangers_and_of_failed_requests_are_told(log, read):
    log.add_answer(answer(1, version=None, label="", error="UNAVAILABLE"))
    log.add_truths([("r1", "cat"), ("nobody", "cat")])
    assert read("atelier_truths_without_answer_total") == 2
    assert read("atelier_accuracy_ratio", "canary") is None


def test_lines_that_are_broken_or_not_complete(file, log, read):
    log.add_answer(answer(1))
    with file.open("a") as stream:
        stream.write('{"record": "truth", "id"\n[1]\n{"record": "truth", "id": "r1", "tru')
        stream.flush()
        assert read("atelier_accuracy_ratio", "canary") is None
        stream.write('th": "cat"}\n')
    assert read("atelier_accuracy_ratio", "canary") == 1
    assert read("atelier_answer_log_bad_lines_total") == 2


def test_a_log_that_is_put_away_begins_anew(file, log, read):
    log.add_answer(answer(1))
    log.add_truths([("r1", "dog")])
    assert (read("atelier_answer_log_readable"), read("atelier_accuracy_ratio", "canary")) == (1, 0)
    os.rename(file, file.with_suffix(".old"))  # noqa: PTH104
    assert read("atelier_answer_log_readable") == 0
    anew = AnswerLog(file)
    anew.add_answer(answer(2))
    anew.add_truths([("r2", "cat")])
    anew.close()
    assert (read("atelier_answer_log_readable"), read("atelier_accuracy_ratio", "canary")) == (1, 1)
    assert read("atelier_accuracy_answers", "canary") == 1


def test_memory_is_bounded(log, read, monkeypatch):
    monkeypatch.setattr(answers, "MAX_WAITING", 3)
    for number in range(5):
        log.add_answer(answer(number))
    log.add_truths([("r0", "cat"), ("r4", "cat")])
    assert read("atelier_truths_without_answer_total") == 1
    assert read("atelier_accuracy_answers", "canary") == 1

"""The page's numbers, worked out by hand."""

from datetime import UTC, datetime

import pytest

from serving.ab.image_statistics import ImageStatistics
from serving.monitor.page import traffic_table
from serving.monitor.page.traffic_table import BINS, AnswerTable, summarize
from tests.serving.ab.answers import answer

NOW = 1_796_000_000.0


def at(seconds_ago):
    return datetime.fromtimestamp(NOW - seconds_ago, UTC).isoformat(timespec="milliseconds")


@pytest.fixture
def table():
    """In the last 5 minutes: 8 answers of version 1, two wrong; 2 of version 2; a failed call. One is older."""
    made = AnswerTable()
    made.add([answer(0, when=at(4000), version=1)])
    made.add(answer(number, when=at(100), version=1, milliseconds=10.0 * number) for number in range(1, 9))
    made.add(answer(number, when=at(10), version=2, milliseconds=5.0) for number in (11, 12))
    made.add([answer(20, when=at(9), version=None, label="", error="UNAVAILABLE", milliseconds=900.0)])
    made.add([(f"r{number}", "dog" if number <= 2 else "cat") for number in range(1, 7)])
    made.add([("r20", "cat"), ("unknown", "cat")])
    return made


def test_numbers_of_the_range(table):
    found = summarize(table, NOW, 5)
    everything, (first, second) = found["all"], found["versions"]
    assert (everything["requests"], everything["failed"], everything["labeled"], everything["wrong"]) == (11, 1, 6, 2)
    assert everything["accuracy"] == pytest.approx(4 / 6)
    assert everything["per_second"] == pytest.approx(11 / 300)
    assert (first["version"], first["requests"], first["share"]) == ("1", 8, pytest.approx(8 / 11))
    assert first["latency_ms"]["p50"] == pytest.approx(45)
    assert (second["labeled"], second["accuracy"]) == (0, None)
    assert summarize(table, NOW, 1440)["all"]["requests"] == 12


def test_charts(table):
    charts = summarize(table, NOW, 5)["charts"]
    assert len(charts["times"]) == BINS
    width = 5.0
    traffic = charts["traffic"]["1"]
    place = next(number for number, each in enumerate(traffic) if each)
    assert traffic[place] == pytest.approx(8 / width)
    assert abs(charts["times"][place] - (NOW - 100)) <= width / 2
    assert charts["accuracy"]["1"][place] == pytest.approx(4 / 6)
    assert [each for each in charts["accuracy"]["2"] if each is not None] == []
    assert charts["latency"]["1"][place] == pytest.approx(76.5)
    assert sum(each > 0 for each in charts["failed"]) == 1


def test_a_clock_that_is_behind_hides_no_other_answer(table):
    """The clock of one client is a day behind; its answers stand between those of another one."""
    for number in range(30, 60):
        table.add([answer(number, when=at(86_400), version=1), answer(number + 100, when=at(5), version=2)])
    versions = {each["version"]: each["requests"] for each in summarize(table, NOW, 5)["versions"]}
    assert versions == {"1": 8, "2": 2 + 30}


def test_nothing_is_no_data():
    found = summarize(AnswerTable(), NOW, 60)
    assert found["all"]["accuracy"] is None
    assert found["all"]["share"] is None
    assert found["all"]["latency_ms"] == {"p50": None, "p95": None, "p99": None}
    assert found["versions"] == []


def test_mistakes_newest_first(table):
    assert [(each.id, truth) for each, truth in table.list_mistakes(12)] == [("r2", "dog"), ("r1", "dog")]
    assert len(table.list_mistakes(1)) == 1
    table.add([("r2", "cat")])  # corrected
    assert [each.id for each, _ in table.list_mistakes(12)] == ["r1"]


def test_labels_and_images_of_the_last_requests(table):
    assert table.list_labels(2) == ["cat", "cat"]
    assert table.list_versions() == [1, 2]
    table.add([answer(30, image=ImageStatistics(0.1, 0.2, 0.3, 4, "png"))])
    assert [each.brightness for each in table.images] == [0.1]


def test_older_answers_leave(monkeypatch):
    monkeypatch.setattr(traffic_table, "MOST_ANSWERS", 3)
    table = AnswerTable()
    table.add([("r1", "cat")])
    table.add(answer(number) for number in range(1, 6))
    assert [each.id for each in table.answers] == ["r3", "r4", "r5"]
    assert (table.forgotten, table.truths) == (2, {})


def test_accuracy_is_that_of_several_bins():
    table = AnswerTable()
    for ago, label in ((60, "cat"), (40, "dog")):
        table.add(answer(ago + number, when=at(ago), version=1, label=label) for number in range(5))
        table.add((f"r{ago + number}", "cat") for number in range(5))
    found = [each for each in summarize(table, NOW, 5)["charts"]["accuracy"]["1"] if each is not None]
    # Bins have 5 s: the first five answers alone for four bins, all ten for two, the last five for four.
    assert found == [1.0] * 4 + [0.5] * 2 + [0.0] * 4


def test_versions_that_no_float_holds_are_told_apart():
    table = AnswerTable()
    large = 2**62 + 1
    table.add(answer(number, when=at(10), version=large + number) for number in range(2))
    found = summarize(table, NOW, 5)
    assert [(each["version"], each["requests"]) for each in found["versions"]] == [(str(large), 1), (str(large + 1), 1)]
    assert set(found["charts"]["traffic"]) == {str(large), str(large + 1)}

"""When the page judges what it has read."""

import time
import types

import pytest

from serving.monitor.page import watcher
from tests.serving.monitor.page.conftest import watch, write_traffic


@pytest.fixture
def clock(monkeypatch):
    """A clock that only the test moves. A server of an earlier test goes on by the real one, or it would never end."""
    now = [1000.0]
    monkeypatch.setattr(watcher, "time", types.SimpleNamespace(monotonic=lambda: now[0], time=time.time))
    return now


def look_for(watcher, clock, seconds, output=None):
    """Looks once a second, with an answer more each time if there is an `output`."""
    for number in range(seconds):
        if output:
            write_traffic(output, 1, start=10_000 + int(clock[0]) + number)
        watcher.look()
        clock[0] += 1


def test_judging_takes_a_tenth_of_the_time_at_most_and_no_answer_is_left_out(output, clock, monkeypatch):
    watcher, judged = watch(output), []

    def judge(judge_test=watcher._judge_test):
        clock[0] += 2  # as with very many answers
        judged.append(len(watcher._table.answers))
        return judge_test()

    monkeypatch.setattr(watcher, "_judge_test", judge)
    watcher.look()
    watcher.look()  # the second one asks for features
    assert len(judged) == 2
    look_for(watcher, clock, 60, output)
    assert len(judged) <= 2 + 60 / 20 + 1
    look_for(watcher, clock, 30)
    assert judged[-1] == len(watcher._table.answers) == 60


def test_without_answers_aliases_are_read_again_every_five_seconds(output, clock, monkeypatch):
    watcher, read = watch(output), []

    def read_aliases(_):
        read.append(clock[0])
        return {}

    monkeypatch.setattr(watcher, "_read_aliases", read_aliases)
    look_for(watcher, clock, 22)
    assert read == [1000, 1001, 1006, 1011, 1016, 1021]

"""Logs that grow, are cut off in a line, replaced, or broken."""

import json
import os

import pytest

from serving.ab.answer_log import Answer, AnswerLog
from serving.ab.image_statistics import ImageStatistics
from serving.monitor.log_tail import LogTail
from tests.serving.ab.answers import answer


def ids(tail):
    return [each.id if isinstance(each, Answer) else each for each in tail.read()]


@pytest.fixture
def log(tmp_path):
    return tmp_path / "answers.jsonl"


@pytest.fixture
def tail(log):
    made = LogTail(log)
    yield made
    made.close()


def write(log, *numbers):
    writer = AnswerLog(log)
    for number in numbers:
        writer.add_answer(answer(number, image=ImageStatistics(0.5, 0.2, 0.1, 17, "png")))
    writer.close()


def test_a_log_that_is_not_there_yet_is_waited_for(log, tail):
    assert ids(tail) == []
    assert tail.problem == f"{log}: no client has logged an answer"
    write(log, 1, 2)
    assert ids(tail) == ["r1", "r2"]
    assert tail.problem == ""
    assert ids(tail) == []
    writer = AnswerLog(log)
    writer.add_truths([("r1", "cat")])
    writer.close()
    assert ids(tail) == [("r1", "cat")]


def test_a_line_that_is_being_written_waits_for_its_end(log, tail):
    write(log, 1, 2)
    content = log.read_bytes()
    log.write_bytes(content[:-30])
    assert ids(tail) == ["r1"]
    with log.open("ab") as stream:
        stream.write(content[-30:])
    assert ids(tail) == ["r2"]
    assert tail.broken == 0


def test_a_log_that_is_put_away_and_begun_anew_is_followed(log, tail):
    write(log, 1)
    assert ids(tail) == ["r1"]
    write(log, 2)
    log.rename(log.with_name("old"))
    assert ids(tail) == ["r2"]  # what was added to the old file before
    write(log, 3)
    assert ids(tail) == ["r3"]


def test_a_log_that_is_emptied_is_read_from_its_start(log, tail):
    write(log, 1, 2)
    assert ids(tail) == ["r1", "r2"]
    os.truncate(log, 0)
    assert ids(tail) == []
    write(log, 4)
    assert ids(tail) == ["r4"]


def test_broken_lines_are_counted_and_named(log, tail):
    write(log, 1)
    line = json.loads(log.read_text())
    wrong = (
        b"{",
        b"null",
        b"\xff\xfe",
        json.dumps(line | {"when": "yesterday"}).encode(),
        json.dumps(line | {"when": "2026-11-27T10:00:00"}).encode(),
        json.dumps(line | {"milliseconds": float("nan")}).encode(),
        json.dumps(line | {"version": "two"}).encode(),
        json.dumps(line | {"label": None}).encode(),
        json.dumps(line | {"image": {"brightness": 1}}).encode(),
        json.dumps(line | {"image": line["image"] | {"size": "large"}}).encode(),
        json.dumps(line | {"surprise": 1}).encode(),
        b'{"record": "truth", "id": "r1"}',
        b'{"record": "other"}',
    )
    with log.open("ab") as stream:
        stream.write(b"\n".join(wrong) + b"\n\n")
    write(log, 2)
    assert ids(tail) == ["r1", "r2"]
    assert tail.broken == len(wrong)
    assert tail.last_broken.startswith(f"line {1 + len(wrong)}: ")
    assert "other" in tail.last_broken


def test_a_line_without_end_does_not_fill_the_memory(log, tail):
    write(log, 1)
    with log.open("ab") as stream:
        stream.write(b"x" * (5 << 20))
    assert ids(tail) == ["r1"]
    assert len(tail._rest) <= 1 << 20
    write(log, 2)  # begins a new line
    assert ids(tail) == ["r2"]
    assert tail.broken == 1
    assert "line 2: longer than" in tail.last_broken


def test_a_large_log_is_read_in_parts(log, tail):
    write(log, *range(1, 5000))
    first = [each.id for each in tail.read(most=1)]
    assert 0 < len(first) < 4999
    assert first + ids(tail) == [f"r{number}" for number in range(1, 5000)]


def test_what_is_no_file_is_told(tmp_path):
    tail = LogTail(tmp_path)
    assert ids(tail) == []
    assert f"{tmp_path}: cannot be read: Is a directory" in tail.problem

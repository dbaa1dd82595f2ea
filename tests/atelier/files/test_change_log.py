"""The append-only log of changes, cut at every byte."""

from dataclasses import dataclass

import pytest

from atelier.errors import AtelierError
from atelier.files.change_log import DONE, ChangeLog


@dataclass(frozen=True)
class Move:
    to: str
    id: str


def open_log(tmp_path):
    return ChangeLog(tmp_path / "log.jsonl", Move, "a place", AtelierError)


def test_a_log_that_was_cut_at_any_byte_goes_on(tmp_path):
    log = open_log(tmp_path)
    for number, to in enumerate(("Zürich 東京", "\udcff")):  # a byte of the command line that is not UTF-8
        log.begin(Move(to, f"m{number}"))
        log.end(Move(to, f"m{number}"), DONE)
    assert [change.intent.to for change in log.list_changes()] == ["Zürich 東京", "\udcff"]
    whole = log.file.read_bytes()
    last = whole.splitlines(keepends=True)[-1]
    for cut in range(len(last) + 1):
        log.file.write_bytes(whole[: len(whole) - cut])
        is_complete = cut <= 1  # at most the line break is missing
        assert (log.find_unfinished() is None) == is_complete, cut
        log.begin(Move("Bern", "next"))
        assert [change.intent.id for change in log.list_changes()] == ["m0", "m1", "next"]
        assert [change.outcome for change in log.list_changes()] == [DONE, DONE if is_complete else "", ""]


@pytest.mark.parametrize(
    "record",
    [
        '{"number": 1, "when": "t", "who": "me", "record": "intent", "id": "a", "place": "elsewhere"}',
        '{"number": 1, "when": "t", "who": "me", "record": "intent", "id": ["a"], "to": "b"}',
    ],
)
def test_a_record_of_another_kind_is_named(tmp_path, record):
    log = open_log(tmp_path)
    log.file.write_text(record + "\n")
    with pytest.raises(AtelierError, match=r"log\.jsonl: record 1 is not one of a place"):
        log.list_changes()


def test_a_file_without_any_record_is_no_log_but_its_first_record_may_be_cut_off(tmp_path):
    log = open_log(tmp_path)
    log.file.write_bytes(b"\xff\xd8 an image\n\0")
    with pytest.raises(AtelierError, match=r"log\.jsonl: no line is a record of a place"):
        log.list_changes()
    log.file.write_bytes(b'{"number": 1, "wh')
    assert log.list_changes() == []
    log.begin(Move("Bern", "next"))
    assert [change.intent.id for change in log.list_changes()] == ["next"]

"""Keys and arms: a stated hash, shares that can change, and what the log keeps."""

import hashlib
import json
import logging
import subprocess
import sys
from dataclasses import asdict

import pytest

from serving.ab import split
from serving.ab.answer_log import AnswerLog, AnswerLogError, read_log
from serving.ab.split import Shares, SharesFile, SplitError, find_bucket
from tests.serving.ab.answers import answer


def test_the_bucket_is_sha_256_of_salt_and_key():
    """sha256sum says of `pets:alice`: the number that its digits are, modulo 10,000, is the bucket."""
    assert find_bucket("pets", "alice") == int(hashlib.sha256(b"pets:alice").hexdigest(), 16) % 10_000
    assert find_bucket("pets", "alice") == find_bucket("pets", "alice") != find_bucket("cats", "alice")


def test_arms_have_their_shares_and_a_larger_share_only_adds_keys():
    keys = [f"user {number}" for number in range(20_000)]
    few, many = Shares(salt="s", canary=0.1), Shares(salt="s", canary=0.3)
    arms = [few.choose_arm(key) for key in keys]
    assert arms.count("canary") == pytest.approx(2000, abs=130)  # three standard deviations
    assert arms.count("control") == pytest.approx(2000, abs=130)
    later = [many.choose_arm(key) for key in keys]
    assert all(new == old for old, new in zip(arms, later, strict=True) if old != "rest")


@pytest.mark.parametrize(
    ("canary", "buckets"), [(0.0, (0, 0)), (0.5, (5000, 5000)), (0.8, (8000, 2000)), (1, (10_000, 0))]
)
def test_the_control_group_is_as_large_as_the_canary_or_what_is_left(canary, buckets):
    shares = Shares(salt="s", canary=canary)
    assert (shares.canary_buckets, shares.control_buckets) == buckets


@pytest.fixture
def file(tmp_path, monkeypatch):
    monkeypatch.setattr(split, "_LOOK_S", 0.0)
    (tmp_path / "shares.yaml").write_text("salt: pets-1\ncanary: 0.1\n")
    return tmp_path / "shares.yaml"


def test_a_change_counts_without_a_restart_and_a_broken_file_does_not(file, caplog):
    shares = SharesFile(file)
    file.write_text("salt: pets-1\ncanary: 0.25\n")
    assert shares.read_current().canary == 0.25
    with caplog.at_level(logging.WARNING, "atelier.client"):
        file.write_text("salt: pets-1\ncanary: 25\n")
        assert shares.read_current().canary == 0.25
        file.unlink()
        assert shares.read_current().canary == 0.25
    assert [f"{file}: canary: " in caplog.messages[0], "cannot be read" in caplog.messages[1]] == [True, True]
    file.write_text("salt: pets-1\ncanary: 0.5\n")
    assert shares.read_current().canary == 0.5


@pytest.mark.parametrize(
    "text", ["", "canary: 0.1", "salt: a\ncanary: 1.5", "salt: a\ncanary: 0.1\nstable: 0.9", "a: ["]
)
def test_a_file_that_cannot_be_used_is_told_with_its_remedy(file, text):
    file.write_text(text)
    with pytest.raises(SplitError, match=str(file)):
        SharesFile(file)


def test_the_log_keeps_answers_and_the_last_truth(tmp_path):
    log = AnswerLog(tmp_path / "answers.jsonl")
    log.add_answer(answer(1))
    log.add_truths([("r1", "dog"), ("r2", "cat")])
    with (tmp_path / "answers.jsonl").open("ab") as stream:
        stream.write(b'{"record": "answer", "id"')  # a client was killed
    log.add_answer(answer(2, label="köter"))
    log.add_truths([("r1", "cat")])
    log.close()
    assert read_log(tmp_path / "answers.jsonl") == ([answer(1), answer(2, label="köter")], {"r1": "cat", "r2": "cat"})


def test_another_file_is_no_log(tmp_path):
    (tmp_path / "other.jsonl").write_text('{"a": 1}\n')
    with pytest.raises(AnswerLogError, match="line 1: no record"):
        read_log(tmp_path / "other.jsonl")
    with pytest.raises(AnswerLogError, match="cannot be read"):
        read_log(tmp_path / "none.jsonl")


@pytest.mark.parametrize(
    "changes",
    [
        {"milliseconds": -5.0},  # the limits of both arms' latencies would be negative: a roll back for nothing
        {"milliseconds": "5"},
        {"milliseconds": float("nan")},
        {"milliseconds": 10**400},  # JSON has no largest number
        {"canary": "0.1"},
        {"canary": -1},
        {"control": 1.5},
        {"when": None},
        {"when": "yesterday"},
        {"when": "2026-11-27T10:00:00.000"},
        {"when": "2026-11-27T10:00:00.000+02:00"},  # compared as text with the start of the test
        {"id": ["r1"]},
        {"version": "2"},
        {"version": 2**63},
        {"version": -1},
        {"label": 3},
        {"surprise": 1},
        {"image": 3},
        {"image": {"brightness": 0.5}},
        {"image": {"brightness": "0.5", "contrast": 0.1, "sharpness": 1.0, "size": 16.0, "format": "jpeg"}},
        {"image": {"brightness": 0.5, "contrast": 0.1, "sharpness": 1.0, "size": 16.0, "format": 7}},
    ],
)
def test_a_value_that_cannot_be_is_named_with_its_line(tmp_path, changes):
    log = AnswerLog(tmp_path / "answers.jsonl")
    log.add_answer(answer(1))
    log.close()
    with (tmp_path / "answers.jsonl").open("a") as stream:
        stream.write(json.dumps({"record": "answer", **asdict(answer(2)), **changes}) + "\n")
    (key,) = changes
    with pytest.raises(AnswerLogError, match=rf"answers\.jsonl: line 2: no record of an A/B test: {key}"):
        read_log(tmp_path / "answers.jsonl")


def test_ids_and_classes_may_be_names_that_are_not_unicode(tmp_path):
    log = AnswerLog(tmp_path / "answers.jsonl")
    log.add_answer(answer(1, id="caf\udce9.jpg", label="\udce9"))
    log.add_truths([("caf\udce9.jpg", "\udce9")])
    log.close()
    (found,), truths = read_log(tmp_path / "answers.jsonl")
    assert (found.id, found.label, truths) == ("caf\udce9.jpg", "\udce9", {"caf\udce9.jpg": "\udce9"})


@pytest.mark.parametrize("line", ['{"record": "truth", "id": ["r1"], "truth": "cat"}', "[1, 2]", '"text"', "null", "3"])
def test_a_line_that_is_no_record_is_named(tmp_path, line):
    (tmp_path / "answers.jsonl").write_text(f"\n{line}\n")
    with pytest.raises(AnswerLogError, match=r"answers\.jsonl: line 2: no record of an A/B test: "):
        read_log(tmp_path / "answers.jsonl")


def test_a_file_without_any_record_is_no_log_but_a_log_of_one_line_may_be_cut_off(tmp_path):
    file = tmp_path / "answers.jsonl"
    for content in (b"\xff\xd8\xff\xe0 an image\n\0\n", b"[" * 100_000 + b"\n"):
        file.write_bytes(content)
        with pytest.raises(AnswerLogError, match="line 1: not JSON"):
            read_log(file)
    for content in (b"", b"\n", b'{"record": "answer", "id"'):
        file.write_bytes(content)
        assert read_log(file) == ([], {})


def test_processes_share_a_log(tmp_path):
    code = """
import sys
from dataclasses import asdict
from tests.serving.ab.answers import answer
from serving.ab.answer_log import AnswerLog
from dataclasses import asdict
from pathlib import Path
log = AnswerLog(Path(sys.argv[1]))
for number in range(200):
    log.add_answer(answer(number % 60, id=f"{sys.argv[2]}-{number}"))
"""
    file = tmp_path / "answers.jsonl"
    children = [subprocess.Popen([sys.executable, "-c", code, str(file), str(each)]) for each in range(3)]
    assert [child.wait(60) for child in children] == [0, 0, 0]
    assert len(read_log(file)[0]) == 600
    assert len([json.loads(line) for line in file.read_text().splitlines()]) == 600


def test_the_client_needs_no_tensorflow_and_no_scipy():
    code = "import sys, serving.ab.split_client; print({'tensorflow', 'scipy', 'tfx'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "set()\n"

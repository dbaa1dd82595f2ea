"""Unfinished folders: who removes which, and when."""

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from atelier.files import leftovers

ROOT = Path(__file__).resolve().parents[3]
OWNER = """
import sys, time
from pathlib import Path
from atelier.files import leftovers
with leftovers.create_owned(Path(sys.argv[1])):
    print("made", flush=True)
    time.sleep(600)
"""


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_folder_goes_with_its_block_and_one_that_was_renamed_stays(tmp_path):
    with pytest.raises(FileNotFoundError), leftovers.create_owned(tmp_path / "a") as folder:
        (folder / "missing" / "x").write_text("x")
    with leftovers.create_owned(tmp_path / "b") as folder:
        folder.rename(tmp_path / "c")
    assert names(tmp_path) == ["c"]


def test_nothing_of_a_living_process_is_swept_and_all_of_one_that_was_killed(tmp_path):
    command = [sys.executable, "-c", OWNER, str(tmp_path / "staging")]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as owner:
        assert owner.stdout
        assert owner.stdout.readline() == b"made\n"
        leftovers.sweep(tmp_path.iterdir())
        assert names(tmp_path) == ["staging"]
        owner.send_signal(signal.SIGKILL)
    leftovers.sweep(tmp_path.iterdir())
    assert names(tmp_path) == []


def test_files_and_links_are_not_swept(tmp_path):
    (tmp_path / "kept").mkdir()
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("kept")
    leftovers.sweep([tmp_path / "file", tmp_path / "link", tmp_path / "gone"])
    assert names(tmp_path) == ["file", "kept", "link"]


def test_a_folder_that_is_locked_is_kept_under_its_new_name(tmp_path):
    (tmp_path / "out").mkdir()
    with leftovers.lock(tmp_path / "out"):
        os.rename(tmp_path / "out", tmp_path / "earlier")  # noqa: PTH104
        leftovers.sweep(tmp_path.iterdir())
        assert names(tmp_path) == ["earlier"]


def test_scratch_folders_are_private_and_those_of_killed_processes_go(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    (tmp_path / "atelier-scratch-tiles-0").mkdir()
    (tmp_path / "mine").mkdir()
    with leftovers.create_scratch("styles") as first, leftovers.create_scratch("tiles") as second:
        assert first.stat().st_mode & 0o777 == 0o700
        assert names(tmp_path) == sorted([first.name, second.name, "mine"])
    assert names(tmp_path) == ["mine"]


def test_no_temporary_folder_is_made_that_a_killed_process_would_leave_for_ever():
    for package in ("atelier", "components", "kubeflow", "pipeline", "serving", "trainer"):
        for file in (ROOT / package).rglob("*.py"):
            text = file.read_text()
            assert "mkdtemp(" not in text, file
            assert "TemporaryDirectory(" not in text, file

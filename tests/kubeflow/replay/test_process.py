"""A container's stand-in: what its log holds, in the order in which it was said."""

import tempfile

import pytest

from kubeflow.replay import process


def test_a_traceback_comes_after_what_was_said_before_it(tmp_path, monkeypatch):
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)
    log = tmp_path / "log"
    command = ["python", "-c", "print('loading', flush=False)\nraise ValueError('too late')"]
    with pytest.raises(process.ProcessError, match="ValueError: too late"):
        process.run(command, folder=tmp_path, log=log, variables={})
    lines = log.read_text().splitlines()
    assert lines[0] == "loading"
    assert lines[-1] == "ValueError: too late"


def test_temporary_files_end_with_the_process(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "system"))
    (tmp_path / "system").mkdir()
    command = ["python", "-c", "import tempfile; print(tempfile.mkdtemp())"]
    process.run(command, folder=tmp_path, log=tmp_path / "log", variables={})
    assert str(tmp_path / "system") in (tmp_path / "log").read_text()
    assert list((tmp_path / "system").iterdir()) == []

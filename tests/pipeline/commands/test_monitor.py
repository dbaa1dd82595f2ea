"""`atelier monitor` from the command line."""

import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request

import pytest

from pipeline.cli import main


@pytest.fixture
def output(tmp_path):
    folder = tmp_path / "serving_model/1"
    folder.mkdir(parents=True)
    (folder / "saved_model.pb").write_bytes(b"made up")
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize(("host", "number"), [("127.0.0.1", signal.SIGINT), ("0.0.0.0", signal.SIGTERM)])  # noqa: S104
def test_the_page_is_served_until_a_signal_even_while_it_is_watched(output, host, number):
    words = ["--models", str(output), "--log", str(output / "answers.jsonl"), "--port", "0", "--host", host]
    command = [sys.executable, "-m", "pipeline.cli", "monitor", *words]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ
    ) as running:
        assert running.stdout is not None
        line = running.stdout.readline()
        found = re.fullmatch(r"atelier monitor: open http://[^:/]+:(\d+)/(\?token=[\w-]{32})? in a browser; .*\n", line)
        assert found, line
        port, token = found[1], found[2]
        assert (token is None) == (host == "127.0.0.1")
        address = f"http://127.0.0.1:{port}/events"
        if token:
            with pytest.raises(urllib.error.HTTPError, match="403"):
                urllib.request.urlopen(address)
        with urllib.request.urlopen(address + (token or "")) as events:  # noqa: S310
            assert events.readline().startswith(b"data: {")
            running.send_signal(number)
            rest, errors = running.communicate(timeout=60)
    assert (running.returncode, rest, errors) == (0, "atelier monitor: stopped\n", "")


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        ([], 2, "Missing option '--log'"),
        (["--log", "a"], 2, "Missing option '--models'"),
        (["--log", "a", "--models", "nowhere"], 1, "nowhere: no such folder"),
        (["--log", "a", "--models", ".", "--host", "example.com"], 1, "expected an IP address"),
        (["--log", "a", "--models", ".", "--metrics", "ftp://x"], 1, "expected a URL"),
        (["--log", "a", "--models", ".", "--metrics", "localhost:x"], 1, "expected a URL"),
        (["--log", "a", "--models", ".", "--target", "x"], 2, "--target"),
        (["--log", "a", "--models", ".", "--host", "192.0.2.1", "--port", "0"], 1, "192.0.2.1:0: Cannot assign"),
    ],
)
def test_what_is_wrong_is_one_line(words, code, told, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["monitor", *words]) == code
    error = capsys.readouterr().err
    assert told in error
    assert "Traceback" not in error
    if code == 1:
        assert error.count("\n") == 1

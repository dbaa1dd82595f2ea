"""`atelier studio` from the command line, with the engine itself."""

import contextlib
import io
import json
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pytest

from pipeline.cli import main
from tests.deferred import deferred_imports

with deferred_imports():
    from PIL import Image

    from components.style_catalog import builtin
    from components.style_renderer.studio import jobs
    from tests.components.style_renderer import soft_noise


@contextlib.contextmanager
def running(folder, *options):
    """The command's process, and the address that it prints."""
    command = [sys.executable, "-m", "pipeline.cli", "studio", "--port", "0", "--folder", str(folder), *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            line = process.stdout.readline()
            found = re.fullmatch(r"atelier studio: open (http://\S+) in a browser; .*\n", line)
            assert found, line
            yield process, found[1]
        finally:
            process.kill()


def ask(address, path="api/state", content=None, kind="application/octet-stream"):
    request = urllib.request.Request(address + path, content, {"Content-Type": kind})  # noqa: S310
    with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
        return json.loads(answer.read())


def wait_for(address, reached):
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        state = ask(address)
        if reached(state):
            return state
        time.sleep(0.05)
    raise AssertionError(state)


@pytest.fixture
def folder(tmp_path):
    drawn = tmp_path / "studio/styles/builtin"
    drawn.mkdir(parents=True)
    builtin.write_catalog(drawn, ["gravel"])
    (drawn / "drawn_by.txt").write_text(builtin.compute_fingerprint())
    return tmp_path / "studio"


@pytest.mark.slow
def test_a_kill_in_mid_job_loses_at_most_one_iteration(folder):
    stream = io.BytesIO()
    Image.fromarray(soft_noise.make_image(1, 128, 192)).save(stream, "PNG")
    with running(folder) as (process, address):
        image = ask(address, "api/images", stream.getvalue())["id"]
        wish = {"image": image, "regions": [{"styles": {"gravel": 1}}], "size": 192}
        job = ask(address, "api/jobs", json.dumps(wish).encode(), "application/json")["id"]
        state = wait_for(address, lambda state: (state["jobs"][0]["progress"] or {"done": 0})["done"] > 0.1)
        process.send_signal(signal.SIGKILL)
        process.wait()
    told = state["jobs"][0]["progress"]["place"]
    time.sleep(1)  # the worker ends by itself
    saved = jobs.read_place(folder / "jobs" / job)
    assert saved is not None
    assert told["size"] == saved.size == 192
    assert saved.left <= told["left"]
    with Image.open(folder / "jobs" / job / "latest.jpg") as latest:
        latest.load()
        assert latest.size == (192, 128)
    with running(folder) as (process, address):
        state = wait_for(address, lambda state: state["jobs"][0]["progress"])
        place = state["jobs"][0]["progress"]["place"]
        assert place["iteration"] + place["left"] == saved.left
        state = wait_for(address, lambda state: state["jobs"][0]["state"] == "done")
        process.send_signal(signal.SIGTERM)
        rest, errors = process.communicate(timeout=60)
    assert (process.returncode, rest, errors) == (0, "atelier studio: stopped\n", "")
    with Image.open(folder / "jobs" / job / "result.jpg") as result:
        assert result.size == (192, 128)


@pytest.mark.slow
def test_elsewhere_than_on_loopback_the_address_has_a_token(folder):
    with running(folder, "--host", "0.0.0.0") as (_, address):  # noqa: S104
        found = re.fullmatch(r"http://[^/]+:(\d+)/\?token=([\w-]{32})", address)
        assert found
        with pytest.raises(urllib.error.HTTPError, match="403"):
            ask(f"http://localhost:{found[1]}/")


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path, capsys):
    (tmp_path / "file").touch()
    assert main(["studio", "--folder", str(tmp_path / "file")]) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"atelier: {tmp_path / 'file'}: cannot be used")
    assert error.count("\n") == 1


def test_an_address_that_is_not_this_machine_s_is_one_line(folder, capsys):
    assert main(["studio", "--folder", str(folder), "--host", "192.0.2.1"]) == 1
    error = capsys.readouterr().err
    assert "192.0.2.1" in error
    assert error.count("\n") == 1

"""The verb as a user calls it, in a process of its own."""

import json
import os
import signal
import time
from pathlib import Path

import pytest

from tests.deferred import deferred_imports
from tests.kubeflow.replayable import build_pipeline, build_task, start_replay, write

with deferred_imports():
    from kubeflow.replay import replay

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(("how", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupting_ends_all_processes_of_the_node(tmp_path, how, code):
    sleep = """
import subprocess, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
pathlib.Path("pids").write_text(f"{os.getpid()} {child.pid}")
time.sleep(600)
"""
    file = write(tmp_path, build_pipeline({"sleep": build_task(sleep), "z": build_task(after=["sleep"])}))
    process = start_replay(file, tmp_path / "root")
    try:
        pids = wait_for(
            lambda: [int(one) for path in tmp_path.glob("root/*/sleep/pids") for one in path.read_text().split()]
        )
        process.send_signal(how)
        _, stderr = process.communicate(timeout=30)
    finally:
        process.kill()
    assert (process.returncode, stderr) == (code, "atelier: stopped\n")
    wait_for(lambda: not any(is_running(pid) for pid in pids))
    (report,) = tmp_path.glob("root/*/replay.json")
    written = json.loads(report.read_text())["tasks"]
    assert {name: found["state"] for name, found in written.items()} == {"sleep": "failed", "z": "not run"}


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["--parameter", "n"], "--parameter n: expected NAME=VALUE, as in min_accuracy=0.95"),
        (["--parameter", "m=1"], "parameter m: the pipeline has no such parameter; it has n"),
        ([], "parameter n has no value; give it by --parameter n=VALUE"),
        (["--parameter", "n=x"], "parameter n: 'x' is not an integer"),
    ],
)
def test_the_command_tells_wrong_parameters_in_one_line(tmp_path, arguments, error):
    file = write(
        tmp_path, build_pipeline({"a": build_task(of_run={"n": "n"})}, {"n": {"parameterType": "NUMBER_INTEGER"}})
    )
    process = start_replay(file, tmp_path / "root", *arguments)
    stdout, stderr = process.communicate(timeout=60)
    assert (process.returncode, stdout, stderr) == (1, "", f"atelier: {error}\n")
    assert not (tmp_path / "root").exists()


def test_the_command_reports_each_task_and_the_result(tmp_path):
    file = write(tmp_path, build_pipeline({"a": build_task(of_run={"n": "n"})}, {"n": {"parameterType": "STRING"}}))
    process = start_replay(file, tmp_path / "root", "--parameter", "n=a=b")
    stdout, stderr = process.communicate(timeout=60)
    first, total, limits = stdout.splitlines()
    assert (process.returncode, stderr) == (0, "")
    assert first.split()[0::3] == ["a", "succeeded"]
    assert total.startswith("total")
    assert limits == replay.LIMITS
    (given,) = tmp_path.glob("root/*/a/executor_input.json")
    assert json.loads(given.read_text())["inputs"]["parameterValues"] == {"n": "a=b"}


def wait_for(condition, seconds=30):
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, "not in time"
        time.sleep(0.05)
    return found


def is_running(pid):
    """Neither gone nor a zombie that nobody has waited for."""
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False

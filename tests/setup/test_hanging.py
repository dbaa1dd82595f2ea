"""A test that hangs ends by itself, and says where: in its own threads, and in the processes that it started."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]

WAITS_FOR_A_CHILD = """
import subprocess, sys

def test_it():
    code = "import time\\ndef stuck_in_the_child(): time.sleep(99)\\nstuck_in_the_child()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
"""
WAITS_FOR_A_THREAD = """
import threading

def stuck_in_the_thread():
    threading.Event().wait(20)  # from Python 3.13 on, pytest's process ends when the thread does

def test_it():
    thread = threading.Thread(target=stuck_in_the_thread)
    thread.start()
    thread.join()

def test_the_next_one():
    pass
"""


def run(tmp_path, test, grace):
    (tmp_path / "test_hangs.py").write_text(test)
    (tmp_path / "conftest.py").write_text(
        f"from tests import hanging\nhanging.GRACE_S = {grace}\nfrom tests.conftest import *\n"
    )
    command = [sys.executable, "-m", "pytest", "-c", ROOT / "pyproject.toml", "--rootdir", tmp_path, "-o", "timeout=4"]
    done = subprocess.run(
        [str(word) for word in [*command, tmp_path]], cwd=ROOT, capture_output=True, text=True, check=False, timeout=90
    )
    assert done.returncode == 1, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_a_child_that_hangs_is_ended_with_its_stack(tmp_path):
    output = run(tmp_path, WAITS_FOR_A_CHILD, grace=2)
    assert "in stuck_in_the_child" in output
    assert "This test hangs; its processes are ended:" in output
    assert "1 failed" in output
    assert "Timeout" not in output.split("short test summary")[1]


def test_a_thread_that_hangs_is_shown_and_the_next_test_runs(tmp_path):
    output = run(tmp_path, WAITS_FOR_A_THREAD, grace=1)
    assert "stuck_in_the_thread" in output
    assert "Timeout" in output
    assert "1 failed, 1 passed" in output

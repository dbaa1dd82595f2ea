"""Beam's worker processes on this machine: a proxy, a worker that dies, and a parent that dies."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

MAP = """
import os, signal, sys, time
import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions
from atelier.errors import BeamError
from compat import beam_worker_processes
from pipeline.beam import pipeline_options
from pipeline.config.sections.beam import Beam

def work(number, what, folder):
    open(f"{folder}/{os.getpid()}", "w").close()
    if what == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if what == "wait":
        time.sleep(600)
    return number

def main(what, folder):
    if what == "broken":
        beam_worker_processes._START = "raise SystemExit('no such library')"
    try:
        options = PipelineOptions(list(pipeline_options.build_pipeline_options(Beam(workers=2))))
        with beam.Pipeline(options=options) as pipeline:
            pipeline | beam.Create([1, 2]) | beam.Reshuffle() | beam.Map(work, what, folder)
    except BeamError as error:
        print(error)

main(*sys.argv[1:])
"""


def start(what, folder, **variables):
    command = [sys.executable, "-c", MAP, what, str(folder)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **variables}
    return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("work", ""),  # past a proxy that does not exist
        ("die", "a Beam worker process ended early, killed by SIGKILL"),
        ("broken", "a Beam worker process ended early, exit code 1: no such library"),
    ],
)
def test_a_run_ends_with_its_workers_and_says_why(what, said, tmp_path):
    with start(what, tmp_path, http_proxy="http://127.0.0.1:9", grpc_proxy="http://127.0.0.1:9") as process:
        told = process.communicate(timeout=120)[0]
    assert process.returncode == 0
    assert told.strip().startswith(said)
    assert bool(told.strip()) == bool(said)


@pytest.mark.slow
def test_workers_end_with_a_parent_that_is_killed(tmp_path):
    with start("wait", tmp_path) as process:
        workers = wait_for(lambda: [int(path.name) for path in tmp_path.iterdir()])
        process.send_signal(signal.SIGKILL)
    wait_for(lambda: not any(Path(f"/proc/{worker}").exists() for worker in workers))


def wait_for(ready):
    end = time.monotonic() + 100
    while not (found := ready()):
        assert time.monotonic() < end
        time.sleep(0.05)
    return found

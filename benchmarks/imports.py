"""`import`: how long a command takes to its first sign of life.

`atelier --help` stands beside the half second that it may take, and `atelier run` to the start of its first node beside
Python's bare `from tfx import v1`, which nobody who runs TFX gets around. Each measurement is a fresh process.
"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks import measure, processes
from benchmarks.measure import Result, at_most

NAME = "import"
CONFIG = "configs/mnist.yaml"
LIMIT_S = 0.5
"""Of `atelier --help`."""
DEADLINE_S = 300.0
"""In which a run has to reach its first node."""
_HELP = (*processes.ATELIER, "--help")
_TFX = ("-c", "from tfx import v1")
_RUNNING = b" is running."
"""LocalDagRunner writes it when a node starts."""


def run() -> Iterator[Result]:
    """Yields the seconds to the help, and to the first node of a run on records that are ready."""
    yield measure.compared(
        NAME,
        f"atelier --help; limit {LIMIT_S:g} s",
        "s",
        at_most(1.0),
        lambda: processes.seconds(*_HELP),
        lambda: LIMIT_S,
    )
    yield measure.compared(
        NAME,
        "atelier --help; from tfx import v1",
        "s",
        None,
        lambda: processes.seconds(*_HELP),
        lambda: processes.seconds(*_TFX),
    )
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder, "data")
        processes.finished(*processes.ATELIER, "ingest", "--source", "mnist", "--output", data)
        yield measure.compared(
            NAME,
            "run to its first node; from tfx import v1",
            "s",
            at_most(1.1),
            lambda: _to_first_node(data),
            lambda: processes.seconds(*_TFX),
        )


def _to_first_node(data: Path) -> float:
    """Seconds from the start of `atelier run` on TFRecords in `data` to its first node; the run is stopped there."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, *processes.ATELIER, "run", "--config", CONFIG, "--data", str(data)]
        command += ["--output", folder]
        log = Path(folder, "run.log")
        began = time.perf_counter()
        process = subprocess.Popen(command, cwd=processes.ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            while not (log.is_file() and _RUNNING in log.read_bytes()):
                if process.poll() is not None or time.perf_counter() - began > DEADLINE_S:
                    raise RuntimeError(f"atelier run did not reach a node; exit code {process.returncode}")
                time.sleep(0.01)
            return time.perf_counter() - began
        finally:
            # Killed: while it writes its traceback, files would appear in the folder that is being removed.
            process.kill()
            process.wait()

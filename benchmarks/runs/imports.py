"""`import`: how long a command takes to its first sign of life.

`atelier --help` stands beside the half second that it may take, and `atelier run` to the start of its first node beside
Python's bare `from tfx import v1`, which nobody who runs TFX gets around: both from the start of a fresh process to
the sign that it is there.
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
"""In which a process has to give its sign."""
_HELP = (*processes.ATELIER, "--help")
_IMPORT = "import sys; from tfx import v1; open(sys.argv[1], 'wb').write(b'yes')"
_RUNNING = b" is running."
"""LocalDagRunner writes it when a node starts."""


def run() -> Iterator[Result]:
    """Yields the seconds to the help, and to the first node of a run on records that are ready."""
    yield measure.compare(
        NAME,
        f"atelier --help; limit {LIMIT_S:g} s",
        "s",
        at_most(1.0),
        lambda: processes.measure_seconds(*_HELP),
        lambda: LIMIT_S,
    )
    yield measure.compare(
        NAME,
        "atelier --help; from tfx import v1",
        "s",
        None,
        lambda: processes.measure_seconds(*_HELP),
        _measure_import,
    )
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder, "data")
        processes.run_python(*processes.ATELIER, "ingest", "--source", "mnist", "--output", data)
        yield measure.compare(
            NAME,
            "run to its first node; from tfx import v1",
            "s",
            at_most(1.1),
            lambda: _measure_first_node(data),
            _measure_import,
        )


def _measure_first_node(data: Path) -> float:
    """Seconds from the start of `atelier run` on TFRecords in `data` to its first node."""
    with tempfile.TemporaryDirectory() as folder:
        run = (*processes.ATELIER, "run", "--config", CONFIG, "--data", data, "--output", folder)
        return _measure_until(Path(folder, "run.log"), _RUNNING, *run)


def _measure_import() -> float:
    """Seconds from the start of Python to the end of the import, without the end of the process, which takes long."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "imported")
        return _measure_until(file, b"yes", "-c", _IMPORT, file)


def _measure_until(file: Path, sign: bytes, *arguments: object) -> float:
    """Seconds from the start of Python with `arguments` until `sign` is in `file`; the process is stopped there."""
    began = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, *map(str, arguments)],
        cwd=processes.ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        while not (file.is_file() and sign in file.read_bytes()):
            if process.poll() is not None or time.perf_counter() - began > DEADLINE_S:
                raise RuntimeError(f"{arguments}: no {sign!r} in {file}; exit code {process.returncode}")
            time.sleep(0.01)
        return time.perf_counter() - began
    finally:
        # Killed: while it writes its traceback, files would appear in a folder that is being removed.
        process.kill()
        process.wait()

"""Beam's own job service and an external worker pool, each a process on this machine: as Flink and Spark run Python."""

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from pipeline.config.sections.beam import Beam

_START_S = 60.0


@contextlib.contextmanager
def running(
    folder: Path,
    *,
    pool_python: Sequence[str] = (sys.executable,),
    pool_options: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
) -> Iterator[Beam]:
    """Starts both, gives the configuration that leads to them, and ends them.

    Args:
      folder: for logs and what is staged, and the pool's current folder.
      pool_python: the command that starts the pool's Python.
      pool_options: of the pool.
      environment: of the pool; None: this process's.
    """
    folder.mkdir(parents=True, exist_ok=True)
    port_file = folder / "port"
    service = ["apache_beam.runners.portability.local_job_service_main", f"--port_file={port_file}"]
    pool_port = _free_port()
    # The pool starts its workers as `python`, whatever it was started with.
    found = dict(environment or os.environ)
    found["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{found.get('PATH', '')}"
    pool = ["apache_beam.runners.worker.worker_pool_main", f"--service_port={pool_port}", *pool_options]
    with (
        _process([sys.executable, "-m", *service, f"--staging_dir={folder / 'staging'}"], folder / "service.log"),
        _process([*pool_python, "-m", *pool], folder / "pool.log", found, folder),
    ):
        _wait(lambda: port_file.is_file() and port_file.read_text().strip(), folder)
        _wait(lambda: _answers(pool_port), folder)
        yield Beam(
            runner="portable",
            options=(
                f"--job_endpoint=localhost:{port_file.read_text().strip()}",
                "--environment_type=EXTERNAL",
                f"--environment_config=localhost:{pool_port}",
            ),
        )


@contextlib.contextmanager
def _process(
    command: list[str], log: Path, environment: dict[str, str] | None = None, folder: Path | None = None
) -> Iterator[None]:
    with log.open("wb") as stream:
        process = subprocess.Popen(command, stdout=stream, stderr=subprocess.STDOUT, env=environment, cwd=folder)
        try:
            yield
        finally:
            process.terminate()
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _wait(ready, folder: Path) -> None:
    end = time.monotonic() + _START_S
    while not ready():
        if time.monotonic() > end:
            logs = "\n".join(log.read_text()[-2000:] for log in folder.glob("*.log"))
            raise TimeoutError(f"not started within {_START_S:.0f} s:\n{logs}")
        time.sleep(0.1)

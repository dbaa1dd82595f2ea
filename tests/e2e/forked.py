"""`atelier` as a process: started as a user does, or forked from one that has imported TFX, which saves 10 s."""

import multiprocessing
import os
import runpy
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from atelier.files import leftovers
from compat import tfx_beam_package

ROOT = Path(__file__).resolve().parents[2]
_PRELOADED = ["pipeline.cli", "pipeline.pipeline", "pipeline.report.report", "pipeline.ingest.ingest", "trainer.train"]
"""Modules that import TFX, TensorFlow and what else a command takes long to import."""


def new_process(*arguments: object, tree: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Runs one command to its end, as a user does, from the sources in `tree`."""
    command = [sys.executable, "-m", "pipeline.cli", *map(str, arguments)]
    return subprocess.run(command, cwd=tree, capture_output=True, text=True, check=False)


def atelier(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Runs one command to its end, in a process that is forked, and so are the nodes of a replay."""
    words = list(map(str, arguments))
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_PRELOADED)
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder, name) for name in ("stdout", "stderr")]
        process = context.Process(target=_run, args=(words, files))
        process.start()
        process.join()
        assert process.exitcode is not None
        return subprocess.CompletedProcess(["atelier", *words], process.exitcode, *(f.read_text() for f in files))


def _run(arguments: list[str], files: list[Path]) -> None:
    _redirect(*files)
    os.chdir(ROOT)
    from kubeflow.replay import process
    from pipeline import cli

    process.run = _run_node
    sys.exit(cli.main(arguments))


def _redirect(stdout: Path, stderr: Path | None = None) -> None:
    for number, file in ((1, stdout), (2, stderr)):
        if file:
            with file.open("wb") as stream:
                os.dup2(stream.fileno(), number)
    if not stderr:
        os.dup2(1, 2)


def _run_node(command: Sequence[str], *, folder: Path, log: Path, variables: Mapping[str, str]) -> None:
    """Stands in for `process.run`, which starts an interpreter that imports TFX for each node."""
    from kubeflow.replay.process import ProcessError, find_last_error

    with leftovers.scratch("node") as temporary:
        given = {"TMPDIR": str(temporary), **variables}
        process = multiprocessing.get_context("fork").Process(target=_be_node, args=(command, folder, log, given))
        process.start()
        process.join()
    if process.exitcode:
        raise ProcessError(find_last_error(log))


def _be_node(command: Sequence[str], folder: Path, log: Path, variables: Mapping[str, str]) -> None:
    _redirect(log)
    os.chdir(folder)
    os.environ.update(variables)
    tempfile.tempdir = None
    python, option, module, *_ = command
    assert (python, option) == ("python", "-m")
    sys.argv = list(command[2:])
    with tfx_beam_package.skip_package():
        runpy.run_module(module, run_name="__main__", alter_sys=True)

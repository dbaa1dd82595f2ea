"""`atelier` as a process: started as a user does, or forked from one that has imported TFX, which saves 10 s."""

import contextlib
import gc
import multiprocessing
import os
import runpy
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_PRELOADED = ["tfx.v1", "tensorflow"]
"""Libraries only: our own packages, which this module therefore imports late, come from the sources of each run."""


class Forked:
    """A command that runs in a forked process."""

    def __init__(self, process: BaseProcess, stdout: Path, stderr: Path) -> None:
        self.process, self.stdout, self.stderr = process, stdout, stderr

    def follow_stderr(self) -> Iterator[str]:
        """Yields each line of its standard error soon after it is written, until the process ends."""
        with self.stderr.open() as stream:
            line = ""
            while True:
                alive = self.process.is_alive()
                line += stream.readline()
                if line.endswith("\n"):
                    yield line
                    line = ""
                elif alive:
                    time.sleep(0.02)
                else:
                    return


def run_in_new_process(*arguments: object, tree: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Runs one command to its end, as a user does, from the sources in `tree`."""
    command = [sys.executable, "-m", "pipeline.cli", *map(str, arguments)]
    return subprocess.run(command, cwd=tree, capture_output=True, text=True, check=False)


def run_atelier(*arguments: object, tree: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Runs one command to its end, from the sources in `tree`, in a process that is forked; so are a replay's nodes."""
    with start(*arguments, tree=tree) as command:
        command.process.join()
        assert command.process.exitcode is not None
        texts = command.stdout.read_text(), command.stderr.read_text()
        return subprocess.CompletedProcess(["atelier", *map(str, arguments)], command.process.exitcode, *texts)


@contextlib.contextmanager
def start(*arguments: object, tree: Path = ROOT, variables: Mapping[str, str] | None = None) -> Iterator[Forked]:
    """Starts one command, with more environment variables, and waits for its end when the body ends."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_PRELOADED)
    with tempfile.TemporaryDirectory() as folder:
        stdout, stderr = (Path(folder, name) for name in ("stdout", "stderr"))
        stderr.touch()
        process = context.Process(target=_run, args=(list(map(str, arguments)), tree, stdout, stderr, variables or {}))
        process.start()
        try:
            yield Forked(process, stdout, stderr)
        finally:
            process.join()


def collect_rarely() -> None:
    """Lets Python's garbage collector run rarely, and leaves out what is imported: TensorFlow and TFX take it a second.

    A small run that does so needs a twentieth less of processor time, and a seventh more memory.
    """
    gc.freeze()
    gc.set_threshold(10_000, 20, 50)


def _run(arguments: list[str], tree: Path, stdout: Path, stderr: Path, variables: Mapping[str, str]) -> None:
    collect_rarely()
    _redirect(stdout, stderr)
    os.environ.update(variables)
    os.chdir(tree)
    # A forked process ends without what TensorFlow does at exit: to delete the sources that it has generated.
    temporary = stdout.with_name("temporary")
    temporary.mkdir()
    os.environ["TMPDIR"], tempfile.tempdir = str(temporary), None
    sys.path.insert(0, str(tree))
    sys.argv = ["atelier", *arguments]  # absl would read pytest's, whose -v takes a number there
    from kubeflow.replay import process
    from tests.e2e import tiny_backbone

    tiny_backbone.register()
    from pipeline import cli

    process.run = run_node
    sys.exit(cli.main(arguments))


def _redirect(stdout: Path, stderr: Path | None = None) -> None:
    for number, file in ((1, stdout), (2, stderr)):
        if file:
            with file.open("wb") as stream:
                os.dup2(stream.fileno(), number)
    if not stderr:
        os.dup2(1, 2)


def run_node(
    command: Sequence[str], *, folder: Path, log: Path, variables: Mapping[str, str], method: str = "fork"
) -> None:
    """Stands in for `process.run`, which starts an interpreter that imports TFX for each node.

    Args:
      command: as `process.run` takes it, and so are `folder`, `log` and `variables`.
      method: `fork` in a process that has no threads yet, `forkserver` elsewhere.
    """
    from atelier.files import leftovers
    from kubeflow.replay.process import ProcessError, find_last_error

    context = multiprocessing.get_context(method)
    context.set_forkserver_preload(_PRELOADED)
    with leftovers.create_scratch("node") as temporary:
        given = {"TMPDIR": str(temporary), **variables}
        node = context.Process(target=_execute_node, args=(command, folder, log, given))  # type: ignore[attr-defined]
        node.start()
        node.join()
    if node.exitcode:
        raise ProcessError(find_last_error(log))


def _execute_node(command: Sequence[str], folder: Path, log: Path, variables: Mapping[str, str]) -> None:
    from compat import beam_options, tfx_beam_package

    _redirect(log)
    os.chdir(folder)
    os.environ.update(variables)
    tempfile.tempdir = None
    python, option, module, *_ = command
    assert (python, option) == ("python", "-m")
    sys.argv = list(command[2:])
    with tfx_beam_package.skip_package(), beam_options.parse_once():
        runpy.run_module(module, run_name="__main__", alter_sys=True)

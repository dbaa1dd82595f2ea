"""`atelier` as a process: started as a user does, or forked from one that has imported TFX, which saves 10 s."""

import multiprocessing
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_PRELOADED = ["pipeline.cli", "pipeline.pipeline", "pipeline.report.report", "pipeline.ingest.ingest", "trainer.train"]
"""Modules that import TFX, TensorFlow and what else a command takes long to import."""


def new_process(*arguments: object, tree: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Runs one command to its end, as a user does, from the sources in `tree`."""
    command = [sys.executable, "-m", "pipeline.cli", *map(str, arguments)]
    return subprocess.run(command, cwd=tree, capture_output=True, text=True, check=False)


def atelier(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Runs one command to its end, in a process that is forked."""
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
    for number, file in enumerate(files, start=1):
        with file.open("wb") as stream:
            os.dup2(stream.fileno(), number)
    os.chdir(ROOT)
    from pipeline import cli

    sys.exit(cli.main(arguments))

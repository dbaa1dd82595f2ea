"""`atelier` in a process forked from one that has imported TFX already: a run without its ten seconds of imports."""

import multiprocessing
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_PRELOADED = ["pipeline.cli", "pipeline.pipeline", "pipeline.report.report", "pipeline.ingest.ingest", "trainer.train"]


def atelier(arguments: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Runs one command to its end.

    Args:
      arguments: what follows `atelier` on the command line.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_PRELOADED)
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder, name) for name in ("stdout", "stderr")]
        process = context.Process(target=_run, args=(list(arguments), files))
        process.start()
        process.join()
        assert process.exitcode is not None
        return subprocess.CompletedProcess(["atelier", *arguments], process.exitcode, *(f.read_text() for f in files))


def _run(arguments: list[str], files: list[Path]) -> None:
    for number, file in enumerate(files, start=1):
        with file.open("wb") as stream:
            os.dup2(stream.fileno(), number)
    os.chdir(ROOT)
    from pipeline import cli

    sys.exit(cli.main(arguments))

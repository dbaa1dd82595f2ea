"""Fresh Python processes, as a user starts them: their seconds, start-up included."""

import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ATELIER = ("-m", "pipeline.cli")


def run_python(*arguments: object) -> str:
    """Runs Python with `arguments` in the root of the source; returns what it wrote on standard output.

    Raises:
      RuntimeError: it failed; the message holds the end of what it wrote on standard error.
    """
    command = [sys.executable, *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: exit code {done.returncode}\n{done.stderr[-2000:]}")
    return done.stdout


def measure_seconds(*arguments: object) -> float:
    """Wall seconds from the start of such a process to its end."""
    began = time.perf_counter()
    run_python(*arguments)
    return time.perf_counter() - began

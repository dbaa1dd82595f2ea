"""Environments of their own, for what must not be installed beside the pipeline."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

UNREACHABLE = re.compile("failed to fetch|sending request|dns error|connection refused|timed out", re.IGNORECASE)


def make_environment(folder: Path, *requirements: str) -> Path:
    """Installs `requirements` into a new environment and returns its Python; skips where there is no package index."""
    run_uv("venv", "--quiet", "--python", sys.executable, folder)
    run_uv("pip", "install", "--quiet", "--python", folder / "bin" / "python", *requirements)
    return folder / "bin" / "python"


def run_uv(*words: object) -> str:
    """Runs uv and returns what it prints; skips where there is no package index."""
    done = subprocess.run([sys.executable, "-m", "uv", *map(str, words)], capture_output=True, text=True)
    if done.returncode and UNREACHABLE.search(done.stderr):
        pytest.skip(f"the package index cannot be reached: {done.stderr.strip().splitlines()[-1]}")
    assert done.returncode == 0, done.stderr
    return done.stdout

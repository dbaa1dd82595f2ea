"""`atelier bench`: runs benchmarks one after another, prints their table, and writes `bench.json`."""

import importlib
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from atelier.files.replacing import replace_text
from benchmarks.measure import Result

MODULES = {
    "train": "benchmarks.training.train",
    "epochs": "benchmarks.training.epochs",
    "transform": "benchmarks.data.transform",
    "ingest": "benchmarks.data.ingest",
    "pipeline": "benchmarks.runs.pipeline",
    "tflite": "benchmarks.inference.tflite",
    "serving": "benchmarks.inference.serving",
    "import": "benchmarks.runs.imports",
}
"""By name; each has `run() -> Iterator[Result]`."""


def run(names: Sequence[str], output: Path) -> None:
    """Runs benchmarks, and adds their results to `bench.json`.

    Args:
      names: keys of `MODULES`; empty: all of them.
      output: folder for `bench.json`.
    """
    file = output / "bench.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=file.parent):
        pass  # minutes of measuring are not lost to a folder that cannot be written to
    results: list[Result] = []
    for name in names or MODULES:
        print(f"atelier: {name}", file=sys.stderr, flush=True)
        for result in importlib.import_module(MODULES[name]).run():
            results.append(result)
            print(format_line(result), flush=True)
            # After each: a benchmark that takes minutes and is stopped has not run for nothing.
            _write(file, results)
    print(f"written to {file}")


def format_line(result: Result) -> str:
    """One result for the terminal."""
    target = result.target
    verdict = "" if target is None else f"{target}  {'holds' if target.holds(result.ratio) else 'MISSED'}"
    return (
        f"{result.name:10}{result.case:44}{result.ours:>11.4g} {result.beside:>11.4g} {result.unit:12}"
        f"{result.ratio:>8.3f}  {verdict}"
    ).rstrip()


def _write(file: Path, results: list[Result]) -> None:
    """Replaces the file as a whole; results of benchmarks that did not run this time are kept."""
    names = {result.name for result in results}
    earlier = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else []
    entries = [entry for entry in earlier if entry["name"] not in names] + [result.as_json() for result in results]
    replace_text(file, json.dumps(entries, indent=1) + "\n")

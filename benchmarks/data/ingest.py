"""`ingest`: files per second of `atelier ingest`, beside one process that loops over the files with Pillow.

Photographs of 400 x 300 to 640 x 480 pixels; a third of them is larger than what is stored, and is scaled down and
encoded again. Both sides are fresh processes, and their start-up counts.
"""

import shutil
import statistics
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from benchmarks import measure, processes
from benchmarks.data.sample_images import write_images
from benchmarks.measure import Result, at_least
from benchmarks.turns import take_turns

NAME = "ingest"
ROUNDS = measure.ROUNDS
COUNTS = (1_000, 20_000)
"""Of images."""
TARGETS = {1: at_least(0.9), 2: at_least(1.6)}
"""By number of Beam's worker processes."""
SIDES = ((400, 300), (512, 384), (640, 480))
"""Of the images, in pixels."""


def run() -> Iterator[Result]:
    """Yields files per second by number of images and of workers."""
    for count in COUNTS:
        with tempfile.TemporaryDirectory() as folder:
            images, output = Path(folder, "images"), Path(folder, "output")
            write_images(images, count, SIDES)
            loop = ("-m", "benchmarks.data.pillow_loop", images, output)
            ours = (*processes.ATELIER, "ingest", "--source", images, "--output", output)
            sides = {
                str(workers): partial(_measure_rate, count, output, *ours, "--beam", f"workers={workers}")
                for workers in TARGETS
            }
            rates = take_turns(sides | {"loop": partial(_measure_rate, count, output, *loop)}, ROUNDS)
            medians = {name: statistics.median(found) for name, found in rates.items()}
            for workers, target in TARGETS.items():
                case = f"{count} files, {workers} worker{'s' * (workers > 1)}; Pillow loop"
                yield Result(NAME, case, medians[str(workers)], medians["loop"], "files/s", target)


def _measure_rate(count: int, output: Path, *arguments: object) -> float:
    """Files a second of a process that makes `output` out of `count` files."""
    shutil.rmtree(output, ignore_errors=True)
    return count / processes.measure_seconds(*arguments)

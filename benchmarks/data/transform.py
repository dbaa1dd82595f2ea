"""`transform`: the Transform node, beside one that stores float32 pixels; and how ours grows with the data.

Side by side: photographs of 400 x 300 to 640 x 480 pixels at the default size of 224. Both run on TFX's executor with
Beam in memory, as a local run does; what is measured is the executor's own seconds, TFX's import not among them. Bytes
are those on disk: TFX compresses either.

Growth: MNIST's digits at 64 px, 5,000 of them over and over. An executor on a handful of records gives the seconds of
start-up, which are subtracted from both.
"""

import gzip
import io
import itertools
import json
import shutil
import statistics
import tempfile
from collections.abc import Iterator
from pathlib import Path

from atelier import tfrecord
from benchmarks import measure, processes
from benchmarks.data.sample_images import write_images
from benchmarks.measure import Result, at_least, at_most

NAME = "transform"
ROUNDS = measure.ROUNDS
IMAGES = 1_000
"""Side by side."""
SIDES = ((400, 300), (512, 384), (640, 480))
"""Of these, in pixels."""
SIZE = 224
FEW, MORE = 1_000, 50_000
DIGIT_SIZE = 64
HANDFUL = 10
"""Records of a run that is all start-up."""


def run() -> Iterator[Result]:
    """Yields images per second and bytes per image, then seconds per image and memory of few and more images."""
    with tempfile.TemporaryDirectory() as folder:
        yield from _compare_ways(Path(folder))
    with tempfile.TemporaryDirectory() as folder:
        yield from _measure_growth(Path(folder))


def _compare_ways(root: Path) -> Iterator[Result]:
    write_images(root / "images", IMAGES, SIDES)
    examples = _ingest(root, str(root / "images"), IMAGES)
    stored: dict[str, float] = {}

    def measure_rate(way: str) -> float:
        figures = _run_node(root, way, examples, SIZE)
        stored[way] = figures["bytes"] / IMAGES
        return IMAGES / figures["seconds"]

    yield measure.compare(
        NAME,
        f"{IMAGES} photographs, {SIZE} px; float32",
        "images/s",
        at_least(1.0),
        lambda: measure_rate("ours"),
        lambda: measure_rate("float"),
        ROUNDS,
    )
    yield Result(
        NAME, f"stored, {SIZE} px; float32, gzip", stored["ours"], stored["float"], "bytes/image", at_most(0.125)
    )
    yield Result(
        NAME, f"stored, {SIZE} px; float32 as it is", stored["ours"], SIZE * SIZE * 3 * 4, "bytes/image", at_most(0.125)
    )


def _measure_growth(root: Path) -> Iterator[Result]:
    runs: dict[int, list[dict[str, float]]] = {HANDFUL: [], FEW: [], MORE: []}
    for _ in range(ROUNDS):
        for count, found in runs.items():
            found.append(_run_node(root, "ours", _ingest(root, "mnist", count), DIGIT_SIZE))
    seconds, peak = (
        {count: statistics.median(figures[name] for figures in found) for count, found in runs.items()}
        for name in ("seconds", "peak_bytes")
    )
    few, more = ((seconds[count] - seconds[HANDFUL]) / (count - HANDFUL) for count in (FEW, MORE))
    yield Result(NAME, f"{MORE} digits; {FEW}, less start-up", 1e3 * more, 1e3 * few, "ms/image", at_most(1.2))
    yield Result(NAME, f"{MORE} digits; {FEW}, peak", peak[MORE] / 1e6, peak[FEW] / 1e6, "MB", at_most(1.2))


def _ingest(root: Path, source: str, count: int) -> Path:
    """Ingests `source`, and gives its records as ImportExampleGen leaves them, repeated until there are `count`."""
    data, examples = root / "data", root / "examples"
    if not data.exists():
        processes.run_python(*processes.ATELIER, "ingest", "--source", source, "--output", data)
    shutil.rmtree(examples, ignore_errors=True)
    (examples / "Split-train").mkdir(parents=True)
    (examples / "schema").mkdir()
    shutil.copy(data / "schema.pbtxt", examples / "schema")

    records: list[bytes] = []
    for file in sorted(data.glob("*/images-*.tfrecord")):
        with file.open("rb") as stream:
            records += tfrecord.read(stream)
    written = io.BytesIO()
    for record in itertools.islice(itertools.cycle(records), count):
        tfrecord.write(written, record)
    file = examples / "Split-train" / "data_tfrecord-00000-of-00001.gz"
    file.write_bytes(gzip.compress(written.getvalue()))
    return examples


def _run_node(root: Path, way: str, examples: Path, size: int) -> dict[str, float]:
    """The figures of one run of `benchmarks.data.transform_node`."""
    output = root / "output"
    shutil.rmtree(output, ignore_errors=True)
    return json.loads(
        processes.run_python("-m", "benchmarks.data.transform_node", way, examples, output, size).splitlines()[-1]
    )

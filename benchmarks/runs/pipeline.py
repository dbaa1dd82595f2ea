"""`pipeline`: `atelier run` on MNIST's 5,000 digits, beside TFX's own components on the same records.

Both run our preprocessing and our training under LocalDagRunner, each in a fresh process and a fresh folder. Seconds in
which the model is trained (features of the frozen backbone among them) or evaluated are not counted: they are the
model's, not the pipeline's. One epoch of the head is all the training that there is.

- The nodes that both have: their seconds by ML Metadata, without Evaluator, less the training's.
- Everything: the whole process, start-up and report among it, less the same. What ours does in addition: the gate on
  anomalies, the baseline, three TFLite files with their proof, their measurements and their gate, the report.
"""

import json
import statistics
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from benchmarks import measure, processes
from benchmarks.measure import Result, at_most

if TYPE_CHECKING:
    from pipeline.results.nodes import Node

NAME = "pipeline"
SOURCE = "mnist"
ROUNDS = measure.ROUNDS
CONFIG = """
name: bench
image: {size: 64}
trainer: {head_epochs: 1}
evaluator: {min_accuracy: 0, max_accuracy_drop: 1}
tflite: {max_accuracy_drop: 1, max_slice_accuracy_drop: 1, max_disagreement: 1}
"""
SHARED = (
    "ImportExampleGen",
    "StatisticsGen",
    "SchemaGen",
    "ImportSchemaGen",
    "ExampleValidator",
    "Transform",
    "Trainer",
    "Pusher",
)
"""Nodes that both have; where stock infers the schema, ours reads the one that ingest wrote."""


class Seconds(NamedTuple):
    """Of one run, without training and evaluation."""

    nodes: float
    """In the nodes that both sides have."""
    process: float
    """From the start of the process to its end."""


def run() -> Iterator[Result]:
    """Yields the seconds of the nodes that both have, and of everything."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        config, data = root / "bench.yaml", root / "data"
        config.write_text(CONFIG, encoding="utf-8")
        processes.run_python(*processes.ATELIER, "ingest", "--source", SOURCE, "--output", data)
        atelier = (*processes.ATELIER, "run", "--config", config, "--data", data)
        ours: list[Seconds] = []
        stock: list[Seconds] = []

        measure.interleave(
            lambda: _time_run(ours, config, lambda output: (*atelier, "--output", output)),
            lambda: _time_run(
                stock, config, lambda output: ("-m", "benchmarks.runs.stock_pipeline", config, data, output)
            ),
            ROUNDS,
        )
    our, plain = (Seconds(*map(statistics.median, zip(*side, strict=True))) for side in (ours, stock))
    yield Result(NAME, "nodes of both; TFX's own", our.nodes, plain.nodes, "s", at_most(1.15))
    yield Result(NAME, "everything; TFX's own", our.process, plain.process, "s", None)


def _time_run(found: list[Seconds], config: Path, command: Callable[[Path], Iterable[object]]) -> float:
    """Runs the command that writes into a fresh folder, and appends its seconds to `found`."""
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder, "output")
        process = processes.measure_seconds(*command(output))
        found.append(_subtract_model(process, _read_nodes(config, output)))
    return found[-1].nodes


def _read_nodes(file: Path, output: Path) -> "Mapping[str, Node]":
    """The nodes of the run in `output` with the configuration in `file`."""
    from pipeline.config import config
    from pipeline.metadata import database
    from pipeline.results import nodes  # TFX: seconds

    settings = config.load(file)
    return nodes.read_last_run(database.build_connection_config(settings.metadata, output), settings.name)


def _subtract_model(process: float, nodes: "Mapping[str, Node]") -> Seconds:
    """Subtracts what is the model's.

    Args:
      process: seconds from its start to its end.
      nodes: of its run.
    """
    phases = json.loads((Path(nodes["Trainer"].outputs["model_run"].uri) / "training.json").read_text())["phases"]
    fit = sum(row["seconds"] for phase in phases.values() for row in phase["curves"])
    # The features are computed before the first epoch, and counted with it.
    fit += phases["head"]["feature_cache"]["first_epoch_s"] - phases["head"]["curves"][0]["seconds"]
    evaluation = sum(node.seconds for name, node in nodes.items() if name.startswith("Evaluator"))
    shared = sum(node.seconds for name, node in nodes.items() if name in SHARED)
    return Seconds(shared - fit, process - fit - evaluation)

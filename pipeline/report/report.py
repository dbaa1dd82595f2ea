"""The page at the end of a run: `report.html`, one file that shows what `run.json` holds, and test pictures."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from atelier import labels, templates
from atelier.files.replacing import replace_text
from atelier.layout import ASSETS_EXTRA, SERVING_FOLDER, TEST
from pipeline.report import confusion, plots, report_tables, showcase, trials

if TYPE_CHECKING:
    from pipeline.report.nodes import Node

FILE = "report.html"
MOST_ROWS = 30
"""Rows of a table that are shown at once; the rest waits behind a click."""

_QUARANTINE = "data/quarantine/quarantine.jsonl"
"""Of the ingest; that of another maker's records is named by `run.json`."""
_EXAMPLES = 3
_PAIRS = 15
_FINISHED = ("complete", "cached")


@dataclass(frozen=True)
class Evidence:
    """What the page shows beyond `run.json`."""

    class_names: list[str] = field(default_factory=list)
    """By class id; empty if no model tells them."""
    text_labels: bool = False
    """The records' labels are the names themselves, not ids."""
    saved_model_bytes: int | None = None
    pictures: showcase.Showcase | None = None
    quarantine: dict[str, list[dict[str, str]]] = field(default_factory=dict)
    """A few files (`path`, `detail`), or records (`record`, too), by reason."""


def write(result: dict[str, Any], nodes: Mapping[str, "Node"], output: Path, *, text_labels: bool = False) -> Path:
    """Writes `report.html` into the folder of the run; an earlier one is replaced as a whole.

    Args:
      result: the content of `run.json`; what the run did not reach may be missing as `results.collect` leaves it out.
      nodes: of the run; Trainer's model and Transform's test split are read where they are there.
      output: folder of the run.
      text_labels: the records' labels are the names themselves, not ids.

    Returns:
      The page's path.
    """
    page = render(result, _gather(result, nodes, output, text_labels), datetime.now().astimezone())
    file = output / FILE
    # Names of files may hold bytes that are no UTF-8, which Python carries as lone surrogates.
    replace_text(file, page, errors="xmlcharrefreplace")
    return file


def render(result: Mapping[str, Any], evidence: Evidence, finished: datetime) -> str:
    """The page as text."""
    names = evidence.class_names or result["ingest"].get("classes", [])
    cells = result["confusion"]
    phases = result["training"].get("phases", {})
    charts = [plots.training(phases, "accuracy"), plots.training(phases, "loss")]
    filters = {"size": report_tables.size, "duration": report_tables.duration, "score": report_tables.score}
    return templates.load(Path(__file__).with_name("report.html.j2"), filters).render(
        result=result,
        evidence=evidence,
        finished=finished,
        verdict=_verdict(result),
        stopped_in=[name for name, state in result["nodes"].items() if state not in _FINISHED],
        missing=report_tables.unreached(result, evidence.pictures is not None),
        gates=report_tables.gates(result),
        not_preferred=report_tables.not_preferred(result),
        metric_names=report_tables.metric_names(result),
        slices=report_tables.slices(result, names, evidence.text_labels),
        classes=confusion.by_class(cells, names),
        pairs=confusion.pairs(cells, names, _PAIRS),
        heat_map=confusion.heat_map(cells, names),
        curves=[chart for chart in charts if chart],
        trials=trials.rows(result["tuner"]),
        trials_chart=trials.parallel(result["tuner"], result["config"]["tuner"]["space"]),
        reliability=plots.reliability(result["calibration"]),
        calibration_error=plots.expected_calibration_error(result["calibration"]) if result["calibration"] else None,
        artefacts=report_tables.artefacts(result, evidence.saved_model_bytes),
        ingested=report_tables.ingested(result["ingest"]),
        class_counts=report_tables.class_counts(result["ingest"]),
        config=yaml.safe_dump(result["config"], sort_keys=False, allow_unicode=True),
        most_rows=MOST_ROWS,
        plots=plots,
        trials_size=(trials.WIDTH, trials.HEIGHT, trials.TOP, trials.BOTTOM),
    )


def _verdict(result: Mapping[str, Any]) -> str:
    """`passed`, `refused` (by a gate) or `failed` (before both gates had spoken, or after)."""
    evaluator, *tflite = result["gates"].values()
    if evaluator and not evaluator["blessed"]:
        return "refused"
    if any(gate and not gate["blessed"] for gate in tflite) and not any(gate and gate["blessed"] for gate in tflite):
        return "refused"
    stopped = any(state not in _FINISHED for state in result["nodes"].values())
    return "passed" if result["blessed"] and not result["reasons"] and not stopped else "failed"


def _gather(
    result: Mapping[str, Any], nodes: Mapping[str, "Node"], output: Path, text_labels: bool = False
) -> Evidence:
    file = output / result["quarantine"].get("records", _QUARANTINE)
    quarantine = _quarantined(file) if result["quarantine"]["count"] else {}
    model = _artifact(nodes, "Trainer", "model", SERVING_FOLDER)
    if model is None:
        return Evidence(quarantine=quarantine)
    names = labels.read_labels(model / ASSETS_EXTRA)
    test = _artifact(nodes, "Transform", "transformed_examples", f"Split-{TEST}")
    predictions = showcase.predict(model, test) if test else None
    return Evidence(
        class_names=names,
        text_labels=text_labels,
        saved_model_bytes=sum(file.stat().st_size for file in model.rglob("*") if file.is_file()),
        pictures=showcase.choose(predictions, names) if predictions else None,
        quarantine=quarantine,
    )


def _artifact(nodes: Mapping[str, "Node"], node: str, key: str, part: str) -> Path | None:
    """Folder `part` of a finished node's output, if it is there."""
    if node not in nodes or nodes[node].state not in _FINISHED or key not in nodes[node].outputs:
        return None
    path = Path(nodes[node].outputs[key].uri) / part
    return path if path.is_dir() else None


def _quarantined(file: Path) -> dict[str, list[dict[str, str]]]:
    examples: dict[str, list[dict[str, str]]] = {}
    if file.is_file():
        with file.open(encoding="utf-8") as lines:
            for line in lines:
                case = json.loads(line)
                known = examples.setdefault(case["reason"], [])
                if len(known) < _EXAMPLES:
                    known.append(case)
    return examples

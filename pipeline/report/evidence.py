"""What the report shows beyond `run.json`: names, images and quarantined files, read from the run's artifacts."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from atelier import labels
from atelier.layout import ASSETS_EXTRA, SERVING_FOLDER, TEST
from pipeline.report import showcase, stylizer
from pipeline.results.run_json import FINISHED
from pipeline.results.stylizer import GATE

if TYPE_CHECKING:
    from pipeline.results.nodes import Node

_QUARANTINE = "data/quarantine/quarantine.jsonl"
"""Of ingest; `run.json` names that of another maker's records."""
_EXAMPLES = 3


@dataclass(frozen=True)
class Evidence:
    """What the page shows beyond `run.json`."""

    class_names: list[str] = field(default_factory=list)
    """By class id; empty if no model tells them."""
    text_labels: bool = False
    """The records' labels are the names themselves, not ids."""
    saved_model_bytes: int | None = None
    images: showcase.Showcase | None = None
    grid: list[stylizer.GridRow] = field(default_factory=list)
    """Styles that the stylizer's gate has measured."""
    quarantine: dict[str, list[dict[str, str]]] = field(default_factory=dict)
    """A few files (`path`, `detail`), or records (`record`, too), by reason."""


def gather_evidence(
    result: Mapping[str, Any], nodes: Mapping[str, "Node"], output: Path, text_labels: bool = False
) -> Evidence:
    """Reads what is there; a run that stopped early leaves less."""
    file = output / result["quarantine"].get("records", _QUARANTINE)
    quarantine = _read_quarantined(file) if result["quarantine"]["count"] else {}
    grid = stylizer.read_grid(nodes.get(GATE))
    model = _find_artifact(nodes, "Trainer", "model", SERVING_FOLDER)
    if model is None:
        return Evidence(quarantine=quarantine, grid=grid)
    names = labels.read_labels(model / ASSETS_EXTRA)
    test = _find_artifact(nodes, "Transform", "transformed_examples", f"Split-{TEST}")
    predictions = showcase.predict(model, test) if test else None
    return Evidence(
        class_names=names,
        text_labels=text_labels,
        saved_model_bytes=sum(file.stat().st_size for file in model.rglob("*") if file.is_file()),
        images=showcase.choose(predictions, names) if predictions else None,
        grid=grid,
        quarantine=quarantine,
    )


def _find_artifact(nodes: Mapping[str, "Node"], node: str, key: str, part: str) -> Path | None:
    """Folder `part` of a finished node's output, if it is there."""
    if node not in nodes or nodes[node].state not in FINISHED or key not in nodes[node].outputs:
        return None
    path = Path(nodes[node].outputs[key].uri) / part
    return path if path.is_dir() else None


def _read_quarantined(file: Path) -> dict[str, list[dict[str, str]]]:
    examples: dict[str, list[dict[str, str]]] = {}
    if file.is_file():
        with file.open(encoding="utf-8") as lines:
            for line in lines:
                case = json.loads(line)
                known = examples.setdefault(case["reason"], [])
                if len(known) < _EXAMPLES:
                    known.append(case)
    return examples

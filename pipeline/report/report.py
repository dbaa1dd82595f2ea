"""The page at the end of a run: `report.html`, one file that shows what `run.json` holds, and test images."""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from atelier import templates
from atelier.files.replacing import replace_text
from pipeline.report import tables
from pipeline.report.evidence import Evidence, gather_evidence
from pipeline.report.sections import FILTERS, TEMPLATES, RunData, render_sections
from pipeline.results.run_json import FINISHED
from pipeline.results.stylizer import GATE

if TYPE_CHECKING:
    from pipeline.results.nodes import Node

FILE = "report.html"


def write(result: dict[str, Any], nodes: Mapping[str, "Node"], output: Path, *, text_labels: bool = False) -> Path:
    """Writes `report.html` into the folder of the run; an earlier one is replaced as a whole.

    Args:
      result: the content of `run.json`; what the run did not reach may be missing as `results.collect` leaves it out.
      nodes: of the run; Trainer's model and Transform's test split are read if they exist.
      output: folder of the run.
      text_labels: the records' labels are the names themselves, not ids.

    Returns:
      The page's path.
    """
    page = render(result, gather_evidence(result, nodes, output, text_labels), datetime.now().astimezone())
    file = output / FILE
    # Names of files may hold bytes that are no UTF-8, which Python carries as lone surrogates.
    replace_text(file, page, errors="xmlcharrefreplace")
    return file


def render(result: Mapping[str, Any], evidence: Evidence, finished: datetime) -> str:
    """Returns the page as text."""
    run = RunData(result, evidence)
    return templates.load(TEMPLATES / "page.html.j2", FILTERS).render(
        result=result,
        finished=finished,
        verdict=_find_verdict(result),
        stopped_in=[name for name, state in result["nodes"].items() if state not in FINISHED],
        gates=tables.list_gates(result),
        not_preferred=tables.list_not_preferred(result),
        class_count=len(run.classes),
        artifacts=run.artifacts,
        sections=render_sections(run),
    )


def _find_verdict(result: Mapping[str, Any]) -> str:
    """`passed`, `rejected` (by a gate), or `failed` (before all gates had a verdict, or after)."""
    gates = dict(result["gates"])
    stylized = gates.pop(GATE, None)
    evaluator, *tflite = gates.values()
    if stylized and not stylized["blessed"]:
        return "rejected"
    if evaluator and not evaluator["blessed"]:
        return "rejected"
    if any(gate and not gate["blessed"] for gate in tflite) and not any(gate and gate["blessed"] for gate in tflite):
        return "rejected"
    stopped = any(state not in FINISHED for state in result["nodes"].values())
    return "passed" if result["blessed"] and not result["reasons"] and not stopped else "failed"

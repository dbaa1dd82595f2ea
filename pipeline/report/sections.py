"""The sections of the report, in the order of the page.

A section is a function here that is registered under an id and a title. It returns a `Table`, or the values for a
template of its own in `templates/`, or None where the run has nothing for it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml
from markupsafe import Markup

from atelier import templates
from pipeline.report import confusion, plots, stylizer, tables, trials
from pipeline.report.columns import Table
from pipeline.report.evidence import Evidence

TEMPLATES = Path(__file__).with_name("templates")
FILTERS = {
    "size": tables.format_size,
    "duration": tables.format_duration,
    "score": tables.format_score,
}
MOST_ROWS = 30
"""Rows of a table that are shown at once; the rest waits behind a click."""
_PAIRS = 15


@dataclass(frozen=True)
class RunData:
    """What sections are made of."""

    result: Mapping[str, Any]
    """The content of `run.json`."""
    evidence: Evidence

    @property
    def class_names(self) -> list[str]:
        """By class id; empty if nobody tells them."""
        return self.evidence.class_names or self.result["ingest"].get("classes", [])

    @cached_property
    def classes(self) -> list[confusion.ClassRow]:
        """A row for each class, lowest recall first."""
        return confusion.count_by_class(self.result["confusion"], self.class_names)

    @cached_property
    def artifacts(self) -> list[dict[str, Any]]:
        """A row for each artifact."""
        return tables.list_artifacts(self.result, self.evidence.saved_model_bytes)

    @property
    def calibration_error(self) -> float | None:
        """None without measurements."""
        calibration = self.result["calibration"]
        return plots.compute_calibration_error(calibration) if calibration else None


Content = Table | Mapping[str, Any] | None


@dataclass(frozen=True)
class Section:
    """One registered section."""

    id: str
    title: str
    build: Callable[[RunData], Content]


@dataclass(frozen=True)
class RenderedSection:
    """One section as the page shows it."""

    id: str
    title: str
    html: Markup


SECTIONS: list[Section] = []


def section(identifier: str, title: str) -> Callable[[Callable[[RunData], Content]], Callable[[RunData], Content]]:
    """Registers a function as the next section of the page."""

    def register(build: Callable[[RunData], Content]) -> Callable[[RunData], Content]:
        SECTIONS.append(Section(identifier, title, build))
        return build

    return register


def render_sections(run: RunData) -> list[RenderedSection]:
    """Renders the sections for which the run has something."""
    rendered = []
    for each in SECTIONS:
        content = each.build(run)
        if content is None:
            continue
        file = "table" if isinstance(content, Table) else each.id
        values = {"table": content} if isinstance(content, Table) else dict(content)
        page_values = {"title": each.title, "result": run.result, "evidence": run.evidence}
        template = templates.load(TEMPLATES / f"{file}.html.j2", FILTERS)
        html = template.render(**page_values, **values, plots=plots, most_rows=MOST_ROWS)
        rendered.append(RenderedSection(each.id, each.title, Markup(html)))  # noqa: S704  # escaped by the template
    return rendered


@section("gates", "Gates")
def build_gates(run: RunData) -> Content:
    """Builds verdicts, reasons and thresholds, and what was not reached."""
    missing = tables.list_unreached(run.result, run.evidence.images is not None)
    return {"gates": tables.list_gates(run.result), "missing": missing}


@section("metrics", "Metrics")
def build_metrics(run: RunData) -> Content:
    """Builds the SavedModel's metrics overall and by slice; each metric that was measured is a row and a column."""
    if not run.result["metrics"]:
        return None
    return {
        "metrics": run.result["metrics"],
        "metric_names": tables.name_metrics(run.result),
        "slices": tables.group_slices(run.result, run.class_names, run.evidence.text_labels),
        "calibration_error": run.calibration_error,
    }


@section("classes", "Classes")
def build_classes(run: RunData) -> Content:
    """Builds the confusion matrix, the pairs that are mixed up, and precision and recall by class."""
    if not run.classes:
        return None
    cells = run.result["confusion"]
    return {
        "classes": run.classes,
        "pairs": confusion.find_pairs(cells, run.class_names, _PAIRS),
        "heat_map": confusion.build_heat_map(cells, run.class_names),
    }


@section("images", "Images")
def build_images(run: RunData) -> Content:
    """Builds a choice of test images with their predictions."""
    return {"shown": run.evidence.images} if run.evidence.images else None


@section("stylizer", "Stylizer")
def build_stylizer(run: RunData) -> Content:
    """Builds what the stylizer's gate measured, and images of both renderers."""
    found = run.result.get("stylizer")
    if not found:
        return None
    evaluation = found["evaluation"]
    table = stylizer.build_table(evaluation) if evaluation else None
    return {**found, "table": table, "grid": run.evidence.grid, "pushed": run.result["pushed"].get("stylizer")}


@section("tuning", "Tuning")
def build_tuning(run: RunData) -> Content:
    """Builds the Tuner's trials."""
    found = run.result["tuner"]
    if not found:
        return None
    return {
        "trials": trials.format_rows(found),
        "trials_chart": trials.build_parallel_coordinates(found, run.result["config"]["tuner"]["space"]),
        "trials_size": (trials.WIDTH, trials.HEIGHT, trials.TOP, trials.BOTTOM),
    }


@section("training", "Training")
def build_training(run: RunData) -> Content:
    """Builds accuracy and loss by epoch."""
    phases = run.result["training"].get("phases", {})
    charts = [
        chart
        for chart in (plots.build_training_chart(phases, "accuracy"), plots.build_training_chart(phases, "loss"))
        if chart
    ]
    return {"curves": charts} if charts else None


@section("calibration", "Calibration")
def build_calibration(run: RunData) -> Content:
    """Builds the reliability diagram."""
    chart = plots.build_reliability_diagram(run.result["calibration"])
    return {"reliability": chart, "calibration_error": run.calibration_error} if chart else None


@section("artifacts", "Artifacts")
def build_artifacts(run: RunData) -> Content:
    """Builds sizes, accuracies and latencies; `tables.ARTIFACT_COLUMNS` lists the columns."""
    caption = (
        "Accuracy and disagreement (another top class than the SavedModel's) on the test split; latency of one image "
        "on one CPU thread."
    )
    return Table(caption, tables.ARTIFACT_COLUMNS, run.artifacts) if run.artifacts else None


@section("data", "Data")
def build_data(run: RunData) -> Content:
    """Builds counts by split and class, what ingest found, and the quarantine."""
    ingest = run.result["ingest"]
    return {
        "ingested": tables.list_ingest_facts(ingest),
        "class_counts": tables.count_images_by_class(ingest),
    }


@section("run", "The run")
def build_run(run: RunData) -> Content:
    """Builds times by node, versions and the configuration."""
    return {"config": yaml.safe_dump(run.result["config"], sort_keys=False, allow_unicode=True)}

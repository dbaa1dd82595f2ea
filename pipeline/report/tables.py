"""Rows of the report's tables, from the content of `run.json`."""

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.config.config import TFLite
from pipeline.ingest.ingest_report import REMARKS
from pipeline.report import confusion, stylizer
from pipeline.report.columns import Cell, Column
from pipeline.results.stylizer import GATE

_METRICS = {"accuracy": "accuracy", "top_k_accuracy": "top-{k} accuracy", "loss": "cross-entropy"}


def list_gates(result: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Returns a row for each gate: what it `guards`, its `verdict`, the `reasons` of a rejection, its `rules`."""
    evaluator, tflite = result["config"]["evaluator"], result["config"]["tflite"]
    of_saved_model = [
        f"accuracy at least {evaluator['min_accuracy']:g}",
        f"at most {evaluator['max_accuracy_drop']:g} below the baseline",
    ]
    if evaluator["min_slice_accuracy"]:
        of_saved_model.append(f"accuracy at least {evaluator['min_slice_accuracy']:g} on each slice")
    variants = TFLite(push=tflite["push"]).gates
    rows = []
    for name, gate in result["gates"].items():
        guards, rules = "SavedModel", of_saved_model
        if name in variants:
            guards = f"TFLite {variants[name]}" if len(variants) > 1 else "TFLite"
            rules = [
                f"{variants[name]} at most {tflite['max_accuracy_drop']:g} below the SavedModel",
                f"at most {tflite['max_slice_accuracy_drop']:g} below it on any label",
                f"another top class on at most {tflite['max_disagreement']:g} of the images",
            ]
        elif name == GATE:
            guards, rules = "Stylizer", stylizer.list_rules(result["config"]["stylizer"]["gate"])
        verdict = "not reached" if gate is None else "passed" if gate["blessed"] else "rejected"
        rows.append({"guards": guards, "verdict": verdict, "reasons": gate["reasons"] if gate else [], "rules": rules})
    return rows


def list_not_preferred(result: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Returns the variants of `tflite.push` that were not pushed although another one was, and why."""
    told = result["tflite_push"]
    if not any(variant["pushed"] for variant in told.values()):
        return []  # the gates' own reasons say it
    preferred = result["config"]["tflite"]["push"]
    return [(name, told[name]["reason"]) for name in preferred if not told[name]["pushed"]]


def name_metrics(result: Mapping[str, Any]) -> dict[str, str]:
    """Returns the measured metrics in order, with names for people; the number of images is not among them."""
    k = result["config"]["evaluator"]["top_k"]
    known = {key: name.format(k=k) for key, name in _METRICS.items() if key in result["metrics"]}
    others = {key: key.replace("_", " ") for key in result["metrics"] if key not in _METRICS and key != "example_count"}
    return known | others


def group_slices(result: Mapping[str, Any], names: Sequence[str], text_labels: bool) -> dict[str, list[dict[str, Any]]]:
    """Returns slices by their features, lowest accuracy first: `name`, and `metrics`."""
    label_key = result["config"]["data"]["label_key"]
    groups: dict[str, list[dict[str, Any]]] = {}
    for entry in result["slices"]:
        values = [
            confusion.find_class_name(int(value), names)
            if feature == label_key and not text_labels and value.isdecimal()
            else value
            for feature, value in entry["slice"].items()
        ]
        row = {"name": ", ".join(values), "metrics": entry["metrics"]}
        groups.setdefault(" and ".join(entry["slice"]), []).append(row)
    for rows in groups.values():
        rows.sort(key=lambda row: (row["metrics"].get("accuracy", 2.0), -row["metrics"].get("example_count", 0)))
    return groups


def list_artifacts(result: Mapping[str, Any], saved_model_bytes: int | None) -> list[dict[str, Any]]:
    """Returns a row for each artifact; None where something was not measured.

    `meant` tells the variants that are to be pushed from those for comparison.
    """
    rows = []
    if saved_model_bytes is not None:
        rows.append(
            {
                "name": "SavedModel",
                "bytes": saved_model_bytes,
                "accuracy": result["metrics"].get("accuracy"),
                "disagreement": None,
                "p50": None,
                "p99": None,
                "pushed": result["pushed"]["saved_model"],
                "meant": True,
            }
        )
    for variant, measured in result["tflite"].items():
        meant = variant in result["config"]["tflite"]["push"]
        rows.append(
            {
                "name": f"TFLite {variant}",
                "bytes": measured["bytes"],
                "accuracy": measured["accuracy"],
                "disagreement": measured["disagreement"],
                "p50": measured["latency_ms_p50"],
                "p99": measured["latency_ms_p99"],
                "pushed": result["pushed"]["tflite"] if result["tflite_push"][variant]["pushed"] else None,
                "meant": meant,
            }
        )
    return rows


def list_ingest_facts(ingest: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Returns facts of the ingest's report; findings only where there are any."""
    if not ingest:
        return []
    facts = [
        ("Source", str(ingest["source"])),
        ("Files", f"{ingest['files']:,}"),
        ("Formats kept", ", ".join(f"{name} {count:,}" for name, count in ingest["formats"].items())),
        ("Bytes", f"{format_size(ingest['bytes']['read'])} read, {format_size(ingest['bytes']['stored'])} stored"),
        ("Speed", f"{ingest['pictures_per_second']:,} images a second"),
    ]
    findings = [
        ("Files passed over", ", ".join(f"{name} {count:,}" for name, count in ingest["ignored"].items())),
        ("Copies within a split", ingest["duplicates"]["pictures"]),
        ("Same image under two labels", ingest["conflicting_labels"]["pictures"]),
        ("Dropped: also in another split", ingest["leakage"]["dropped"]),
        ("Near-duplicates in another split", ingest["near_duplicates"]["pictures"]),
        *(
            (f"Classes without {split} images", ", ".join(missing))
            for split, missing in ingest["classes_missing"].items()
        ),
        *(
            (f"Images {REMARKS[remark]}", f"{found['images']:,}, for example {', '.join(found['examples'][:3])}")
            for remark, found in ingest.get("remarks", {}).items()  # a report of an earlier version has none
        ),
    ]
    return facts + [(name, f"{value:,}" if isinstance(value, int) else value) for name, value in findings if value]


def count_images_by_class(ingest: Mapping[str, Any]) -> list[tuple[str, list[int]]]:
    """Returns (class, images in train, eval, test), most images first."""
    splits = [records["classes"] for records in ingest.get("records", {}).values()]
    rows = [(name, [split.get(name, 0) for split in splits]) for name in ingest.get("classes", [])]
    return sorted(rows, key=lambda row: -sum(row[1]))


def list_unreached(result: Mapping[str, Any], images: bool) -> list[str]:
    """Returns what a run that stopped early did not produce."""
    reached = {
        "training curves": any(phase.get("curves") for phase in result["training"].get("phases", {}).values()),
        "metrics": bool(result["metrics"]),
        "images with their predictions": images,
        "TFLite measurements": bool(result["tflite"]),
    }
    return [name for name, there in reached.items() if not there]


def format_size(count: float) -> str:
    """Returns bytes for people."""
    units = iter(("B", "kB", "MB", "GB", "TB"))
    unit = next(units)
    while count >= 999.5 and unit != "TB":
        count, unit = count / 1000, next(units)
    return f"{count:.0f} {unit}" if unit == "B" or count >= 99.95 else f"{count:.1f} {unit}"


def format_duration(seconds: float) -> str:
    """Returns seconds for people."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def format_score(value: float | None) -> str:
    """Returns a share or a loss with the digits of the gates' reasons; a dash for None."""
    return "–" if value is None else f"{value:.4f}"


def _format_milliseconds(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f} ms"


def _format_pushed_to(row: Mapping[str, Any]) -> Cell:
    if row["pushed"]:
        return Cell(row["pushed"], "code")
    return Cell("not pushed", "warn") if row["meant"] else Cell("for comparison", "note")


ARTIFACT_COLUMNS = (
    Column("Artifact", lambda row: row["name"]),
    Column("Size", lambda row: format_size(row["bytes"]), is_number=True),
    Column("Accuracy", lambda row: format_score(row["accuracy"]), is_number=True),
    Column("Disagreement", lambda row: format_score(row["disagreement"]), is_number=True),
    Column("Latency p50", lambda row: _format_milliseconds(row["p50"]), is_number=True),
    Column("p99", lambda row: _format_milliseconds(row["p99"]), is_number=True),
    Column("Pushed to", _format_pushed_to),
)
"""Of the rows of `list_artifacts`."""

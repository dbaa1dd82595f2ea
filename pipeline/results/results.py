"""Collects what a run came to, from the metadata database and its artifacts: the content of `run.json`."""

import importlib.metadata
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from components.pusher.executor import VARIANT
from components.tflite_exporter.convert import VARIANTS
from pipeline.config.config import Config, TFLite
from pipeline.results import stylizer
from pipeline.results.evaluations import read_evaluation, read_gate
from pipeline.results.nodes import Node
from pipeline.results.run_artifacts import (
    count_examples,
    measure_stored_bytes,
    read_gallery,
    read_measurements,
    read_pushed_path,
    read_training,
    read_trials,
)

LIBRARIES = ("tfx", "tensorflow", "keras", "apache-beam", "ml-metadata", "ai-edge-litert", "numpy")


def collect(
    config: Config,
    output: Path,
    nodes: Mapping[str, Node],
    ingest: Mapping[str, Any],
    failure: str,
    warnings: Sequence[str],
    quarantine: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Collects everything that `run.json` holds and the report shows; `run_json.RunResult` describes it.

    Args:
      config: of the run.
      output: folder of the run; paths in the result are relative to it.
      nodes: from `nodes.read_last_run`.
      ingest: the report of the ingest, empty if the records came from elsewhere.
      failure: why the run stopped early, "" if it did not.
      warnings: what the user should know about the data.
      quarantine: what was set aside, by ingest or by the check of the records.
    """
    of_tflite = config.tflite.gates
    gates = {name: read_gate(nodes.get(name)) for name in ("Evaluator", *of_tflite)}
    styled: dict[str, Any] = {}
    if config.stylizer.enabled:
        gates[stylizer.GATE] = stylizer.read_gate(nodes.get(stylizer.GATE))
        styled["stylizer"] = stylizer.read_stylizer(nodes.get(stylizer.TRAINER), nodes.get(stylizer.GATE))
    passed = [name for name, gate in gates.items() if gate and gate["blessed"]]
    tflite_passed = any(name in passed for name in of_tflite)
    # One variant that may be pushed is enough: what its gate says of another is no reason to reject the run.
    deciding = {name: gate for name, gate in gates.items() if gate and not (tflite_passed and name in of_tflite)}
    reasons = [f"{name}: {reason}" for name, gate in deciding.items() for reason in gate["reasons"]]
    evaluation = read_evaluation(nodes.get("Evaluator"))
    training = read_training(nodes.get("Trainer"))
    return {
        "name": config.name,
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "blessed": "Evaluator" in passed and tflite_passed and (stylizer.GATE in passed or not styled),
        "failure": failure,
        "reasons": [*reasons, *([failure] if failure else [])],
        "gates": gates,
        "warnings": list(warnings),
        "pushed": {
            "saved_model": read_pushed_path(nodes.get("Pusher"), output),
            "tflite": read_pushed_path(nodes.get("Pusher.tflite"), output),
            **({"stylizer": read_pushed_path(nodes.get(stylizer.PUSHER), output)} if styled else {}),
        },
        "tflite_push": _explain_tflite_push(config.tflite, gates, nodes.get("Pusher.tflite")),
        "metrics": evaluation.pop("metrics"),
        **evaluation,
        "tflite": read_measurements(nodes.get("TFLiteExporter")),
        "gallery": read_gallery(nodes.get("StyleRenderer")),
        **styled,
        "transform": measure_stored_bytes(nodes, config),
        "feature_cache": training.get("phases", {}).get("head", {}).get("feature_cache"),
        "training": training,
        "tuner": read_trials(nodes.get("Tuner")),
        "data": count_examples(nodes.get("StatisticsGen")),
        "quarantine": dict(quarantine or ingest.get("quarantine") or {"count": 0, "reasons": {}}),
        "ingest": dict(ingest),
        "nodes_s": {name: round(node.seconds, 2) for name, node in nodes.items()},
        "nodes": {name: node.state for name, node in nodes.items()},
        "versions": {library: importlib.metadata.version(library) for library in LIBRARIES},
        "config": config.model_dump(mode="json"),
    }


def _explain_tflite_push(
    settings: TFLite, gates: Mapping[str, dict[str, Any] | None], pusher: Node | None
) -> dict[str, dict[str, Any]]:
    """Returns by variant, the preferred ones first, whether it was `pushed`, and the `reason`."""
    chosen = ""
    if pusher is not None and "pushed_model" in pusher.outputs:
        chosen = pusher.outputs["pushed_model"].get_string_custom_property(VARIANT)
    found = {}
    for name, variant in settings.gates.items():
        gate = gates[name]
        if gate is None:
            reason = f"its gate {name} was not reached"
        elif not gate["blessed"]:
            reason = f"its gate {name} rejected it: {'; '.join(gate['reasons'])}"
        elif variant == chosen:
            reason = "the first in tflite.push that passed its gate"
        elif chosen:
            reason = f"it passed its gate, but {chosen} comes first in tflite.push"
        else:
            reason = "it passed its gate, but Pusher.tflite was not reached"
        found[variant] = {"pushed": variant == chosen, "reason": reason}
    others = {variant: {"pushed": False, "reason": "it is not in tflite.push"} for variant in VARIANTS}
    return found | {variant: other for variant, other in others.items() if variant not in found}

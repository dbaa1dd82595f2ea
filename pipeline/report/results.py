"""What a run has come to, read back from MLMD and its artifacts: the content of `run.json`."""

import importlib.metadata
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import tensorflow_model_analysis as tfma
from ml_metadata.metadata_store import MetadataStore
from ml_metadata.proto import metadata_store_pb2 as mlmd
from tfx import v1 as tfx  # noqa: F401  # tfma is whole only once TFX is imported
from tfx.components.util import model_utils
from tfx.types import artifact_utils
from tfx.types.artifact import Artifact

from components.pusher.executor import VARIANT
from components.tflite_exporter.convert import VARIANTS
from components.tflite_exporter.executor import MEASUREMENTS_FILE
from pipeline.config.config import Config, TFLite
from pipeline.metadata import metadata_store
from trainer import tuned
from trainer.train import TRAINING_FILE

LIBRARIES = ("tfx", "tensorflow", "keras", "apache-beam", "ml-metadata", "ai-edge-litert", "numpy")


@dataclass(frozen=True)
class Node:
    """One node of the last run."""

    state: str
    """complete, cached, failed, or running (which a killed run leaves behind)."""
    seconds: float
    outputs: Mapping[str, Artifact] = field(default_factory=dict)


def last_run(connection: mlmd.ConnectionConfig, pipeline_name: str) -> dict[str, Node]:
    """The nodes of the pipeline's last run by id, in the order in which they ran; none if no run has begun.

    Args:
      connection: of the metadata database, which other pipelines may use too.
      pipeline_name: as it is called there.
    """
    store = metadata_store.opened(connection)
    pipeline = store.get_context_by_type_and_name("pipeline", pipeline_name)
    children = store.get_children_contexts_by_context(pipeline.id) if pipeline else []
    runs = [context for context in children if context.type == "pipeline_run"]
    if not runs:
        return {}
    run = max(runs, key=lambda context: context.id)
    nodes = {}
    for execution in sorted(store.get_executions_by_context(run.id), key=lambda execution: execution.id):
        name = next(c.name for c in store.get_contexts_by_execution(execution.id) if c.type == "node")
        nodes[name.removeprefix(f"{pipeline_name}.")] = Node(
            state=mlmd.Execution.State.Name(execution.last_known_state).lower(),
            seconds=(execution.last_update_time_since_epoch - execution.create_time_since_epoch) / 1e3,
            outputs=_outputs(store, execution.id),
        )
    return nodes


def _outputs(store: MetadataStore, execution_id: int) -> dict[str, Artifact]:
    events = [event for event in store.get_events_by_execution_ids([execution_id]) if event.type == mlmd.Event.OUTPUT]
    artifacts = {artifact.id: artifact for artifact in store.get_artifacts_by_id([e.artifact_id for e in events])}
    types = {t.id: t for t in store.get_artifact_types_by_id([a.type_id for a in artifacts.values()])}
    return {
        event.path.steps[0].key: artifact_utils.deserialize_artifact(
            types[artifacts[event.artifact_id].type_id], artifacts[event.artifact_id]
        )
        for event in events
    }


def collect(
    config: Config,
    output: Path,
    nodes: Mapping[str, Node],
    ingest: Mapping[str, Any],
    failure: str,
    warnings: Sequence[str],
    quarantine: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Everything that `run.json` holds and the report shows.

    Args:
      config: of the run.
      output: folder of the run; paths in the result are relative to it.
      nodes: from `last_run`.
      ingest: the report of the ingest, empty if the records came from elsewhere.
      failure: why the run stopped early, "" if it did not.
      warnings: what the user should know about the data.
      quarantine: what was set aside, by the ingest or by the check of the records.
    """
    of_tflite = config.tflite.gates
    gates = {name: _gate(nodes.get(name)) for name in ("Evaluator", *of_tflite)}
    passed = [name for name, gate in gates.items() if gate and gate["blessed"]]
    tflite_passed = any(name in passed for name in of_tflite)
    # One variant that may be pushed is enough: what its gate says of another is no reason to reject the run.
    deciding = {name: gate for name, gate in gates.items() if gate and not (tflite_passed and name in of_tflite)}
    reasons = [f"{name}: {reason}" for name, gate in deciding.items() for reason in gate["reasons"]]
    evaluation = _evaluation(nodes.get("Evaluator"))
    training = _training(nodes.get("Trainer"))
    return {
        "name": config.name,
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "blessed": "Evaluator" in passed and tflite_passed,
        "failure": failure,
        "reasons": [*reasons, *([failure] if failure else [])],
        "gates": gates,
        "warnings": list(warnings),
        "pushed": {
            "saved_model": _pushed(nodes.get("Pusher"), output),
            "tflite": _pushed(nodes.get("Pusher.tflite"), output),
        },
        "tflite_push": _tflite_push(config.tflite, gates, nodes.get("Pusher.tflite")),
        "metrics": evaluation.pop("metrics"),
        **evaluation,
        "tflite": _measurements(nodes.get("TFLiteExporter")),
        "gallery": _gallery(nodes.get("StyleRenderer")),
        "transform": _stored_bytes(nodes, config),
        "feature_cache": training.get("phases", {}).get("head", {}).get("feature_cache"),
        "training": training,
        "tuner": _trials(nodes.get("Tuner")),
        "data": _example_counts(nodes.get("StatisticsGen")),
        "quarantine": dict(quarantine or ingest.get("quarantine") or {"count": 0, "reasons": {}}),
        "ingest": dict(ingest),
        "nodes_s": {name: round(node.seconds, 2) for name, node in nodes.items()},
        "nodes": {name: node.state for name, node in nodes.items()},
        "versions": {library: importlib.metadata.version(library) for library in LIBRARIES},
        "config": config.model_dump(mode="json"),
    }


def _tflite_push(
    settings: TFLite, gates: Mapping[str, dict[str, Any] | None], pusher: Node | None
) -> dict[str, dict[str, Any]]:
    """By variant, the preferred ones first: whether this one is `pushed`, and the `reason`."""
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


def _gallery(renderer: Node | None) -> dict[str, Any] | None:
    """What was rendered; None where the run has no gallery."""
    if renderer is None or renderer.state not in ("complete", "cached"):
        return None
    artifact = renderer.outputs["gallery"]
    counts = {name: artifact.get_int_custom_property(name) for name in ("pictures", "rendered", "dead_letters")}
    return {"page": "gallery/gallery.html", **counts}


def _gate(evaluator: Node | None) -> dict[str, Any] | None:
    """Verdict and reasons of one Evaluator; None if it did not come to a verdict."""
    if evaluator is None or "blessing" not in evaluator.outputs or evaluator.state not in ("complete", "cached"):
        return None
    result = tfma.load_validation_result(evaluator.outputs["evaluation"].uri)
    return {
        "blessed": model_utils.is_model_blessed(evaluator.outputs["blessing"]),
        "reasons": [
            _explain(failure, entry.slice_key)
            for entry in result.metric_validations_per_slice
            for failure in entry.failures
        ]
        + [f"no picture to measure on ({_slicing(spec)})" for spec in result.missing_slices],
    }


def _explain(failure: Any, slice_key: Any) -> str:
    where = ", ".join(f"{key.column} = {_slice_value(key)}" for key in slice_key.single_slice_keys) or "all pictures"
    name = _readable(failure.metric_key.name)
    value = failure.metric_value.double_value.value
    threshold = failure.metric_threshold
    if failure.message:
        return f"{name} could not be compared: {' '.join(failure.message.split()).rstrip('.')} ({where})"
    if threshold.HasField("change_threshold"):
        allowed = -threshold.change_threshold.absolute.value
        return f"{name} changed by {value:+.4f} against the baseline; a drop of {allowed:.4f} is allowed ({where})"
    return f"{name} {value:.4f} is below {threshold.value_threshold.lower_bound.value:.4f} ({where})"


def _slicing(spec: Any) -> str:
    return ", ".join(spec.feature_keys) or "all pictures"


def _readable(metric: str) -> str:
    names = {"sparse_categorical_accuracy": "accuracy", "sparse_categorical_crossentropy": "loss"}
    return names.get(metric, metric)


def _slice_value(key: Any) -> str:
    kind = key.WhichOneof("kind")
    value = getattr(key, kind)
    return value.decode() if isinstance(value, bytes) else str(value)


def _evaluation(evaluator: Node | None) -> dict[str, Any]:
    """Metrics overall, by slice and by class, and the plots' data, of the SavedModel's Evaluator."""
    found: dict[str, Any] = {"metrics": {}, "slices": [], "by_class": {}, "confusion": [], "calibration": []}
    if _gate(evaluator) is not None:
        assert evaluator is not None
        _read_metrics(evaluator.outputs["evaluation"].uri, found)
        _read_plots(evaluator.outputs["evaluation"].uri, found)
    return found


def _read_metrics(uri: str, found: dict[str, Any]) -> None:
    for entry in tfma.load_metrics(uri):
        where = {key.column: _slice_value(key) for key in entry.slice_key.single_slice_keys}
        metrics = {}
        for pair in entry.metric_keys_and_values:
            number = pair.value.double_value.value
            if pair.key.model_name != "candidate" or pair.key.is_diff or not math.isfinite(number):
                continue
            if not pair.key.HasField("sub_key"):
                metrics[_readable(pair.key.name)] = number
            elif not where:
                found["by_class"].setdefault(pair.key.sub_key.class_id.value, {})[pair.key.name] = number
        if where:
            found["slices"].append({"slice": where, "metrics": metrics})
        else:
            found["metrics"] = metrics
    found["slices"].sort(key=lambda entry: sorted(entry["slice"].items()))


def _read_plots(uri: str, found: dict[str, Any]) -> None:
    for entry in tfma.load_plots(uri):
        for pair in entry.plot_keys_and_values:
            if entry.slice_key.single_slice_keys or pair.key.model_name != "candidate":
                continue
            if pair.value.HasField("multi_class_confusion_matrix_at_thresholds"):
                found["confusion"] = _confusion(pair.value.multi_class_confusion_matrix_at_thresholds)
            elif pair.value.HasField("calibration_histogram_buckets"):
                found["calibration"] = _calibration(pair.value.calibration_histogram_buckets)


def _confusion(plot: Any) -> list[list[int]]:
    """Cells that are not empty: [actual class, predicted class, pictures]."""
    return [
        [entry.actual_class_id, entry.predicted_class_id, int(entry.num_weighted_examples)]
        for entry in plot.matrices[0].entries
        if entry.num_weighted_examples
    ]


def _calibration(plot: Any, bins: int = 20) -> list[list[float]]:
    """By bin of predicted probability: [mean probability, share that came true, number of probabilities]."""
    sums = [[0.0, 0.0, 0.0] for _ in range(bins)]
    for bucket in plot.buckets:
        count = bucket.num_weighted_examples.value
        if count:
            probability = bucket.total_weighted_refined_prediction.value
            row = sums[min(int(probability / count * bins), bins - 1)]
            row[0] += probability
            row[1] += bucket.total_weighted_label.value
            row[2] += count
    return [[probability / count, label / count, count] for probability, label, count in sums if count]


def _training(trainer: Node | None) -> dict[str, Any]:
    if trainer is None or "model_run" not in trainer.outputs:
        return {}
    file = Path(trainer.outputs["model_run"].uri) / TRAINING_FILE
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}


def _trials(tuner: Node | None) -> list[dict[str, Any]]:
    """The trials that came to their end, best first: the first one's values are the Trainer's."""
    if tuner is None or "tuner_results" not in tuner.outputs or tuner.state not in ("complete", "cached"):
        return []
    file = Path(tuner.outputs["tuner_results"].uri) / "tuner_results.json"  # TFX's name for it
    return [
        {
            "trial": trial["trial_id"],
            "accuracy": trial["score"],
            "epochs": trial.get(tuned.EPOCHS),
            "values": {key: value for key, value in tuned.values(trial).items() if key not in ("trial_id", "score")},
        }
        for trial in json.loads(file.read_text(encoding="utf-8"))
    ]


def _measurements(exporter: Node | None) -> dict[str, Any]:
    if exporter is None or "tflite" not in exporter.outputs:
        return {}
    file = Path(exporter.outputs["tflite"].uri) / MEASUREMENTS_FILE
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}


def _pushed(pusher: Node | None, output: Path) -> str | None:
    """Path of what this run's Pusher pushed (or had pushed, if it came from the cache), relative to `output`."""
    if pusher is None or "pushed_model" not in pusher.outputs:
        return None
    destination = pusher.outputs["pushed_model"].get_string_custom_property("pushed_destination")
    return str(Path(destination).relative_to(output)) if destination else None


def _stored_bytes(nodes: Mapping[str, Node], config: Config) -> dict[str, float] | None:
    """Bytes on disk of a transformed picture, against float32 pixels."""
    transform = nodes.get("Transform")
    counts = _example_counts(nodes.get("StatisticsGen"))
    if transform is None or "transformed_examples" not in transform.outputs or not counts:
        return None
    files = Path(transform.outputs["transformed_examples"].uri).rglob("*.gz")
    pictures = sum(counts.values()) + counts["train"] * config.augmentation.copies
    stored = sum(file.stat().st_size for file in files) / pictures
    return {"bytes_per_image": round(stored, 1), "float32_bytes_per_image": config.image.size**2 * 3 * 4}


def _example_counts(statistics_gen: Node | None) -> dict[str, int]:
    """Raw examples by split."""
    if statistics_gen is None or "statistics" not in statistics_gen.outputs:
        return {}
    import tensorflow_data_validation as tfdv

    statistics = statistics_gen.outputs["statistics"]
    counts = {}
    for split in artifact_utils.decode_split_names(statistics.split_names):
        file = Path(artifact_utils.get_split_uri([statistics], split)) / "FeatureStats.pb"
        counts[split] = int(tfdv.load_stats_binary(str(file)).datasets[0].num_examples)
    return counts

"""What the Evaluators found: verdicts with their reasons in words, metrics, and the numbers of plots."""

import math
from typing import Any

import tensorflow_model_analysis as tfma
from tfx import v1 as tfx  # noqa: F401  # tfma is complete only once TFX is imported
from tfx.components.util import model_utils

from pipeline.results.nodes import Node


def read_gate(evaluator: Node | None) -> dict[str, Any] | None:
    """Returns verdict and reasons of one Evaluator; None if it did not come to a verdict."""
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
        + [f"no image to measure on ({_describe_slicing(spec)})" for spec in result.missing_slices],
    }


def read_evaluation(evaluator: Node | None) -> dict[str, Any]:
    """Returns metrics overall, by slice and by class, and the plots' data, of the SavedModel's Evaluator."""
    found: dict[str, Any] = {"metrics": {}, "slices": [], "by_class": {}, "confusion": [], "calibration": []}
    if read_gate(evaluator) is not None:
        assert evaluator is not None
        _read_metrics(evaluator.outputs["evaluation"].uri, found)
        _read_plots(evaluator.outputs["evaluation"].uri, found)
    return found


def _explain(failure: Any, slice_key: Any) -> str:
    where = ", ".join(f"{key.column} = {_get_slice_value(key)}" for key in slice_key.single_slice_keys) or "all images"
    name = _name_metric(failure.metric_key.name)
    value = failure.metric_value.double_value.value
    threshold = failure.metric_threshold
    if failure.message:
        return f"{name} could not be compared: {' '.join(failure.message.split()).rstrip('.')} ({where})"
    if threshold.HasField("change_threshold"):
        allowed = -threshold.change_threshold.absolute.value
        return f"{name} changed by {value:+.4f} against the baseline; a drop of {allowed:.4f} is allowed ({where})"
    return f"{name} {value:.4f} is below {threshold.value_threshold.lower_bound.value:.4f} ({where})"


def _describe_slicing(spec: Any) -> str:
    return ", ".join(spec.feature_keys) or "all images"


def _name_metric(metric: str) -> str:
    names = {"sparse_categorical_accuracy": "accuracy", "sparse_categorical_crossentropy": "loss"}
    return names.get(metric, metric)


def _get_slice_value(key: Any) -> str:
    kind = key.WhichOneof("kind")
    value = getattr(key, kind)
    return value.decode() if isinstance(value, bytes) else str(value)


def _read_metrics(uri: str, found: dict[str, Any]) -> None:
    for entry in tfma.load_metrics(uri):
        where = {key.column: _get_slice_value(key) for key in entry.slice_key.single_slice_keys}
        metrics = {}
        for pair in entry.metric_keys_and_values:
            number = pair.value.double_value.value
            if pair.key.model_name != "candidate" or pair.key.is_diff or not math.isfinite(number):
                continue
            if not pair.key.HasField("sub_key"):
                metrics[_name_metric(pair.key.name)] = number
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
                found["confusion"] = _read_confusion(pair.value.multi_class_confusion_matrix_at_thresholds)
            elif pair.value.HasField("calibration_histogram_buckets"):
                found["calibration"] = _read_calibration(pair.value.calibration_histogram_buckets)


def _read_confusion(plot: Any) -> list[list[int]]:
    """Cells that are not empty: [actual class, predicted class, images]."""
    return [
        [entry.actual_class_id, entry.predicted_class_id, int(entry.num_weighted_examples)]
        for entry in plot.matrices[0].entries
        if entry.num_weighted_examples
    ]


def _read_calibration(plot: Any, bins: int = 20) -> list[list[float]]:
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

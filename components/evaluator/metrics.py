"""What the SavedModel's Evaluator measures: each function that is registered here adds a metric.

`run.json` shows a metric under its name in TFMA.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from tensorflow_model_analysis.proto import config_pb2

MAX_CLASS_METRICS = 200
"""With more classes than this, precision and recall by class are left to the confusion matrix."""

Scope = Literal["images", "probabilities", "classes"]
"""What a metric is about: the labels of all images; the probabilities of all classes, each as a binary question; or
each class for itself, where there are not too many."""


@dataclass(frozen=True)
class Context:
    """What a metric may depend on."""

    accuracy_thresholds: Sequence[config_pb2.PerSliceMetricThreshold]
    """The first one is that of all images."""
    top_k: int
    class_count: int | None
    """None: not known before the run; then there are no metrics by class."""


Builder = Callable[[Context], config_pb2.MetricConfig]
_BUILDERS: dict[Scope, list[Builder]] = {scope: [] for scope in get_args(Scope)}


def build_metrics_specs(context: Context) -> list[config_pb2.MetricsSpec]:
    """Returns one MetricsSpec for each scope that has metrics."""
    options: dict[Scope, dict[str, object]] = {
        "images": {},
        "probabilities": {"aggregate": config_pb2.AggregationOptions(micro_average=True)},
    }
    if context.class_count and context.class_count <= MAX_CLASS_METRICS:
        by_class = config_pb2.BinarizationOptions(class_ids={"values": range(context.class_count)})
        options["classes"] = {"binarize": by_class}
    return [
        config_pb2.MetricsSpec(metrics=[build(context) for build in _BUILDERS[scope]], **option)
        for scope, option in options.items()
    ]


def register(scope: Scope) -> Callable[[Builder], Builder]:
    """Adds the metric that the decorated function builds."""

    def add(build: Builder) -> Builder:
        _BUILDERS[scope].append(build)
        return build

    return add


@register("images")
def build_accuracy(context: Context) -> config_pb2.MetricConfig:
    """The share of images whose most probable class is the label: the gate's thresholds stand here."""
    return config_pb2.MetricConfig(
        class_name="SparseCategoricalAccuracy", per_slice_thresholds=context.accuracy_thresholds
    )


@register("images")
def build_top_k_accuracy(context: Context) -> config_pb2.MetricConfig:
    """The share of images whose label is among the most probable classes."""
    return config_pb2.MetricConfig(
        class_name="SparseTopKCategoricalAccuracy",
        config=json.dumps({"k": context.top_k, "name": "top_k_accuracy"}),
    )


@register("images")
def build_loss(_: Context) -> config_pb2.MetricConfig:
    """The cross-entropy, without label smoothing."""
    return config_pb2.MetricConfig(class_name="SparseCategoricalCrossentropy")


@register("images")
def build_example_count(_: Context) -> config_pb2.MetricConfig:
    """The number of images."""
    return config_pb2.MetricConfig(class_name="ExampleCount")


@register("images")
def build_confusion_matrix(_: Context) -> config_pb2.MetricConfig:
    """Images by actual and predicted class."""
    # Threshold 0: the most probable class counts, however improbable it is.
    return config_pb2.MetricConfig(class_name="MultiClassConfusionMatrixPlot", config='{"thresholds": [0.0]}')


@register("probabilities")
def build_calibration(_: Context) -> config_pb2.MetricConfig:
    """Does a probability of 0.8 come true in 80 of 100 cases?"""
    return config_pb2.MetricConfig(class_name="CalibrationPlot")


@register("classes")
def build_precision(_: Context) -> config_pb2.MetricConfig:
    """The share of images predicted as the class that are of it."""
    return _build_by_top_class("Precision")


@register("classes")
def build_recall(_: Context) -> config_pb2.MetricConfig:
    """The share of the class's images that are predicted as it."""
    return _build_by_top_class("Recall")


def _build_by_top_class(name: str) -> config_pb2.MetricConfig:
    # top_k 1: an image counts for its most probable class; TFMA's default asks for a probability above 0.5.
    return config_pb2.MetricConfig(class_name=name, config=json.dumps({"top_k": 1}))

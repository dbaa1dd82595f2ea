"""The two gates, as TFMA configurations: metrics, slices and thresholds."""

import json
from collections.abc import Sequence

from tensorflow_model_analysis.proto import config_pb2

from components.evaluator.thresholds import OVERALL, on, overall
from components.tflite_exporter import materialised
from pipeline.config import config
from pipeline.fingerprint import of_code

_AGREEMENT = "components.tflite_exporter.agreement"

MAX_CLASS_METRICS = 200
"""With more classes than this, precision and recall by class are left to the confusion matrix."""


def saved_model(
    settings: config.Evaluator, *, label_key: str, text_labels: bool, class_count: int | None
) -> config_pb2.EvalConfig:
    """What the SavedModel is measured by, against labels and against the baseline.

    Args:
      settings: the section `evaluator`.
      label_key: raw feature with the label.
      text_labels: labels are strings: each model's own `transform_features` gives their ids.
      class_count: None if it is not known before the run; then there are no metrics by class.
    """
    metrics = [
        config_pb2.MetricConfig(
            class_name="SparseCategoricalAccuracy",
            per_slice_thresholds=[overall(lower=settings.min_accuracy, drop=settings.max_accuracy_drop)],
        ),
        config_pb2.MetricConfig(
            class_name="SparseTopKCategoricalAccuracy",
            config=json.dumps({"k": settings.top_k, "name": "top_k_accuracy"}),
        ),
        config_pb2.MetricConfig(class_name="SparseCategoricalCrossentropy"),
        config_pb2.MetricConfig(class_name="ExampleCount"),
        # Threshold 0: the most probable class counts, however improbable it is.
        config_pb2.MetricConfig(class_name="MultiClassConfusionMatrixPlot", config='{"thresholds": [0.0]}'),
    ]
    specs = [
        config_pb2.MetricsSpec(metrics=metrics),
        # Probabilities of all classes as one binary question: does 0.8 come true in 80 of 100 cases?
        config_pb2.MetricsSpec(
            metrics=[config_pb2.MetricConfig(class_name="CalibrationPlot")],
            aggregate=config_pb2.AggregationOptions(micro_average=True),
        ),
    ]
    if class_count and class_count <= MAX_CLASS_METRICS:
        by_class = config_pb2.BinarizationOptions(class_ids={"values": range(class_count)})
        # top_k 1: a picture counts for its most probable class; TFMA's default asks for a probability above 0.5.
        by_top_class = [
            config_pb2.MetricConfig(class_name=name, config=json.dumps({"top_k": 1}))
            for name in ("Precision", "Recall")
        ]
        specs.append(config_pb2.MetricsSpec(metrics=by_top_class, binarize=by_class))
    return config_pb2.EvalConfig(
        model_specs=[
            config_pb2.ModelSpec(
                signature_name="serving_default",
                prediction_key="probabilities",
                label_key="label_xf" if text_labels else label_key,
                model_type="tf_generic",
                preprocessing_function_names=["transform_features"] if text_labels else [],
            )
        ],
        metrics_specs=specs,
        slicing_specs=_slices(settings.slices),
    )


def tflite(settings: config.TFLite, variant: str) -> config_pb2.EvalConfig:
    """What a TFLite variant is measured by, against the SavedModel on the same images."""

    def model(name: str, prediction_key: str) -> config_pb2.ModelSpec:
        return config_pb2.ModelSpec(
            name=name,
            is_baseline=name == "baseline",
            model_type="materialized_prediction",
            prediction_key=prediction_key,
            label_key=materialised.LABEL,
        )

    by_label = config_pb2.SlicingSpec(feature_keys=[materialised.LABEL])
    return config_pb2.EvalConfig(
        model_specs=[
            model("candidate", materialised.probabilities_key(variant)),
            model("baseline", materialised.SAVED_MODEL_PROBABILITIES),
        ],
        metrics_specs=[
            config_pb2.MetricsSpec(
                metrics=[
                    config_pb2.MetricConfig(
                        class_name="SparseCategoricalAccuracy",
                        per_slice_thresholds=[
                            overall(drop=settings.max_accuracy_drop),
                            on(by_label, drop=settings.max_slice_accuracy_drop),
                        ],
                    ),
                    config_pb2.MetricConfig(
                        module=_AGREEMENT,
                        class_name="Agreement",
                        config=json.dumps(
                            {"feature_key": materialised.agrees_key(variant), "code": of_code(_AGREEMENT)}
                        ),
                        per_slice_thresholds=[overall(lower=1 - settings.max_disagreement)],
                    ),
                    config_pb2.MetricConfig(class_name="ExampleCount"),
                ]
            )
        ],
        slicing_specs=[OVERALL, by_label],
    )


def _slices(features: Sequence[str]) -> list[config_pb2.SlicingSpec]:
    return [OVERALL, *(config_pb2.SlicingSpec(feature_keys=[feature]) for feature in features)]

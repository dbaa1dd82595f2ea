"""The two gates, as TFMA configurations: metrics, slices and thresholds."""

import json
from collections.abc import Sequence

from tensorflow_model_analysis.proto import config_pb2

from components.evaluator import metrics
from components.evaluator.thresholds import OVERALL, build_threshold
from components.tflite_exporter import materialized

AGREEMENT_MODULE = "components.tflite_exporter.agreement"


def build_saved_model_gate(
    *,
    min_accuracy: float,
    max_accuracy_drop: float,
    min_slice_accuracy: float,
    top_k: int,
    slices: Sequence[str],
    label_key: str,
    text_labels: bool,
    class_count: int | None,
) -> config_pb2.EvalConfig:
    """Says what the SavedModel is measured by, against labels and against the baseline.

    Args:
      min_accuracy: least accuracy over all images, 0 to 1.
      max_accuracy_drop: most that the accuracy may lie below the baseline's, 0 to 1.
      min_slice_accuracy: least accuracy on each value of each feature in `slices`, 0 to 1; 0 asks for none.
      top_k: the top-k accuracy's k.
      slices: features whose values are measured one by one.
      label_key: raw feature with the label.
      text_labels: labels are strings: each model's own `transform_features` gives their ids.
      class_count: None if it is not known before the run; then there are no metrics by class.
    """
    sliced = [config_pb2.SlicingSpec(feature_keys=[feature]) for feature in slices]
    thresholds = [build_threshold(lower=min_accuracy, drop=max_accuracy_drop)]
    if min_slice_accuracy:
        thresholds += [build_threshold(spec, lower=min_slice_accuracy) for spec in sliced]
    context = metrics.Context(thresholds, top_k, class_count)
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
        metrics_specs=metrics.build_metrics_specs(context),
        slicing_specs=[OVERALL, *sliced],
    )


def build_tflite_gate(
    variant: str,
    *,
    max_accuracy_drop: float,
    max_slice_accuracy_drop: float,
    max_disagreement: float,
    agreement_code: str,
) -> config_pb2.EvalConfig:
    """Says what a TFLite variant is measured by, against the SavedModel on the same images.

    Args:
      variant: `float`, `dynamic` or `int8`.
      max_accuracy_drop: most that the accuracy may lie below the SavedModel's, 0 to 1.
      max_slice_accuracy_drop: likewise on each label.
      max_disagreement: largest share of images whose top class differs from the SavedModel's.
      agreement_code: fingerprint of `AGREEMENT_MODULE`, so that the Evaluator's cache notices an edit.
    """

    def build_model(name: str, prediction_key: str) -> config_pb2.ModelSpec:
        return config_pb2.ModelSpec(
            name=name,
            is_baseline=name == "baseline",
            model_type="materialized_prediction",
            prediction_key=prediction_key,
            label_key=materialized.LABEL,
        )

    by_label = config_pb2.SlicingSpec(feature_keys=[materialized.LABEL])
    return config_pb2.EvalConfig(
        model_specs=[
            build_model("candidate", materialized.name_probabilities(variant)),
            build_model("baseline", materialized.SAVED_MODEL_PROBABILITIES),
        ],
        metrics_specs=[
            config_pb2.MetricsSpec(
                metrics=[
                    config_pb2.MetricConfig(
                        class_name="SparseCategoricalAccuracy",
                        per_slice_thresholds=[
                            build_threshold(drop=max_accuracy_drop),
                            build_threshold(by_label, drop=max_slice_accuracy_drop),
                        ],
                    ),
                    config_pb2.MetricConfig(
                        module=AGREEMENT_MODULE,
                        class_name="Agreement",
                        config=json.dumps(
                            {"feature_key": materialized.name_agreement(variant), "code": agreement_code}
                        ),
                        per_slice_thresholds=[build_threshold(lower=1 - max_disagreement)],
                    ),
                    config_pb2.MetricConfig(class_name="ExampleCount"),
                ]
            )
        ],
        slicing_specs=[OVERALL, by_label],
    )

"""Thresholds of a gate, as TFMA has them."""

from tensorflow_model_analysis.proto import config_pb2

OVERALL = config_pb2.SlicingSpec()
"""The slice of all examples."""

_EXACT = 1e-6
"""Slack of the thresholds: metrics come as float32, and a bound that is met exactly is met."""
_ACCURACY = "SparseCategoricalAccuracy"


def build_threshold(
    slices: config_pb2.SlicingSpec = OVERALL, *, lower: float | None = None, drop: float | None = None
) -> config_pb2.PerSliceMetricThreshold:
    """Builds a threshold on each of `slices`: at least `lower`, and at most `drop` below the baseline.

    A metric's plain `threshold` would hold on every slice alike.
    """
    threshold = config_pb2.MetricThreshold()
    if lower is not None:
        threshold.value_threshold.lower_bound.value = lower - _EXACT
    if drop is not None:
        threshold.change_threshold.absolute.value = -drop - _EXACT
        threshold.change_threshold.direction = config_pb2.MetricDirection.HIGHER_IS_BETTER
    return config_pb2.PerSliceMetricThreshold(slicing_specs=[slices], threshold=threshold)


def apply_thresholds(config: config_pb2.EvalConfig, *, lower: float, drop: float) -> None:
    """Replaces the accuracy's first threshold in `config`.

    Raises:
      ValueError: the accuracy has none.
    """
    for spec in config.metrics_specs:
        for metric in spec.metrics:
            if metric.class_name == _ACCURACY and metric.per_slice_thresholds:
                metric.per_slice_thresholds[0].CopyFrom(build_threshold(lower=lower, drop=drop))
                return
    raise ValueError(f"eval_config has no threshold on {_ACCURACY}")

"""Thresholds of a gate, as TFMA has them."""

from tensorflow_model_analysis.proto import config_pb2

OVERALL = config_pb2.SlicingSpec()
"""The slice of all examples."""

_EXACT = 1e-6
"""Slack of the thresholds: metrics come as float32, and a bound that is met exactly is met."""
_ACCURACY = "SparseCategoricalAccuracy"


def overall(*, lower: float | None = None, drop: float | None = None) -> config_pb2.PerSliceMetricThreshold:
    """A threshold over all examples. A metric's plain `threshold` would hold on every slice alike."""
    return on(OVERALL, lower=lower, drop=drop)


def on(
    slices: config_pb2.SlicingSpec, *, lower: float | None = None, drop: float | None = None
) -> config_pb2.PerSliceMetricThreshold:
    """On each of `slices`: at least `lower`, and at most `drop` below the baseline."""
    threshold = config_pb2.MetricThreshold()
    if lower is not None:
        threshold.value_threshold.lower_bound.value = lower - _EXACT
    if drop is not None:
        threshold.change_threshold.absolute.value = -drop - _EXACT
        threshold.change_threshold.direction = config_pb2.MetricDirection.HIGHER_IS_BETTER
    return config_pb2.PerSliceMetricThreshold(slicing_specs=[slices], threshold=threshold)


def of_accuracy(config: config_pb2.EvalConfig) -> config_pb2.PerSliceMetricThreshold:
    """The place in `config` where the accuracy's first threshold stands.

    Raises:
      ValueError: the accuracy has none.
    """
    for spec in config.metrics_specs:
        for metric in spec.metrics:
            if metric.class_name == _ACCURACY and metric.per_slice_thresholds:
                return metric.per_slice_thresholds[0]
    raise ValueError(f"eval_config has no threshold on {_ACCURACY}")

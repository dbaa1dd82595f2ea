"""A TFMA metric: on which share of the images do two models give the same class?

TFMA's flip-rate metrics count by class (2/C of the share for C classes), take a change threshold
only, and are wrong with several Beam workers; its `Mean` of a feature is right, but drops the name of
the model, so that no threshold finds it. This is that mean under each model's name.
"""

from collections.abc import Sequence

from tensorflow_model_analysis import constants
from tensorflow_model_analysis.metrics import metric_types, stats


class Agreement(metric_types.Metric):
    """Mean of a feature that is 1 where the models agree, else 0; lies in [0, 1]."""

    def __init__(self, feature_key: str, name: str = "agreement", code: str = "") -> None:
        """Made by TFMA from an EvalConfig.

        Args:
          feature_key: the feature's name.
          name: the metric's name.
          code: fingerprint of this module, so that the Evaluator's cache notices an edit.
        """
        del code
        super().__init__(_build_computations, feature_key=feature_key, name=name)


def _build_computations(
    feature_key: str, name: str, model_names: Sequence[str] | None = None, example_weighted: bool = False
) -> metric_types.MetricComputations:
    mean = stats.Mean([constants.FEATURES_KEY, feature_key], name=f"_{name}").computations()
    (mean_key,) = mean[0].keys
    keys = [
        metric_types.MetricKey(name=name, model_name=model, example_weighted=example_weighted)
        for model in model_names or [""]
    ]

    def copy_to_each_model(metrics: dict[metric_types.MetricKey, float]) -> dict[metric_types.MetricKey, float]:
        return dict.fromkeys(keys, metrics[mean_key])

    return [*mean, metric_types.DerivedMetricComputation(keys=keys, result=copy_to_each_model)]


metric_types.register_metric(Agreement)

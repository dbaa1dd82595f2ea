"""Drift, for Prometheus: the effect sizes of the last requests, and the limits above which they matter."""

from collections.abc import Callable, Iterable

from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from serving.monitor.drift_watch import PREDICTIONS, Effect


class DriftMetrics(Collector):
    """The metrics of one watch; properties without data have none."""

    def __init__(self, list_effects: Callable[[], Iterable[Effect]]) -> None:
        """Publishes what `list_effects` returns at each scrape."""
        self._list_effects = list_effects

    def collect(self) -> Iterable[Metric]:
        """Returns the metrics of the last window."""
        known = [each for each in self._list_effects() if each.size is not None and each.limit is not None]
        of_classes, of_images = "drift of the predicted classes, in bits", "drift of a property of the images"
        for name, text, value in (("", "Effect size of the", "size"), ("_limit", "What matters of the", "limit")):
            predictions = GaugeMetricFamily(f"atelier_prediction_drift{name}", f"{text} {of_classes}.")
            inputs = GaugeMetricFamily(f"atelier_input_drift{name}", f"{text} {of_images}.", labels=("feature",))
            for effect in known:
                if effect.name == PREDICTIONS:
                    predictions.add_metric((), getattr(effect, value))
                else:
                    inputs.add_metric((effect.name,), getattr(effect, value))
            yield predictions
            yield inputs

    def describe(self) -> Iterable[Metric]:
        """Returns nothing, so that registering asks nobody."""
        return ()

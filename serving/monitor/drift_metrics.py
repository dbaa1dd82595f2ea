"""Drift, for Prometheus: the effect sizes of the last requests, and the limits above which they matter."""

import threading
from collections.abc import Iterable

from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from serving.monitor.drift_watch import PREDICTIONS, Effect


class DriftMetrics(Collector):
    """The metrics of one watch; properties without data have none."""

    def __init__(self) -> None:
        """Has seen nothing yet."""
        self._lock = threading.Lock()
        self._effects: list[Effect] = []

    def note(self, effects: Iterable[Effect]) -> None:
        """Takes the effects of a window, in place of those before."""
        with self._lock:
            self._effects = list(effects)

    def collect(self) -> Iterable[Metric]:
        """Returns the metrics of the last window."""
        with self._lock:
            known = [each for each in self._effects if each.size is not None and each.limit is not None]
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
        """Returns nothing: there is nothing before the first window."""
        return ()

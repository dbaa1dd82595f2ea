"""Metrics of the local server, for Prometheus: what `atelier serve --metrics-port` publishes."""

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from serving.client.messages import LABEL, PROBABILITIES
from serving.monitor.metrics.endpoint import Published
from serving.monitor.metrics.traffic import MAX_CLASSES, Traffic
from serving.server.observer import ServedCall, VersionState

QUEUE_BUCKETS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
"""Seconds. A lone request waits for batch_timeout_micros, 2 ms in our file; a long queue is as slow as its calls."""
_CLASSES, _SCORES = "classes", "scores"
"""Outputs of a signature for Classify."""


class ServerMetrics(Published):
    """Counts what a server does; an `observer` of it.

    Attributes:
      registry: that the metrics are in.
    """

    def __init__(self, registry: CollectorRegistry | None = None, *, max_classes: int = MAX_CLASSES) -> None:
        """Registers the metrics.

        Args:
          registry: None makes one of its own, with the metrics of the process.
          max_classes: names of classes for each model; the others are counted as `other`.

        Raises:
          MonitorError: the registry has these metrics already.
        """
        self._traffic = Traffic("server", registry, max_classes)
        super().__init__(self._traffic.registry)
        self._queue = self._traffic.add(
            Histogram,
            "atelier_server_queue_duration_seconds",
            "Time that requests waited for their batch.",
            ("model", "version"),
            buckets=QUEUE_BUCKETS,
        )

    def watch_versions(self, list_states: Callable[[], Iterable[VersionState]]) -> None:
        """Publishes the states and labels of versions from now on; `list_states` is asked at each scrape."""
        self.registry.register(_Versions(list_states))

    def note_call(self, call: ServedCall) -> None:
        """Counts a call."""
        version = "" if call.version is None else str(call.version)
        self._traffic.count_call((call.model, version), call.method, call.code.name, call.seconds)

    def note_batch(self, model: str, version: int, rows: int, waits: Sequence[float]) -> None:
        """Counts a run of a model."""
        where = (model, str(version))
        self._traffic.count_batch(where, rows)
        for seconds in waits:
            self._queue.labels(*where).observe(seconds)

    def note_outputs(self, model: str, version: int, outputs: Mapping[str, np.ndarray]) -> None:
        """Counts the classes of a request; outputs of other signatures than a classifier's are passed over."""
        if outputs.keys() >= {LABEL, PROBABILITIES}:
            labels, scores = outputs[LABEL], outputs[PROBABILITIES]
        elif outputs.keys() >= {_CLASSES, _SCORES}:
            classes, scores = outputs[_CLASSES], outputs[_SCORES]
            labels = classes[np.arange(len(classes)), scores.argmax(axis=1)]
        else:
            return
        where = (model, str(version))
        for label, row in zip(labels, scores, strict=True):
            if np.isfinite(row).all():
                self._traffic.count_prediction(where, label.decode("utf-8", "replace"), float(row.max()))
            else:
                self._traffic.count_unusable(where)


class _Versions(Collector):
    """The states and labels of versions, as they are at the time of a scrape."""

    def __init__(self, list_states: Callable[[], Iterable[VersionState]]) -> None:
        self._list_states = list_states

    def collect(self) -> Iterable[Metric]:
        state = GaugeMetricFamily(
            "atelier_server_version_state", "1 for the state of a version.", labels=("model", "version", "state")
        )
        label = GaugeMetricFamily(
            "atelier_server_version_label", "1 for the version of a label.", labels=("model", "version", "label")
        )
        for each in self._list_states():
            state.add_metric((each.model, str(each.version), each.state), 1)
            for name in each.labels:
                label.add_metric((each.model, str(each.version), name), 1)
        yield state
        yield label

    def describe(self) -> Iterable[Metric]:
        """Returns nothing, so that registering asks no server."""
        return ()

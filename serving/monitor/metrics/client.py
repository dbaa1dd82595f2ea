"""Metrics of the client library, for Prometheus.

    from serving.client import Client
    from serving.monitor.metrics import ClientMetrics

    metrics = ClientMetrics()
    with metrics.publish(9464), Client("localhost:8500", observer=metrics) as client:
        client.predict(["cat.jpg"])

`AsyncClient`, `StylizerClient` and both split clients take the same `observer`; several clients may share one.
"""

from collections.abc import Sequence
from typing import Self

from prometheus_client import CollectorRegistry

from serving.client.observer import Call
from serving.client.predictions import Answer, Prediction
from serving.monitor.metrics.endpoint import Published
from serving.monitor.metrics.traffic import MAX_CLASSES, Traffic


class ClientMetrics(Published):
    """Counts the calls of clients; an `observer` of theirs.

    Attributes:
      registry: that the metrics are in.
    """

    def __init__(self, registry: CollectorRegistry | None = None, *, max_classes: int = MAX_CLASSES) -> None:
        """Registers the metrics.

        Args:
          registry: of the application; None makes one of its own, with the metrics of the process.
          max_classes: names of classes for each model; the others are counted as `other`.

        Raises:
          MonitorError: the registry has these metrics already.
        """
        self._traffic = Traffic("client", registry, max_classes, extra=["arm"])
        super().__init__(self._traffic.registry)
        self._arm = ""

    def for_arm(self, arm: str) -> Self:
        """Returns an observer for one arm of an A/B test; the metrics are the same."""
        bound = self.__class__.__new__(self.__class__)
        bound.__dict__.update(self.__dict__, _arm=arm)
        return bound

    def note_call(self, call: Call) -> None:
        """Counts a call."""
        version = "" if call.version is None else str(call.version)
        self._traffic.count_call((call.model, version, self._arm), call.method, call.code.name, call.seconds)

    def note_answers(self, model: str, version: int, answers: Sequence[Answer]) -> None:
        """Counts the answers of a call."""
        where = (model, str(version), self._arm)
        self._traffic.count_batch(where, len(answers))
        for answer in answers:
            if isinstance(answer, Prediction):
                self._traffic.count_prediction(where, answer.label, answer.probability)
            else:
                self._traffic.count_unusable(where)

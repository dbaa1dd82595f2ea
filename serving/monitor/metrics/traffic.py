"""What client and server count alike: calls, batches, predicted classes and their probabilities.

Every label is bounded: models are those that are asked or served, versions are the last few, and classes beyond a
number share one name.
"""

import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector

from serving.monitor.errors import MonitorError

MAX_CLASSES = 100
"""Names of classes for each model; a process's memory and a scrape's size grow with them."""
MAX_VERSIONS = 10
"""Of each model; the one that was not seen for longest leaves first."""
OTHER = "other"
"""The class under which those beyond the bound are counted."""
DURATION_BUCKETS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
"""Seconds. An image takes a few milliseconds on a GPU, a batch of large ones seconds on a CPU; 30 s is the client's
default deadline."""
BATCH_BUCKETS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0)
"""Images: the sizes to which batches are padded."""
CONFIDENCE_BUCKETS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0)
"""Probabilities: finer at the end, where those of a trained classifier are."""


class Traffic:
    """The metrics of one side; threads may share it."""

    def __init__(
        self, side: str, registry: CollectorRegistry | None, max_classes: int, extra: Sequence[str] = ()
    ) -> None:
        """Registers the metrics.

        Args:
          side: client or server; a part of every name.
          registry: None makes one of its own, with the metrics of the process.
          max_classes: see `MAX_CLASSES`.
          extra: labels besides model and version.

        Raises:
          MonitorError: the registry has these metrics already.
        """
        self.registry = registry or CollectorRegistry()
        self._max_classes = max_classes
        self._lock = threading.Lock()
        self._classes: dict[str, set[str]] = {}
        self._versions: dict[str, OrderedDict[str, None]] = {}
        self._by_version: list[Any] = []
        where = ("model", "version", *extra)
        prefix = f"atelier_{side}"
        try:
            if registry is None:
                ProcessCollector(registry=self.registry)
            self._requests = self.add(
                Counter, f"{prefix}_requests", "Calls by the status that they ended with.", (*where, "method", "code")
            )
            self._duration = self.add(
                Histogram,
                f"{prefix}_request_duration_seconds",
                "Wall time of calls, failed ones too.",
                (*where, "method"),
                buckets=DURATION_BUCKETS,
            )
            self._batch = self.add(
                Histogram, f"{prefix}_batch_images", "Images in a batch.", where, buckets=BATCH_BUCKETS
            )
            self._predictions = self.add(
                Counter, f"{prefix}_predictions", "Images by the class that they were given.", (*where, "class")
            )
            self._confidence = self.add(
                Histogram,
                f"{prefix}_confidence_ratio",
                "Probability of the predicted class.",
                where,
                buckets=CONFIDENCE_BUCKETS,
            )
            self._unusable = self.add(
                Counter, f"{prefix}_unusable_answers", "Images for which the model gave NaN or infinity.", where
            )
        except ValueError as error:
            raise MonitorError(
                f"the registry has metrics of this name already ({error}): make one for each registry, and share it "
                "among all clients"
            ) from None

    def count_call(self, where: Sequence[str], method: str, code: str, seconds: float) -> None:
        """Counts a call; `where` has the values of model, version ("": it did not get that far), and the extras."""
        self._note_version(where[0], where[1])
        self._requests.labels(*where, method, code).inc()
        self._duration.labels(*where, method).observe(seconds)

    def count_batch(self, where: Sequence[str], images: int) -> None:
        """Counts a batch."""
        self._batch.labels(*where).observe(images)

    def count_prediction(self, where: Sequence[str], label: str, probability: float) -> None:
        """Counts the class of an image."""
        self._predictions.labels(*where, self._limit_classes(where[0], label)).inc()
        self._confidence.labels(*where).observe(probability)

    def count_unusable(self, where: Sequence[str]) -> None:
        """Counts an image without a class."""
        self._unusable.labels(*where).inc()

    def add(self, kind: type, name: str, text: str, labels: Sequence[str], **options: Any) -> Any:
        """Registers a metric that has the labels model and version, and returns it."""
        metric = kind(name, text, labels, registry=self.registry, **options)
        self._by_version.append(metric)
        return metric

    def _limit_classes(self, model: str, label: str) -> str:
        known = self._classes.setdefault(model, set())
        if label not in known:
            with self._lock:
                if len(known) >= self._max_classes:
                    return OTHER
                known.add(label)
        return label

    def _note_version(self, model: str, version: str) -> None:
        if not version:
            return
        with self._lock:
            seen = self._versions.setdefault(model, OrderedDict())
            seen[version] = None
            seen.move_to_end(version)
            if len(seen) > MAX_VERSIONS:
                oldest, _ = seen.popitem(last=False)
                for metric in self._by_version:
                    metric.remove_by_labels({"model": model, "version": oldest})

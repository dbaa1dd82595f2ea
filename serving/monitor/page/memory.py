"""The memory of a server's process, from its endpoint for Prometheus."""

import time
import urllib.error
import urllib.request
from collections import deque

from prometheus_client.parser import text_string_to_metric_families

METRIC = "process_resident_memory_bytes"
_TIMEOUT_S = 2.0
_MOST_BYTES = 4 << 20
_KEPT = 20_000


class MemoryScrape:
    """Asks an endpoint for the resident memory.

    Attributes:
      points: (Unix time, bytes), oldest first.
      problem: why there is no value now; "": there is.
    """

    def __init__(self, url: str) -> None:
        """Takes the endpoint's URL."""
        self._url = url
        self.points: deque[tuple[float, float]] = deque(maxlen=_KEPT)
        self.problem = ""
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def ask(self) -> None:
        """Adds a point, or notes the problem."""
        try:
            with self._opener.open(self._url, timeout=_TIMEOUT_S) as response:
                text = response.read(_MOST_BYTES).decode("utf-8")
            for family in text_string_to_metric_families(text):
                if family.name == METRIC and family.samples:
                    self.points.append((time.time(), float(family.samples[0].value)))
                    self.problem = ""
                    return
            self.problem = f"{self._url}: has no {METRIC}"
        except (OSError, ValueError) as error:
            why = error.reason if isinstance(error, urllib.error.URLError) else error
            self.problem = f"{self._url}: cannot be read: {why}"

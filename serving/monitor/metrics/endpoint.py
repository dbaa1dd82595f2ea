"""The HTTP endpoint that Prometheus scrapes."""

import threading
from typing import Self

from prometheus_client import CollectorRegistry, start_http_server

from serving.monitor.errors import MonitorError

LOOPBACK = "127.0.0.1"


class Endpoint:
    """A running endpoint. Close it, or leave its `with` block.

    Attributes:
      url: of the metrics.
      port: that it listens on.
    """

    def __init__(self, registry: CollectorRegistry, port: int, host: str = LOOPBACK) -> None:
        """Starts to answer, on a daemon thread.

        Args:
          registry: whose metrics are published.
          port: 0 takes a free one.
          host: address to listen on. Whoever reaches it may read the metrics, the names of classes among them.

        Raises:
          MonitorError: the address cannot be used.
        """
        try:
            self._server, self._thread = start_http_server(port, host, registry)
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise MonitorError(
                f"metrics: {host}:{port} cannot be listened on: {reason}; give another port, or 0 for a free one"
            ) from None
        self.port: int = self._server.server_port
        self.url = f"http://{f'[{host}]' if ':' in host else host}:{self.port}/metrics"
        self._closed = threading.Event()

    def close(self) -> None:
        """Stops to answer."""
        if not self._closed.is_set():
            self._closed.set()
            self._server.shutdown()
            self._server.server_close()
            self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


class Published:
    """Metrics that this process can publish.

    Attributes:
      registry: that the metrics are in.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        """Takes the registry."""
        self.registry = registry

    def publish(self, port: int, host: str = LOOPBACK) -> Endpoint:
        """Starts an endpoint of this process for Prometheus.

        Args:
          port: 0 takes a free one.
          host: address to listen on.

        Raises:
          MonitorError: the address cannot be used.
        """
        return Endpoint(self.registry, port, host)

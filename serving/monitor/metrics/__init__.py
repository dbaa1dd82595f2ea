"""What Prometheus scrapes, a module for each source: client, server, log of answers, drift, guard.

`ClientMetrics` is for programs that use the client: `from serving.monitor.metrics import ClientMetrics`.
"""

from serving.monitor.metrics.client import ClientMetrics

__all__ = ["ClientMetrics"]

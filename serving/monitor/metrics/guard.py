"""What the guard of an A/B test saw at its last look, for Prometheus: verdict, E-value, arms, versions of servers."""

import threading
import time
from collections.abc import Iterable, Mapping
from typing import Any

from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from serving.ab.verdict import NO_DATA, PROMOTE, ROLL_BACK, WAIT

VERDICTS = (PROMOTE, ROLL_BACK, WAIT, NO_DATA)


class GuardMetrics(Collector):
    """The metrics of one guard; there is nothing to scrape before its first look."""

    def __init__(self) -> None:
        """Has seen nothing yet."""
        self._lock = threading.Lock()
        self._metrics: list[Metric] = []

    def note(self, numbers: Mapping[str, Any], servers: Mapping[str, Mapping[int, str] | None]) -> None:
        """Takes what a look came to.

        Args:
          numbers: of the verdict, as `serving.ab.verdict.to_json` has them; without a test `verdict` is all there is.
          servers: the states of the versions by target; None: the server does not answer.
        """
        metrics = [*_describe_verdict(numbers), *_describe_servers(servers)]
        with self._lock:
            self._metrics = metrics

    def collect(self) -> Iterable[Metric]:
        """Returns the metrics of the last look."""
        with self._lock:
            return list(self._metrics)

    def describe(self) -> Iterable[Metric]:
        """Returns nothing: there is nothing before the first look."""
        return ()


def _describe_verdict(numbers: Mapping[str, Any]) -> Iterable[Metric]:
    yield GaugeMetricFamily("atelier_ab_look_timestamp_seconds", "When the guard looked last.", time.time())
    verdict = GaugeMetricFamily("atelier_ab_verdict", "1 for the verdict, 0 for the others.", labels=("verdict",))
    for name in VERDICTS:
        verdict.add_metric((name,), float(name == numbers["verdict"]))
    yield verdict
    if "e_value" in numbers:
        yield GaugeMetricFamily("atelier_ab_e_value", "E-value of the errors.", numbers["e_value"])
    requests = GaugeMetricFamily("atelier_ab_requests", "Requests of the test.", labels=("arm", "version"))
    errors = GaugeMetricFamily("atelier_ab_errors", "Failed and wrong ones of them.", labels=("arm", "version"))
    for arm, counted in numbers.get("arms", {}).items():
        where = (arm, str(counted["version"]))
        requests.add_metric(where, counted["requests"])
        errors.add_metric(where, counted["errors"])
    yield requests
    yield errors


def _describe_servers(servers: Mapping[str, Mapping[int, str] | None]) -> Iterable[Metric]:
    up = GaugeMetricFamily("atelier_ab_server_up", "1 if the server tells its versions.", labels=("target",))
    state = GaugeMetricFamily(
        "atelier_ab_server_version_state", "1 for the state of a version.", labels=("target", "version", "state")
    )
    for target, states in servers.items():
        up.add_metric((target,), float(states is not None))
        for version, name in (states or {}).items():
            state.add_metric((target, str(version), name), 1)
    yield up
    yield state

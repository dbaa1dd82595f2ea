"""The work of `atelier ab guard`."""

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from atelier.errors import AtelierError
from pipeline.commands.ab.judging import judge_test
from serving.ab.answer_log import format_now
from serving.ab.judging import Report
from serving.ab.verdict import PROMOTE, ROLL_BACK, Rules
from serving.client import ServingError
from serving.registry.aliases import Registry
from serving.registry.errors import RegistryError
from serving.registry.history import describe_unfinished
from serving.registry.model_servers import ModelServer
from serving.registry.models_config import CANARY, STABLE

if TYPE_CHECKING:
    from serving.monitor.metrics.guard import GuardMetrics


def guard(
    registry: Registry,
    log: Path,
    rules: Rules,
    *,
    every: float,
    once: bool,
    advise: bool,
    metrics: "GuardMetrics | None" = None,
) -> None:
    """Looks and acts until the process is stopped.

    What goes wrong at one look is printed, and the next look tries again.

    Args:
      registry: with its servers.
      log: of the answers.
      rules: when a verdict is given.
      every: seconds between two looks.
      once: looks once only; what goes wrong is raised.
      advise: changes nothing.
      metrics: take what each look comes to.

    Raises:
      AtelierError: with `once`, or before the first look: there is no server to act on.
    """
    if not advise and not registry.servers:
        raise RegistryError("no server: name each server of the model with --target HOST:PORT, or take --advise")
    while True:
        try:
            _judge_once(registry, log, rules, advise, metrics)
        except AtelierError as error:
            if once:
                raise
            click.echo(f"atelier: {format_now()} {error}", err=True)
        if once:
            return
        time.sleep(every)


@contextlib.contextmanager
def publish_metrics(log: Path, port: int | None, host: str | None) -> Iterator["GuardMetrics | None"]:
    """Publishes the guard's metrics and the accuracy within the context; yields None without a port.

    Raises:
      MonitorError: the address cannot be used.
    """
    if port is None:
        yield None
        return
    from prometheus_client import CollectorRegistry, ProcessCollector

    from serving.monitor.metrics.answers import AnswerLogMetrics
    from serving.monitor.metrics.endpoint import LOOPBACK, Endpoint
    from serving.monitor.metrics.guard import GuardMetrics

    registry, metrics = CollectorRegistry(), GuardMetrics()
    ProcessCollector(registry=registry)
    registry.register(metrics)
    registry.register(AnswerLogMetrics(log))
    with Endpoint(registry, port, host or LOOPBACK) as endpoint:
        click.echo(f"metrics at {endpoint.url}")
        yield metrics


def _judge_once(registry: Registry, log: Path, rules: Rules, advise: bool, metrics: "GuardMetrics | None") -> None:
    if not advise and (settled := registry.settle()):
        click.echo(f"{format_now()} {describe_unfinished(settled)}; now it is {settled.outcome}")
    report = judge_test(registry, log, rules)
    click.echo(f"{format_now()} {report.verdict}: {'; '.join(report.reasons)}")
    if metrics:
        metrics.note(
            report.numbers, {server.target: _list_states(server, registry.model) for server in registry.servers}
        )
    if not advise:
        _apply_verdict(registry, report)


def _list_states(server: ModelServer, model: str) -> dict[int, str] | None:
    """Returns the states of a server's versions; None: it does not answer."""
    try:
        return {version: status.state for version, status in server.list_states(model).items()}
    except ServingError:
        return None


def _apply_verdict(registry: Registry, report: Report) -> None:
    if report.verdict not in (PROMOTE, ROLL_BACK):
        return
    aliases, arms = registry.read_aliases(), report.numbers["arms"]
    if (aliases.get(CANARY), aliases.get(STABLE)) != (report.canary, arms["control"]["version"]):
        click.echo(f"{format_now()} somebody else has moved an alias meanwhile; nothing was done")
        return
    why = f"guard: {'; '.join(report.reasons)}"
    if report.verdict == PROMOTE and report.canary is not None:
        change = registry.promote(report.canary, alias=STABLE, why=why, numbers=report.numbers)
    else:
        change = registry.roll_back(alias=CANARY, why=why, numbers=report.numbers)
    intent = change.intent
    click.echo(f"{format_now()} {intent.alias}: {intent.from_version} -> {intent.to_version}")

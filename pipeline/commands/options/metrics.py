"""Options of the verbs that publish metrics."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

_F = TypeVar("_F", bound=Callable[..., Any])


def metrics_options(function: _F) -> _F:
    """Adds --metrics-port and --metrics-host."""
    port = click.option(
        "--metrics-port",
        metavar="PORT",
        type=click.IntRange(0, 65535),
        help="Publish metrics for Prometheus on this port of 127.0.0.1. 0 takes a free one.",
    )
    host = click.option(
        "--metrics-host",
        metavar="HOST",
        help="Publish the metrics on this address instead, for a Prometheus on another machine.",
    )
    return port(host(function))


def check_metrics(context: click.Context) -> None:
    """Checks that what `metrics_options` added fits together.

    Raises:
      click.UsageError: --metrics-host alone.
    """
    if context.params["metrics_host"] is not None and context.params["metrics_port"] is None:
        raise click.UsageError("--metrics-host needs --metrics-port.", context)

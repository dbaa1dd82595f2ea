"""Options and types of values that several verbs share."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

_F = TypeVar("_F", bound=Callable[..., Any])

FILE = click.Path(path_type=Path)
"""A file or a folder; whether it is there is found out by the verb, which knows what to do if it is not."""


def add_config_option(
    text: str = "Read the configuration from this YAML file. It holds what differs from the defaults.",
) -> Callable[[_F], _F]:
    """Adds --config."""
    return click.option("--config", metavar="FILE", type=FILE, required=True, help=text)


def add_set_option(what: str, example: str) -> Callable[[_F], _F]:
    """Adds --set, which may be repeated."""
    text = f"Set {what}, as in {example}. Repeat the option for several values."
    return click.option("--set", "overrides", metavar="KEY=VALUE", multiple=True, help=text)


def add_beam_option(function: _F) -> _F:
    """Adds --beam, which may be repeated."""
    text = "Set a value of the section `beam`, as in runner=dask. Repeat the option for several values."
    return click.option("--beam", "beam", metavar="KEY=VALUE", multiple=True, help=text)(function)


class FiniteRange(click.FloatRange):
    """A number in a range; infinity and NaN, which pass every comparison, are none."""

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> float:
        """Returns the number."""
        number: float = super().convert(value, parameter, context)
        if not math.isfinite(number):
            self.fail(f"{value} is not a finite number.", parameter, context)
        return number


class Version(click.ParamType):
    """A model's version, written as the name of its folder."""

    name = "version"

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> int:
        """Returns the version's number."""
        from atelier.files import versions

        number = value if isinstance(value, int) else versions.parse_version(value)
        if number is None:
            self.fail(f"{value}: expected a version, an integer of at most 64 bits.", parameter, context)
        return number


class Target(click.ParamType):
    """The address of a model server."""

    name = "target"

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> str:
        """Returns the address as gRPC understands it."""
        from serving.client import target

        try:
            return target.check_target(value)
        except ValueError as error:
            self.fail(str(error), parameter, context)


def connection_options(function: _F) -> _F:
    """Adds what steers the connection with a model server; `work.connection` reads it."""
    add = (
        click.option(
            "--version", metavar="N", type=Version(), help="Ask the server for this version.  [default: the newest]"
        ),
        click.option("--label", help="Ask the server for the version with this label, such as stable."),
        click.option(
            "--deadline",
            metavar="SECONDS",
            type=FiniteRange(0.001, 86400),
            help="Wait at most this long for the answer to a request.  [default: 30]",
        ),
        click.option("--gzip", is_flag=True, help="Compress requests."),
        click.option("--tls", is_flag=True, help="Encrypt the connection. --ca and --cert imply it."),
        click.option(
            "--ca",
            metavar="FILE",
            type=FILE,
            help="Trust the authority in this PEM file to sign the server's certificate.",
        ),
        click.option(
            "--cert", metavar="FILE", type=FILE, help="Show the server the client certificate in this PEM file."
        ),
        click.option("--key", metavar="FILE", type=FILE, help="Use the private key of --cert in this PEM file."),
        click.option(
            "--max-message-mb",
            metavar="MB",
            type=click.IntRange(1, 2047),
            help="Send and take messages up to this size.  [default: 64]",
        ),
    )
    for option in reversed(add):
        function = option(function)
    return function


CONNECTION = ("version", "label", "deadline", "gzip", "tls", "ca", "cert", "key", "max_message_mb")
"""Names of the parameters that `connection_options` adds."""


def check_connection(context: click.Context) -> None:
    """Checks that what `connection_options` added fits together.

    Raises:
      click.UsageError: --version and --label, or one of --cert and --key alone.
    """
    check_exclusive(context, "version", "label")
    if (context.params["cert"] is None) != (context.params["key"] is None):
        raise click.UsageError("--cert and --key go together. Give both.", context)


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


def check_exclusive(context: click.Context, *names: str, required: bool = False) -> None:
    """Checks that at most one of several options is given.

    Args:
      context: of the verb.
      names: of the parameters.
      required: one must be given.

    Raises:
      click.UsageError: several are given, or none where one is required.
    """
    flags = {parameter.name: parameter.opts[0] for parameter in context.command.params}
    given = [flags[name] for name in names if context.params[name] is not None]
    if len(given) > 1:
        raise click.UsageError(f"{given[0]} and {given[1]} exclude each other. Give one of them.", context)
    if required and not given:
        raise click.UsageError(f"Give {' or '.join(flags[name] for name in names)}.", context)

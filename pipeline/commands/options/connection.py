"""Options of the verbs that ask a model server."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from pipeline.commands.options.exclusive import check_exclusive
from pipeline.commands.options.values import FILE, FiniteRange, Version

_F = TypeVar("_F", bound=Callable[..., Any])


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

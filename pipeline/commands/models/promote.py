"""`atelier models promote`: an alias points at another version."""

from typing import Any

import click

from pipeline.commands.models.model_options import move_options, open_registry, server_options, where_options
from pipeline.commands.options.values import Version
from pipeline.terminal.verb import ClientVerb


@click.command(
    cls=ClientVerb,
    name="promote",
    example="atelier models promote 1764202741 --models output/demo/serving_model --target localhost:8500",
    after_stop="; the next promote or rollback finishes or undoes the change",
)
@click.argument("version", metavar="VERSION", type=Version())
@where_options
@server_options
@move_options
def command(version: int, **options: Any) -> None:
    """Let an alias point at VERSION, on every server.

    The version is loaded first. The alias moves once every server has it. If a step fails, models.config and the
    servers are as before, and the exit code is 1. The version before stays loaded, so that a rollback takes no time.
    While there is no canary of its own, the alias canary goes with stable.
    """
    from pipeline.commands.models.moving import move

    with open_registry(options) as registry:
        move(registry, "promote", options["alias"], version, options["why"])

"""`atelier models rollback`: an alias goes back to the version before."""

from typing import Any

import click

from pipeline.commands.models.model_options import move_options, open_registry, server_options, where_options
from pipeline.commands.options.values import Version
from pipeline.terminal.verb import ClientVerb


@click.command(
    cls=ClientVerb,
    name="rollback",
    example="atelier models rollback --models output/demo/serving_model --target localhost:8500",
    after_stop="; the next promote or rollback finishes or undoes the change",
)
@click.option("--to", "version", metavar="VERSION", type=Version(), help="Go back to this version.")
@where_options
@server_options
@move_options
def command(version: int | None, **options: Any) -> None:
    """Let an alias point at the version before, on every server.

    For stable the history says which version that is; the canary goes back to stable. If a step fails,
    models.config and the servers are as before, and the exit code is 1.
    """
    from pipeline.commands.models.moving import move

    with open_registry(options) as registry:
        move(registry, "rollback", options["alias"], version, options["why"])

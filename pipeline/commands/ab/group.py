"""`atelier ab`: an A/B test of the canary against the stable version."""

import click

from pipeline.terminal.verb import LazyGroup


@click.group(
    cls=LazyGroup,
    name="ab",
    modules={"report": "pipeline.commands.ab.report", "guard": "pipeline.commands.ab.guard"},
)
def command() -> None:
    """Judge the canary by live traffic.

    The test stays valid however often one looks at it.
    """

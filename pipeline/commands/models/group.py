"""`atelier models`: the pushed versions, and the aliases that point at them."""

import click

from pipeline.terminal.verb import LazyGroup

_ROOM = "pipeline.commands.models"


@click.group(
    cls=LazyGroup,
    name="models",
    modules={
        "list": f"{_ROOM}.list_versions",
        "show": f"{_ROOM}.show",
        "compare": f"{_ROOM}.compare",
        "reference": f"{_ROOM}.reference",
        "promote": f"{_ROOM}.promote",
        "rollback": f"{_ROOM}.rollback",
        "history": f"{_ROOM}.history",
    },
)
def command() -> None:
    """List pushed versions, compare them, and decide which one serves.

    The aliases `stable` and `canary` are TensorFlow Serving's version labels. models.config holds them.
    """

"""`atelier studio`: images in styles, interactively, in a browser."""

from pathlib import Path

import click

from pipeline.commands.options.values import FILE
from pipeline.terminal.verb import Verb


@click.command(cls=Verb, name="studio", example="atelier studio", after_stop="; jobs go on at the next start")
@click.option(
    "--host",
    metavar="ADDRESS",
    default="127.0.0.1",
    show_default=True,
    help="Listen at this address. At any other than a loopback address, the page asks for a token, which is part of "
    "the printed URL.",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8800,
    show_default=True,
    help="Listen on this port. 0 takes a free one.",
)
@click.option(
    "--folder",
    metavar="DIR",
    type=FILE,
    default=Path("output/studio"),
    show_default=True,
    help="Keep jobs, images, own styles and presets in this folder.",
)
def command(host: str, port: int, folder: Path) -> None:
    """Render images in styles in a web page, and steer the renderer while it works.

    The page shows the one-pass result at once, and then what the optimizer makes of it. Jobs run one at a time, and go
    on where they were when the command is ended and started again.
    """
    from pipeline.commands.work.studio import serve_studio

    serve_studio(host, port, folder, click.echo)
    click.echo("atelier studio: stopped")

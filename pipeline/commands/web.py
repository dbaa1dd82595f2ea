"""`atelier web`: the pushed models in a browser."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipeline.commands.options.values import FILE
from pipeline.terminal.verb import Verb

if TYPE_CHECKING:
    from serving.web.models import Stylizer


@click.command(cls=Verb, name="web", example="atelier web --models output/demo")
@click.option(
    "--models",
    metavar="DIR",
    type=FILE,
    required=True,
    help="Show the TFLite models that a run has pushed below this output folder.",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8600,
    show_default=True,
    help="Listen on this port of the loopback address. 0 takes a free one.",
)
@click.option(
    "--export",
    "folder",
    metavar="DIR",
    type=FILE,
    help="Serve nothing, but write the page into this folder, for any static host.",
)
def command(models: Path, port: int, folder: Path | None) -> None:
    """Run the pushed models in a web page.

    The page classifies images, folders and what the camera sees, and restyles images. Models run in the browser, and
    images never leave the machine. The page is reached from this machine only. Where the run has pushed no stylizer,
    the built-in one restyles; --export writes pushed models only.
    """
    from serving.web import site

    if folder:
        from serving.web.export import export

        export(site.collect(models), folder)
        click.echo(f"atelier web: the page is in {folder}; serve it with the headers in {folder / '_headers'}")
        return
    from pipeline.commands.work import builtin_stylizer
    from serving.web import server

    def tell(address: str) -> None:
        click.echo(f"atelier web: open {address} in a browser; Ctrl-C or SIGTERM stops it")

    def load() -> "Stylizer":
        loaded = builtin_stylizer.load(lambda text: click.echo(f"atelier web: {text}", err=True))
        click.echo("atelier web: the run has pushed no stylizer: the page restyles with the built-in one")
        return loaded

    server.serve(site.Site(models, load), port, tell)
    click.echo("atelier web: stopped")

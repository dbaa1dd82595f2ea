"""`atelier styles`: catalogs of styles."""

from pathlib import Path

import click

from pipeline.commands.options import FILE
from pipeline.commands.verb import Verb


@click.group(name="styles")
def command() -> None:
    """Edit a catalog of styles."""


@command.command(
    cls=Verb,
    name="add",
    example="atelier styles add waves.jpg --title 'The great wave' --licence 'Public domain' "
    "--catalog styles/catalog.yaml",
)
@click.argument("file", metavar="FILE", type=FILE)
@click.option(
    "--catalog",
    metavar="FILE",
    type=FILE,
    default=Path("styles/catalog.yaml"),
    show_default=True,
    help="Add the style to this catalog. A catalog that is not there is made.",
)
@click.option("--title", required=True, help="Title of the work.")
@click.option("--licence", required=True, help="License, as the source states it, or its SPDX identifier.")
@click.option("--artist", default="", help="Name of the artist.")
@click.option("--year", default="", help="Year of the work.")
@click.option("--source", default="", help="Where the image is from, such as a URL or a museum.")
@click.option("--id", "style_id", metavar="ID", help="Id of the style.  [default: made from the title]")
def add(
    file: Path, catalog: Path, title: str, licence: str, artist: str, year: str, source: str, style_id: str | None
) -> None:
    """Add an image to a catalog of styles.

    FILE is the image. It is copied beside the catalog.
    """
    from components.style_catalog import adding

    style = adding.add_style(
        catalog, file, title=title, licence=licence, artist=artist, year=year or None, source=source, id=style_id
    )
    click.echo(f"{catalog}: {style.id}")

"""`atelier styles`: catalogs of styles."""

from pathlib import Path

import click

from pipeline.commands.options.values import FILE, FiniteRange
from pipeline.terminal.verb import Verb


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
    help="Add the style to this catalog. The catalog is created if it does not exist.",
)
@click.option("--title", required=True, help="Record this title of the work.")
@click.option("--licence", required=True, help="Record this license, as the source states it, or its SPDX identifier.")
@click.option("--artist", default="", help="Record the name of the artist.")
@click.option("--year", default="", help="Record the year of the work.")
@click.option("--source", default="", help="Record where the image is from, such as a URL or a museum.")
@click.option("--id", "style_id", metavar="ID", help="Give the style this id.  [default: made from the title]")
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


@command.command(
    cls=Verb,
    name="train",
    example="atelier styles train styles/catalog.yaml --content photos/ --output mine.npz",
    after_stop="; nothing was written",
)
@click.argument("catalog", metavar="CATALOG", type=str)
@click.option("--content", metavar="DIR", type=FILE, required=True, help="Train on the photographs in this folder.")
@click.option("--output", metavar="FILE", type=FILE, required=True, help="Write the stylizer into this file.")
@click.option(
    "--model", metavar="FILE", type=FILE, help="Extend the stylizer in this file.  [default: the base network]"
)
@click.option(
    "--style",
    "styles",
    metavar="ID",
    multiple=True,
    help="Add only this style. Repeat the option for several styles.",
)
@click.option(
    "--minutes", metavar="N", type=FiniteRange(0.05, 10_000), default=2.5, show_default=True, help="Train this long."
)
def train(
    catalog: str, content: Path, output: Path, model: Path | None, styles: tuple[str, ...], minutes: float
) -> None:
    """Teach the one-pass stylizer the styles of a catalog.

    CATALOG is a catalog.yaml or a folder of images. Only values of the new styles are trained, for some minutes; the
    styles that the stylizer has stay as they are.
    """
    from pipeline.commands.work.train_styles import train_styles

    click.echo(train_styles(catalog, content, output, model=model, ids=styles, minutes=minutes))

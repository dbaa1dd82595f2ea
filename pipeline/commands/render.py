"""`atelier render`: images in the styles of a catalog."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import click

from pipeline.commands.options.configuration import add_beam_option, add_set_option
from pipeline.commands.options.values import FILE, FiniteRange
from pipeline.terminal.verb import Verb


@click.command(
    cls=Verb,
    name="render",
    example="atelier render --content images/ --styles builtin --output gallery/ --size 768",
    after_stop="; finished images stay, and the next run renders the others",
)
@click.option(
    "--content",
    metavar="DIR|photos",
    type=click.Path(),
    required=True,
    help="Render the images of this folder. `photos` stands for three images from installed packages.",
)
@click.option(
    "--styles",
    metavar="DIR|CATALOG|builtin",
    type=click.Path(),
    required=True,
    help="Take the styles from this folder of images, from this catalog.yaml, or from the built-in catalog.",
)
@click.option(
    "--output",
    metavar="DIR",
    type=FILE,
    required=True,
    help="Write the gallery into this folder. Images that it already holds are not rendered again.",
)
@click.option(
    "--style",
    "ids",
    metavar="ID",
    multiple=True,
    help="Render only this style. Repeat the option for several styles.",
)
@click.option(
    "--engine",
    type=click.Choice(["fast", "finest", "refined"]),
    default="finest",
    show_default=True,
    help="Render in one pass of the stylizer, by optimization, or by optimization that starts from the one pass.",
)
@click.option(
    "--stylizer",
    metavar="FILE",
    type=FILE,
    help="Use the stylizer in this file with `fast` and `refined`.  [default: the base network]",
)
@click.option(
    "--size",
    metavar="PIXELS",
    type=click.IntRange(32, 32768),
    help="Render images whose longer side has this many pixels.  [default: the size that each style names]",
)
@click.option(
    "--strength",
    "strengths",
    metavar="0..1",
    type=FiniteRange(0, 1),
    multiple=True,
    help="Render at this strength: 0 is the content, 1 the style's preset in full. Repeat the option for several.",
)
@click.option(
    "--workers", metavar="N", type=click.IntRange(min=1), help="Same as --beam workers=N.  [default: 1 process]"
)
@add_beam_option
@click.option(
    "--max-bad-fraction",
    metavar="0..1",
    type=FiniteRange(0, 1),
    default=0.1,
    show_default=True,
    help="Exit with 1 if more than this share of the images cannot be rendered.",
)
@click.option(
    "--format",
    "image_format",
    type=click.Choice(["jpeg", "png"]),
    default="jpeg",
    show_default=True,
    help="Write images in this format.",
)
@add_set_option("a value of the section `style.settings`", "colors=match")
def command(
    content: str,
    styles: str,
    output: Path,
    ids: tuple[str, ...],
    engine: Literal["fast", "finest", "refined"],
    stylizer: Path | None,
    size: int | None,
    strengths: Sequence[float],
    workers: int | None,
    beam: tuple[str, ...],
    max_bad_fraction: float,
    image_format: Literal["jpeg", "png"],
    overrides: tuple[str, ...],
) -> None:
    """Render images in the styles of a catalog.

    It writes a gallery: the images, a contact sheet, a web page and a manifest.
    """
    if stylizer and engine == "finest":
        raise click.UsageError("the engine finest does not use --stylizer. Give --engine fast or refined.")

    from pipeline.config import config

    settings = config.load_rendering(overrides).model_dump(mode="json", exclude_unset=True)
    beam_settings = config.load_beam([*([f"workers={workers}"] if workers else []), *beam])

    from pipeline.commands.work import render_folder
    from pipeline.terminal.console import Console

    click.echo(
        render_folder.render_folder(
            content,
            styles,
            output,
            Console(),
            overrides=settings,
            ids=ids,
            engine=engine,
            stylizer=str(stylizer or ""),
            size=size,
            strengths=strengths,
            beam=beam_settings,
            image_format=image_format,
            max_bad_fraction=max_bad_fraction,
        )
    )

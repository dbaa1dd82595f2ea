"""`atelier stylize`: images restyled in one pass."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from atelier.layout import STYLIZE_SIZE, STYLIZER
from pipeline.commands.options.connection import CONNECTION, check_connection, connection_options
from pipeline.commands.options.exclusive import check_exclusive
from pipeline.commands.options.values import FILE, FiniteRange, Target
from pipeline.terminal.verb import ClientVerb


class StyleWeight(click.ParamType):
    """A style's id, with its weight in a blend behind a colon."""

    name = "style"

    def convert(
        self, value: Any, parameter: click.Parameter | None, context: click.Context | None
    ) -> tuple[str, float]:
        """Returns the id and the weight, which is 1 unless it is given."""
        if isinstance(value, tuple):
            return value
        style, colon, weight = value.partition(":")
        if not style:
            self.fail(f"{value!r}: expected ID or ID:WEIGHT.", parameter, context)
        return style, FiniteRange(min=0).convert(weight, parameter, context) if colon else 1.0


@click.command(
    cls=ClientVerb,
    name="stylize",
    example="atelier stylize photos/ --style cafe-terrace --strength 0.8 --output stylized",
    after_stop="; the images that are written stay",
)
@click.argument("images", metavar="IMAGE...", nargs=-1, required=True, type=FILE)
@click.option(
    "--style",
    "styles",
    metavar="ID[:WEIGHT]",
    type=StyleWeight(),
    multiple=True,
    required=True,
    help="Restyle in this style of the model. Repeat the option for a blend.",
)
@click.option(
    "--strength",
    metavar="X",
    type=FiniteRange(0, 1),
    default=1.0,
    show_default=True,
    help="Restyle this much: 0 gives the image back, 1 the style in full.",
)
@click.option("--output", metavar="DIR", type=FILE, required=True, help="Write the images into this folder, as JPEG.")
@click.option(
    "--target",
    metavar="HOST:PORT",
    type=Target(),
    help="Ask the server at this address, TensorFlow Serving or `atelier serve`.",
)
@click.option(
    "--model",
    metavar="PATH",
    type=FILE,
    help="Restyle with this model, without a server: a SavedModel, a folder of versions, whose newest is taken, or a "
    "stylizer's file.  [default: the base network; an unknown style id prints its styles]",
)
@click.option(
    "--size",
    metavar="PIXELS",
    type=click.IntRange(32, 8192),
    default=STYLIZE_SIZE,
    show_default=True,
    help="Scale larger images down to this longer side. Strokes keep their size in pixels.",
)
@click.option("--name", metavar="NAME", help="Ask the server for the model of this name.  [default: stylizer]")
@connection_options
@click.pass_context
def command(
    context: click.Context,
    /,
    images: Sequence[Path],
    styles: Sequence[tuple[str, float]],
    strength: float,
    output: Path,
    target: str | None,
    model: Path | None,
    size: int,
    **others: Any,
) -> int:
    """Restyle images in one pass of a network.

    IMAGE is a file, or a folder of files at any depth. An image in a folder keeps its place below the output folder.
    The exit code is 1 if an image cannot be restyled; standard error then names it.
    """
    weights = dict(styles)
    if len(weights) < len(styles):
        raise click.UsageError("a style is given twice. Give it once, with its weight.", context)
    check_exclusive(context, "target", "model")
    check_connection(context)
    if not target and (given := [name for name in ("name", *CONNECTION) if others[name]]):
        raise click.UsageError(f"--{given[0].replace('_', '-')} is for a server. Give --target, too.", context)

    from pipeline.commands.work import restylers
    from pipeline.commands.work.stylize_files import stylize_files

    if target:
        from pipeline.commands.work.connection import read_connection

        connection = read_connection(others, name=others["name"] or STYLIZER, target=target)
        return stylize_files(images, output, restylers.open_server(connection, weights, strength, size))
    return stylize_files(images, output, restylers.open_model(model, weights, strength, size))

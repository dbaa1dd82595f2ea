"""`atelier predict`: images to classes, from a server or from a TFLite file."""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipeline.commands.options.connection import CONNECTION, check_connection, connection_options
from pipeline.commands.options.exclusive import check_exclusive
from pipeline.commands.options.values import FILE, Target
from pipeline.terminal.verb import ClientVerb

if TYPE_CHECKING:
    from pipeline.commands.work.predict_files import Predictor

_OF_SERVERS = ("model", *CONNECTION)
"""Options that mean nothing to a TFLite file."""


@click.command(cls=ClientVerb, name="predict", example="atelier predict images/ --target localhost:8500 --top 3")
@click.argument("images", metavar="IMAGE...", nargs=-1, required=True, type=FILE)
@click.option(
    "--target",
    metavar="HOST:PORT",
    type=Target(),
    help="Ask the server at this address, TensorFlow Serving or `atelier serve`.  [default: localhost:8500]",
)
@click.option("--tflite", metavar="FILE", type=FILE, help="Ask no server, but this pushed model.tflite.")
@click.option(
    "--top", metavar="K", type=click.IntRange(min=1), default=1, show_default=True, help="Name this many classes."
)
@click.option(
    "--batch",
    metavar="N",
    type=click.IntRange(min=1),
    help="Send this many images in a request.  [default: 32]",
)
@click.option(
    "--as-is", is_flag=True, help="Send the original files. By default larger images are scaled down as for training."
)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list instead of a table.")
@click.option("--model", metavar="NAME", help="Ask the server for the model of this name.  [default: default]")
@connection_options
@click.pass_context
def command(context: click.Context, /, images: Sequence[Path], top: int, as_json: bool, **others: Any) -> int:
    """Classify images through a server or a TFLite file.

    IMAGE is a file, or a folder of files at any depth. The exit code is 1 if an image cannot be predicted; standard
    error then names it.
    """
    check_exclusive(context, "target", "tflite")
    check_connection(context)
    if others["tflite"] and (given := [name for name in _OF_SERVERS if others[name]]):
        raise click.UsageError(f"--{given[0].replace('_', '-')} is for a server, not for --tflite.")

    from pipeline.commands.work.predict_files import predict_files
    from serving.client.connection import BATCH

    return predict_files(images, _open_predictor(others), top=top, batch=others["batch"] or BATCH, as_json=as_json)


@contextlib.contextmanager
def _open_predictor(options: dict[str, Any]) -> Iterator["Predictor"]:
    """Loads the TFLite file, or connects to the server."""
    from serving.client import AS_IS, Client

    preparation = AS_IS if options["as_is"] else None
    if options["tflite"]:
        from serving.tflite_model import TFLiteModel

        yield TFLiteModel(options["tflite"], preparation=preparation)
        return

    from pipeline.commands.work.connection import read_connection

    connection = read_connection(options, name=options["model"], target=options["target"], batch=options["batch"])
    with Client(preparation=preparation, **connection) as client:
        yield client

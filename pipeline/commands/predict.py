"""`atelier predict`: images to classes, from a server or from a TFLite file."""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipeline.commands.options import FILE, FiniteRange, Target, Version, check_exclusive
from pipeline.terminal.verb import Verb

if TYPE_CHECKING:
    from pipeline.commands.work.predict_files import Predictor

_OF_SERVERS = ("model", "version", "label", "deadline", "gzip", "tls", "ca", "cert", "max_message_mb")
"""Options that mean nothing to a TFLite file."""


@click.command(cls=Verb, name="predict", example="atelier predict images/ --target localhost:8500 --top 3")
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
@click.option("--version", metavar="N", type=Version(), help="Ask the server for this version.  [default: the newest]")
@click.option("--label", help="Ask the server for the version with this label, such as stable.")
@click.option(
    "--deadline",
    metavar="SECONDS",
    type=FiniteRange(0.001, 86400),
    help="Wait at most this long for the answer to a request.  [default: 30]",
)
@click.option("--gzip", is_flag=True, help="Compress requests.")
@click.option("--tls", is_flag=True, help="Encrypt the connection. --ca and --cert imply it.")
@click.option(
    "--ca", metavar="FILE", type=FILE, help="Trust the authority in this PEM file to sign the server's certificate."
)
@click.option("--cert", metavar="FILE", type=FILE, help="Show the server the client certificate in this PEM file.")
@click.option("--key", metavar="FILE", type=FILE, help="Use the private key of --cert in this PEM file.")
@click.option(
    "--max-message-mb",
    metavar="MB",
    type=click.IntRange(1, 2047),
    help="Send and take messages up to this size.  [default: 64]",
)
@click.pass_context
def command(context: click.Context, /, images: Sequence[Path], top: int, as_json: bool, **others: Any) -> int:
    """Classify images through a server or a TFLite file.

    IMAGE is a file, or a folder of files at any depth. The exit code is 1 if an image cannot be predicted; standard
    error then names it.
    """
    check_exclusive(context, "target", "tflite")
    check_exclusive(context, "version", "label")
    if (others["cert"] is None) != (others["key"] is None):
        raise click.UsageError("--cert and --key go together. Give both.")
    if others["tflite"] and (given := [name for name in _OF_SERVERS if others[name]]):
        raise click.UsageError(f"--{given[0].replace('_', '-')} is for a server, not for --tflite.")

    from pipeline.commands.work.predict_files import predict_files
    from serving.client.connection import BATCH

    return predict_files(images, _open_predictor(others), top=top, batch=others["batch"] or BATCH, as_json=as_json)


@contextlib.contextmanager
def _open_predictor(options: dict[str, Any]) -> Iterator["Predictor"]:
    """Loads the TFLite file, or connects to the server."""
    from serving.client import AS_IS, Client, ServedModel, ServingError, Tls

    preparation = AS_IS if options["as_is"] else None
    if options["tflite"]:
        from serving.tflite_model import TFLiteModel  # TensorFlow, which takes seconds

        yield TFLiteModel(options["tflite"], preparation=preparation)
        return

    encrypted = options["tls"] or options["ca"] or options["cert"]
    model = _without_none(name=options["model"], version=options["version"], label=options["label"])
    settings = _without_none(
        target=options["target"],
        deadline=options["deadline"],
        batch=options["batch"],
        tls=Tls(options["ca"], options["cert"], options["key"]) if encrypted else None,
        max_message_bytes=options["max_message_mb"] and options["max_message_mb"] * 2**20,
    )
    try:
        served = ServedModel(**model)
    except ValueError as error:
        raise ServingError(str(error)) from None
    with Client(model=served, preparation=preparation, gzip=options["gzip"], **settings) as client:
        yield client


def _without_none(**values: Any) -> dict[str, Any]:
    """Options that are not given leave the client's own defaults."""
    return {name: value for name, value in values.items() if value is not None}

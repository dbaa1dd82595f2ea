"""`atelier predict`: images to classes, from a server or from a TFLite file."""

import argparse
import contextlib
import json
import logging
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # what goes wrong with a connection is said once, by ServingError

from rich.console import Console as Terminal
from rich.table import Table

from atelier.files import image_files, tree
from pipeline.console import Console, quiet
from serving.client import AS_IS, Client, NoPredictionError, Prediction, PreparedImage, ServedModel, ServingError, Tls
from serving.client.connection import BATCH
from serving.client.predictions import Answer
from serving.client.preparation import ImageSource, Preparation


class Predictor(Protocol):
    """What answers: a `Client`, or a `TFLiteModel`."""

    def preparation(self) -> Preparation:
        """Returns what is done to images before the model sees them."""

    def prepare(self, image: ImageSource, name: str = ...) -> PreparedImage:
        """Checks an image and gives it the form in which it is sent."""

    def predict(self, images: Sequence[ImageSource], *, top: int = ...) -> list[Prediction]:
        """Returns one prediction for each image."""


def run(options: argparse.Namespace) -> int:
    """Predicts, and prints a table or, with `json`, a list; what was done before an error, too.

    Args:
      options: of the command line; see `pipeline.cli`.

    Returns:
      0 if every image was predicted, else 1; each of the others has its line on standard error.

    Raises:
      ServingError: the server or the model cannot be used.
    """
    found: list[tuple[str, Prediction]] = []
    try:
        files = [file for path in options.images for file in _files(path)]
        with os.fdopen(os.dup(2), "w", buffering=1, errors="backslashreplace") as terminal:
            _predict(files, options, Console(terminal), found)
    finally:
        sys.stdout.write(_json(found) if options.json else _table(found))
    return 0 if len(found) == len(files) else 1


def _predict(
    files: Sequence[Path], options: argparse.Namespace, console: Console, found: list[tuple[str, Prediction]]
) -> None:
    """Adds to `found`, so that an error leaves what was found before it."""
    batch = options.batch or BATCH
    in_folders = any(path.is_dir() for path in options.images)
    bar = console.bar("predicting") if in_folders else contextlib.nullcontext(lambda *_: None)
    # TensorFlow and LiteRT greet on standard error, whatever one tells them.
    with _warnings_shown(console), quiet(Path(os.devnull)), _predictor(options) as predictor, bar as move:
        predictor.preparation()  # a server that cannot be asked is no fault of each image
        move(0, len(files))
        for start in range(0, len(files), batch):
            chunk = (_prepared(file, predictor, console) for file in files[start : start + batch])
            prepared = [image for image in chunk if image]
            for image, answer in zip(prepared, _answers(predictor, prepared, options.top), strict=True):
                if isinstance(answer, Prediction):
                    found.append((image.name, answer))
                else:
                    console.say(f"atelier: {answer}")
            move(min(start + batch, len(files)), len(files))


@contextlib.contextmanager
def _warnings_shown(console: Console) -> Iterator[None]:
    """Shows what the client warns of, each warning as a line."""
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: console.say(f"atelier: warning: {record.getMessage()}")  # type: ignore[method-assign]
    logger = logging.getLogger("atelier.client")
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


def _answers(predictor: Predictor, prepared: Sequence[PreparedImage], top: int) -> Sequence[Answer]:
    try:
        return predictor.predict(prepared, top=top)
    except NoPredictionError as error:
        return error.answers


def _files(path: Path) -> Iterator[Path]:
    """The file itself, or all files of a folder at any depth."""
    if not path.is_dir():
        yield path
        return
    try:
        found = tree.walk(path).paths
    except OSError as error:
        where = image_files.format_path(str(error.filename))
        raise ServingError(f"{where}: the folder cannot be listed: {error.strerror}") from None
    if not found:
        raise ServingError(f"{image_files.format_path(str(path))}: no files in this folder")
    yield from (path / name for name in found)


@contextlib.contextmanager
def _predictor(options: argparse.Namespace) -> Iterator[Predictor]:
    preparation = AS_IS if options.as_is else None
    if options.tflite:
        from serving.tflite_model import TFLiteModel  # TensorFlow, which takes seconds

        yield TFLiteModel(options.tflite, preparation=preparation)
        return

    encrypted = options.tls or options.ca or options.cert
    model = _given(name=options.model, version=options.version, label=options.label)
    settings = _given(
        target=options.target,
        deadline=options.deadline,
        batch=options.batch,
        tls=Tls(options.ca, options.cert, options.key) if encrypted else None,
        max_message_bytes=options.max_message_mb and options.max_message_mb * 2**20,
    )
    try:
        served = ServedModel(**model)
    except ValueError as error:
        raise ServingError(str(error)) from None
    with Client(model=served, preparation=preparation, gzip=options.gzip, **settings) as client:
        yield client


def _given(**values: Any) -> dict[str, Any]:
    """Those that are: for the others the defaults hold."""
    return {name: value for name, value in values.items() if value is not None}


def _prepared(file: Path, predictor: Predictor, console: Console) -> PreparedImage | None:
    try:
        return predictor.prepare(file)
    except ServingError as error:
        console.say(f"atelier: {error}")
        return None


def _json(found: Sequence[tuple[str, Prediction]]) -> str:
    rows = [
        {
            "file": name,
            "label": each.label,
            "probability": round(each.probability, 6),
            "version": each.version,
            "milliseconds": round(each.milliseconds, 3),
            "top": [{"label": label, "probability": round(probability, 6)} for label, probability in each.top],
        }
        for name, each in found
    ]
    return json.dumps(rows, indent=1, allow_nan=False) + "\n"


def _table(found: Sequence[tuple[str, Prediction]]) -> str:
    """One row an image; of more than one class, one below the other."""
    if not found:
        return ""
    table = Table("file", "label", "probability", "version", "latency")
    for name, each in found:
        labels, probabilities = zip(*each.top, strict=True)
        table.add_row(
            name,
            "\n".join(labels),
            "\n".join(f"{probability:.3f}" for probability in probabilities),
            str(each.version),
            f"{each.milliseconds:.1f} ms",
        )
    # In a file or a pipe there is no width to keep to.
    terminal = Terminal(markup=False, emoji=False, highlight=False, width=None if sys.stdout.isatty() else 1000)
    with terminal.capture() as written:
        terminal.print(table)
    return written.get()

"""The work of `atelier predict`: what is asked, and how the answers are printed."""

import contextlib
import json
import logging
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from rich.console import Console as Terminal
from rich.table import Table

from atelier.files import path_text, tree
from compat.standard_streams import send_to_file
from pipeline.terminal.console import Console
from serving.client import NoPredictionError, Prediction, PreparedImage, ServingError
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


def predict_files(
    paths: Sequence[Path], predictor: AbstractContextManager[Predictor], *, top: int, batch: int, as_json: bool
) -> int:
    """Predicts the images and prints a table or a JSON list; after an error, what was predicted before it.

    Args:
      paths: of files and of folders of files.
      predictor: gives what answers, when it is entered.
      top: number of classes that are named for each image.
      batch: number of images in a request.
      as_json: prints a list instead of a table.

    Returns:
      0 if every image was predicted, else 1; each of the others has its line on standard error.

    Raises:
      ServingError: the server or the model cannot be used.
    """
    found: list[tuple[str, Prediction]] = []
    try:
        files = [file for path in paths for file in _list_files(path)]
        with os.fdopen(os.dup(2), "w", buffering=1, errors="backslashreplace") as terminal:
            console = Console(terminal)
            in_folders = any(path.is_dir() for path in paths)
            bar = console.show_bar("predicting") if in_folders else contextlib.nullcontext(lambda *_: None)
            # TensorFlow and LiteRT greet on standard error, whatever one tells them.
            with _show_warnings(console), send_to_file(Path(os.devnull)), predictor as opened, bar as move:
                opened.preparation()  # a server that cannot be asked is no fault of each image
                move(0, len(files))
                for start in range(0, len(files), batch):
                    # Added to `found` one by one, so that an error leaves what was found before it.
                    for name, answer in _predict_batch(files[start : start + batch], opened, top, console):
                        if isinstance(answer, Prediction):
                            found.append((name, answer))
                        else:
                            console.say(f"atelier: {answer}")
                    move(min(start + batch, len(files)), len(files))
    finally:
        sys.stdout.write(_format_json(found) if as_json else _format_table(found))
    return 0 if len(found) == len(files) else 1


def _predict_batch(
    files: Sequence[Path], predictor: Predictor, top: int, console: Console
) -> Iterator[tuple[str, Answer]]:
    prepared = [image for image in (_prepare(file, predictor, console) for file in files) if image]
    for image, answer in zip(prepared, _predict(predictor, prepared, top), strict=True):
        yield image.name, answer


@contextlib.contextmanager
def _show_warnings(console: Console) -> Iterator[None]:
    """Shows what the client warns of, each warning as a line."""
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: console.say(f"atelier: warning: {record.getMessage()}")  # type: ignore[method-assign]
    logger = logging.getLogger("atelier.client")
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


def _predict(predictor: Predictor, prepared: Sequence[PreparedImage], top: int) -> Sequence[Answer]:
    try:
        return predictor.predict(prepared, top=top)
    except NoPredictionError as error:
        return error.answers


def _list_files(path: Path) -> Iterator[Path]:
    """The file itself, or all files of a folder at any depth."""
    if not path.is_dir():
        yield path
        return
    try:
        found = tree.walk(path).paths
    except OSError as error:
        where = path_text.format_path(str(error.filename))
        raise ServingError(f"{where}: the folder cannot be listed: {error.strerror}") from None
    if not found:
        raise ServingError(f"{path_text.format_path(str(path))}: no files in this folder")
    yield from (path / name for name in found)


def _prepare(file: Path, predictor: Predictor, console: Console) -> PreparedImage | None:
    try:
        return predictor.prepare(file)
    except ServingError as error:
        console.say(f"atelier: {error}")
        return None


def _format_json(found: Sequence[tuple[str, Prediction]]) -> str:
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


def _format_table(found: Sequence[tuple[str, Prediction]]) -> str:
    """One row for each image; several classes stand one below the other."""
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

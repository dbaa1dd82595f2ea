"""Finds the TFLite files that a run has pushed, and what the page must know of them."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ai_edge_litert.interpreter import Interpreter

from atelier import labels, preprocessing
from atelier.files import versions
from atelier.layout import ASSETS_EXTRA, CARD_FILE, LABELS_FILE, MAX_PIXELS, PUSHED_TFLITE, STYLIZER, TFLITE_FILE
from atelier.preprocessing import STORE_SIZE, Preprocessing, PreprocessingError
from atelier.tflite.tensors import find_tensors
from serving.web.errors import WebError

STYLIZER_TFLITE = "tflite"
"""The folder in a stylizer's `assets.extra/` that holds its TFLite files."""

_STYLIZER_FILE = re.compile(r"stylizer-(\d+)-float16\.tflite")
"""Those with 8-bit weights run slowly in browsers: WebAssembly's XNNPACK does not take their dynamic ranges."""


@dataclass(frozen=True)
class Classifier:
    """A pushed classifier.

    Attributes:
      version: of the push.
      content: the TFLite file.
      labels: names of the classes by id.
      preprocessing: how an image becomes the model's input.
      scale: of a quantized output; 0: the output holds floats.
      zero_point: of a quantized output.
      quantization: `float`, `dynamic` or `int8`; empty if the card does not tell it.
      accuracy: on the test split; None if the card does not tell it.
    """

    version: int
    content: bytes
    labels: tuple[str, ...]
    preprocessing: Preprocessing
    scale: float
    zero_point: int
    quantization: str
    accuracy: float | None


@dataclass(frozen=True)
class Stylizer:
    """A stylizer.

    Attributes:
      version: of the push; 0: it is the one that comes with the project.
      styles: ids in the order of the model's style weights.
      contents: the TFLite files by the side of their images in pixels, smallest first.
      max_pixels: an image whose header promises more is rejected.
    """

    version: int
    styles: tuple[str, ...]
    contents: Mapping[int, bytes]
    max_pixels: int = MAX_PIXELS


def read_classifier(output: Path) -> Classifier | None:
    """Reads the newest classifier that was pushed below a run's output folder; None if none was.

    Raises:
      WebError: it is not what the pipeline pushes.
    """
    newest = _find_newest(output / PUSHED_TFLITE)
    if newest is None:
        return None
    version, folder = newest
    content = _read(folder / TFLITE_FILE, bytes)
    file = folder / TFLITE_FILE
    source, target = find_tensors(_load(content, file), file, WebError)
    names = tuple(_read(folder / LABELS_FILE, labels.parse_labels))
    classes = int(target["shape"][1])
    if len(names) != classes:
        raise WebError(f"{folder / LABELS_FILE}: {len(names)} class names for a model of {classes} classes")
    card = _read(folder / CARD_FILE, _parse_object)
    scale, zero_point = target["quantization"]
    return Classifier(
        version=version,
        content=content,
        labels=names,
        preprocessing=_read_preprocessing(card, int(source["shape"][1]), folder / CARD_FILE),
        scale=float(scale),
        zero_point=int(zero_point),
        quantization=str(card.get("quantization", card.get("quantisation", ""))),
        accuracy=_read_accuracy(card),
    )


def read_stylizer(output: Path) -> Stylizer | None:
    """Reads the newest stylizer that was pushed below a run's output folder; None if none was, or without TFLite files.

    Raises:
      WebError: it is not what the pipeline pushes.
    """
    newest = _find_newest(output / STYLIZER)
    return newest and read_stylizer_folder(newest[1] / ASSETS_EXTRA / STYLIZER_TFLITE, newest[0])


def read_stylizer_folder(folder: Path, version: int) -> Stylizer | None:
    """Reads a stylizer's TFLite files and `labels.txt` beside them; None if there are no such files.

    Raises:
      WebError: a file takes and gives something else than an image in styles.
    """
    files = {int(match[1]): file for file in folder.glob("*.tflite") if (match := _STYLIZER_FILE.fullmatch(file.name))}
    if not files:
        return None
    styles = tuple(_read(folder / LABELS_FILE, labels.parse_labels))
    contents = {size: _read(files[size], bytes) for size in sorted(files)}
    for size, content in contents.items():
        shapes = {
            detail["name"]: detail["shape"].tolist() for detail in _load(content, files[size]).get_input_details()
        }
        if sorted(shapes.values()) != sorted([[1, size, size, 3], [2], [1, len(styles)], [1]]):
            raise WebError(
                f"{files[size]}: takes tensors of shape {list(shapes.values())}; expected an image of {size} pixels, "
                f"its two sides, the weights of {len(styles)} styles, and the strength; push the stylizer again if an "
                "earlier version of Atelier made it"
            )
    return Stylizer(version, styles, contents)


def find_versions(output: Path) -> tuple[int | None, ...]:
    """Returns the newest versions of the classifier and the stylizer; None for one that was not pushed.

    Raises:
      WebError: a folder cannot be listed.
    """
    newest = [_find_newest(output / folder) for folder in (PUSHED_TFLITE, STYLIZER)]
    return tuple(found and found[0] for found in newest)


def _find_newest(base: Path) -> tuple[int, Path] | None:
    try:
        found = versions.list_folders(base)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise WebError(f"{base}: cannot be listed: {error.strerror}") from None
    return (max(found), found[max(found)]) if found else None


def explain_none(output: Path) -> WebError:
    """Returns why a folder has no models to show, for people who took another one for the output folder of a run."""
    wanted = f"the output folder of `atelier run`, which holds {PUSHED_TFLITE}/<version>/ or {STYLIZER}/<version>/"
    if not output.is_dir():
        return WebError(f"{output}: no such folder; --models takes {wanted}")
    return WebError(f"{output}: no pushed TFLite model; --models takes {wanted}")


def _load(content: bytes, file: Path) -> Interpreter:
    try:
        return Interpreter(model_content=content)
    except (ValueError, RuntimeError) as error:
        raise WebError(f"{file}: not a TFLite model that LiteRT can run: {str(error).strip()}") from None


def _parse_object(content: bytes) -> dict[str, Any]:
    value = json.loads(content)
    if not isinstance(value, dict):
        raise ValueError("not a JSON object")
    return value


def _read_preprocessing(card: dict[str, Any], size: int, file: Path) -> Preprocessing:
    """The card of an earlier version tells only how to resize; images are then stored as ingest does by default."""
    stated = card.get("preprocessing", {"size": size, "resize": card.get("resize"), "store_size": STORE_SIZE})
    try:
        parsed = preprocessing.parse(json.dumps(stated))
    except PreprocessingError as error:
        raise WebError(f"{file}: preprocessing: {error}") from None
    if parsed.size != size:
        raise WebError(f"{file}: its size is {parsed.size}, and the model takes images of {size} pixels")
    return parsed


def _read_accuracy(card: dict[str, Any]) -> float | None:
    test = card.get("test")
    accuracy = test.get("accuracy") if isinstance(test, dict) else None
    return float(accuracy) if isinstance(accuracy, (int, float)) else None


def _read(file: Path, parse: Callable[[bytes], Any]) -> Any:
    try:
        return parse(file.read_bytes())
    except OSError as error:
        raise WebError(f"{file}: cannot be read: {error.strerror}; it is pushed beside {TFLITE_FILE}") from None
    except UnicodeDecodeError:
        raise WebError(f"{file}: not UTF-8 text") from None
    except ValueError as error:
        raise WebError(f"{file}: not a JSON object: {error}") from None

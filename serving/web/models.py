"""Finds the TFLite files that a run has pushed, and what the page must know of them."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ai_edge_litert.interpreter import Interpreter

from atelier import labels, preprocessing
from atelier.files import versions
from atelier.layout import CARD_FILE, LABELS_FILE, PUSHED_TFLITE, TFLITE_FILE
from atelier.preprocessing import STORE_SIZE, Preprocessing, PreprocessingError
from atelier.tflite_tensors import find_tensors
from serving.web.errors import WebError


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


def read_classifier(output: Path) -> Classifier:
    """Reads the newest classifier that was pushed below a run's output folder.

    Raises:
      WebError: there is none, or it is not what the pipeline pushes.
    """
    version, folder = _find_newest(output)
    content = _read(folder / TFLITE_FILE, bytes)
    source, target = _read_tensors(content, folder / TFLITE_FILE)
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


def _find_newest(output: Path) -> tuple[int, Path]:
    base = output / PUSHED_TFLITE
    try:
        found = versions.list_folders(base)
    except FileNotFoundError:
        found = {}
        if (output / TFLITE_FILE).is_file() or versions.list_folders(output if output.is_dir() else output.parent):
            raise WebError(
                f"{output}: expected the output folder of `atelier run`, which holds {PUSHED_TFLITE}/<version>/"
            ) from None
    except OSError as error:
        raise WebError(f"{base}: cannot be listed: {error.strerror}") from None
    if not found:
        raise WebError(f"{base}: no pushed TFLite model; --models takes the output folder of `atelier run`")
    newest = max(found)
    return newest, found[newest]


def _read_tensors(content: bytes, file: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    try:
        interpreter = Interpreter(model_content=content)
    except (ValueError, RuntimeError) as error:
        raise WebError(f"{file}: not a TFLite model that LiteRT can run: {str(error).strip()}") from None
    return find_tensors(interpreter, file, WebError)


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

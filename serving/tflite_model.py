"""Runs a pushed TFLite file on this machine: the answers that a server would give, through LiteRT.

    model = TFLiteModel(Path("output/demo/tflite/1795521361"))
    model.predict(["cat.jpg"])[0].label

It needs LiteRT, NumPy and Pillow, and no TensorFlow. Images are decoded and resized to the pixels that a server gets.
"""

import json
import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from atelier import images, labels, preprocessing, resizing
from atelier.files import versions
from atelier.layout import CARD_FILE, LABELS_FILE, TFLITE_FILE
from atelier.preprocessing import Preprocessing, PreprocessingError, Resize
from atelier.tflite.quantization import dequantize
from atelier.tflite.tensors import find_tensors
from serving.client import preparation
from serving.client.errors import ServingError
from serving.client.predictions import Answer, Prediction, rank_classes, require_predictions
from serving.client.preparation import ImageSource, Preparation, PreparedImage

_log = logging.getLogger("atelier.client")


class TFLiteModel:
    """A model and the files beside it: `labels.txt`, a class name a line, and `card.json` with the preprocessing.

    Not for several threads at a time: LiteRT's interpreter does not allow it.
    """

    def __init__(self, path: Path, *, preparation: Preparation | None = None) -> None:
        """Loads the model.

        Args:
          path: the pushed folder, `tflite/<version>/`, or the `.tflite` file in it.
          preparation: what is done to images first, as for a server. None: the card tells it. `AS_IS` takes originals.

        Raises:
          ServingError: a file is missing, or is not what the pipeline pushes.
        """
        file = path / TFLITE_FILE if path.is_dir() else path
        if path.is_dir() and not file.is_file() and (pushed := versions.list_folders(path)):
            raise ServingError(f"{path}: the folder holds versions; give one of them, such as {pushed[max(pushed)]}")
        folder = file.parent.resolve()
        self._version = versions.parse_version(folder.name) or 0
        self._interpreter = _load_interpreter(file)
        self._source, self._target = find_tensors(self._interpreter, file, ServingError)
        self._labels = _read(file.parent / LABELS_FILE, labels.parse_labels)
        card = file.parent / CARD_FILE
        self._resize, stated = _read_card(card)
        self._preparation = preparation or (Preparation.from_model(stated) if stated else Preparation())
        if stated is None and preparation is None:
            _log.warning(
                "%s does not tell how images are prepared: larger ones are scaled down to %d pixels, the default of "
                "ingest.store_size; train the model again, or take originals with --as-is",
                card,
                self._preparation.store_size,
            )
        size = int(self._source["shape"][1])
        if stated and stated.size != size:
            raise ServingError(f"{card}: its size is {stated.size}, and the model takes images of {size} pixels")
        classes = self._target["shape"][1]
        if len(self._labels) != classes:
            raise ServingError(
                f"{file.parent / LABELS_FILE}: {len(self._labels)} class names for a model of {classes} classes"
            )

    def prepare(self, image: ImageSource, name: str = "the image") -> PreparedImage:
        """See `Client.prepare`."""
        return preparation.prepare(image, self._preparation, name)

    def preparation(self) -> Preparation:
        """Returns what is done to images before they are decoded."""
        return self._preparation

    def predict(self, images: Sequence[ImageSource], *, top: int = 1) -> list[Prediction]:
        """Classifies images one at a time; `milliseconds` are those of one image: decoding, resizing and the model.

        Args:
          images: encoded bytes, paths of files, or results of `prepare`.
          top: number of classes to name for each image.

        Raises:
          ServingError: an image cannot be used; none is classified then.
          NoPredictionError: as `Client.predict`.
        """
        count = len(images)
        prepared = [self.prepare(image, f"image {number} of {count}") for number, image in enumerate(images, 1)]
        return require_predictions([self._predict(image, top) for image in prepared])

    def _predict(self, image: PreparedImage, top: int) -> Answer:
        start = time.perf_counter()
        size = int(self._source["shape"][1])
        decoded = images.decode(image.encoded, self._preparation.max_pixels)
        pixels = resizing.resize(np.asarray(decoded.image), size, self._resize)
        self._interpreter.set_tensor(self._source["index"], pixels[np.newaxis])
        self._interpreter.invoke()
        output = self._interpreter.get_tensor(self._target["index"])[0]
        probabilities = dequantize(output, *self._target["quantization"])
        milliseconds = 1e3 * (time.perf_counter() - start)
        return rank_classes(
            probabilities,
            self._labels,
            image=image.name,
            top=top,
            version=self._version,
            milliseconds=milliseconds,
        )


def _load_interpreter(file: Path) -> Interpreter:
    try:
        interpreter = Interpreter(model_content=file.read_bytes())
        interpreter.allocate_tensors()
    except OSError as error:
        raise ServingError(f"{file}: cannot be read: {error.strerror}") from None
    except (ValueError, RuntimeError) as error:
        raise ServingError(f"{file}: not a TFLite model that LiteRT can run: {str(error).strip()}") from error
    return interpreter


def _read_card(file: Path) -> tuple[Resize, Preprocessing | None]:
    """Returns how to resize, and the preprocessing; None if the card does not tell it, as those of earlier versions."""
    try:
        card = _read(file, json.loads)
        mode, stated = card.get("resize"), card.get("preprocessing")
    except (ValueError, AttributeError) as error:
        raise ServingError(f"{file}: not a JSON object: {error}") from None
    if mode not in resizing.MODES:
        raise ServingError(f"{file}: resize is {mode!r}; expected one of {', '.join(resizing.MODES)}")
    if stated is None:
        return mode, None
    try:
        known = preprocessing.parse(json.dumps(stated))
    except PreprocessingError as error:
        raise ServingError(f"{file}: preprocessing: {error}") from None
    return known.resize, known


def _read(file: Path, parse: Callable[[bytes], Any]) -> Any:
    try:
        return parse(file.read_bytes())
    except OSError as error:
        raise ServingError(f"{file}: cannot be read: {error.strerror}; it is pushed beside {TFLITE_FILE}") from None
    except UnicodeDecodeError:
        raise ServingError(f"{file}: not UTF-8 text") from None

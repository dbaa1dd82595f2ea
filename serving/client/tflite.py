"""A pushed TFLite file on this machine: the answers that a server would give, through LiteRT.

model = TFLiteModel(Path("output/demo/tflite/1795521361"))
model.predict(["cat.jpg"])[0].label
"""

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter

from atelier import labels, versions
from atelier.layout import CARD_FILE, LABELS_FILE, TFLITE_FILE
from atelier.quantization import dequantize
from serving.client import preparation
from serving.client.errors import ServingError
from serving.client.predictions import Answer, Prediction, all_predictions, prediction
from serving.client.preparation import LONGER_SIDE, Picture, Prepared
from trainer import image_ops


class TFLiteModel:
    """A model and what lies beside it: `labels.txt`, a class name a line, and `card.json`, which tells how to resize.

    Not for several threads at once: LiteRT's interpreter is none of those.
    """

    def __init__(self, path: Path, *, longer_side: int | None = LONGER_SIDE) -> None:
        """Loads the model.

        Args:
          path: the pushed folder, `tflite/<version>/`, or the `.tflite` file in it.
          longer_side: as in `preparation.prepare`, for the same answers as from a server.

        Raises:
          ServingError: a file is missing, or is not what the pipeline pushes.
        """
        file = path / TFLITE_FILE if path.is_dir() else path
        if path.is_dir() and not file.is_file() and (pushed := versions.folders(path)):
            raise ServingError(f"{path}: it holds versions; give one of them, such as {pushed[max(pushed)]}")
        folder = file.parent.resolve()
        self._longer_side = longer_side
        self._version = versions.parse(folder.name) or 0
        self._interpreter = _interpreter(file)
        self._source, self._target = _borders(self._interpreter, file)
        self._labels = _read(file.parent / LABELS_FILE, labels.parse_labels)
        self._resize = _resize_mode(file.parent / CARD_FILE)
        classes = self._target["shape"][1]
        if len(self._labels) != classes:
            raise ServingError(
                f"{file.parent / LABELS_FILE}: {len(self._labels)} class names for a model of {classes} classes"
            )

    def prepare(self, picture: Picture, name: str = "the picture") -> Prepared:
        """As `Client.prepare`."""
        return preparation.prepare(picture, self._longer_side, name)

    def predict(self, pictures: Sequence[Picture], *, top: int = 1) -> list[Prediction]:
        """Classifies pictures one at a time; `milliseconds` are a picture's own: decoding, resizing and the model.

        Args:
          pictures: encoded bytes, paths of files, or what `prepare` gave.
          top: classes to name for each.

        Raises:
          ServingError: a picture cannot be used; none is classified then.
          NoPredictionError: as `Client.predict`.
        """
        prepared = [
            self.prepare(each, f"picture {number} of {len(pictures)}") for number, each in enumerate(pictures, 1)
        ]
        return all_predictions([self._predict(picture, top) for picture in prepared])

    def _predict(self, picture: Prepared, top: int) -> Answer:
        start = time.perf_counter()
        size = int(self._source["shape"][1])
        pixels = image_ops.decode_and_resize(tf.constant([picture.encoded]), size, self._resize).numpy()
        self._interpreter.set_tensor(self._source["index"], pixels)
        self._interpreter.invoke()
        output = self._interpreter.get_tensor(self._target["index"])[0]
        probabilities = dequantize(output, *self._target["quantization"])
        milliseconds = 1e3 * (time.perf_counter() - start)
        return prediction(
            probabilities,
            self._labels,
            image=picture.name,
            top=top,
            version=self._version,
            milliseconds=milliseconds,
        )


def _interpreter(file: Path) -> Interpreter:
    try:
        interpreter = Interpreter(model_content=file.read_bytes())
        interpreter.allocate_tensors()
    except OSError as error:
        raise ServingError(f"{file}: cannot be read: {error.strerror}") from None
    except (ValueError, RuntimeError) as error:
        raise ServingError(f"{file}: no TFLite model that LiteRT can run: {str(error).strip()}") from error
    return interpreter


def _borders(interpreter: Interpreter, file: Path) -> tuple[dict, dict]:
    """Details of the input, uint8 [1, size, size, 3], and the output, [1, classes]."""
    inputs, outputs = interpreter.get_input_details(), interpreter.get_output_details()
    shapes = [detail["shape"].tolist() for detail in (*inputs, *outputs)]
    match shapes:
        case [[1, height, width, 3], [1, _]] if height == width and len(inputs) == 1 and inputs[0]["dtype"] == np.uint8:
            return inputs[0], outputs[0]
    raise ServingError(
        f"{file}: takes and gives tensors of shape {shapes}; expected one picture, uint8 [1, size, size, 3], and its "
        "classes, [1, classes]"
    )


def _resize_mode(file: Path) -> str:
    try:
        mode = _read(file, json.loads).get("resize")
    except (ValueError, AttributeError) as error:
        raise ServingError(f"{file}: no JSON object: {error}") from None
    if mode not in image_ops.MODES:
        raise ServingError(f"{file}: resize is {mode!r}; expected one of {', '.join(image_ops.MODES)}")
    return mode


def _read(file: Path, parse: Callable[[bytes], Any]) -> Any:
    try:
        return parse(file.read_bytes())
    except OSError as error:
        raise ServingError(f"{file}: cannot be read: {error.strerror}; it is pushed beside {TFLITE_FILE}") from None
    except UnicodeDecodeError:
        raise ServingError(f"{file}: not UTF-8 text") from None

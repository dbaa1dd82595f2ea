"""Latency, size and accuracy of the exported TFLite files at one and two threads, beside Keras' `predict`.

One image at a time on both sides, the same test images, what either sets up not counted. The files are those that
TFLiteExporter wrote from the Keras model beside them; LiteRT runs them as `serving.tflite_model` does.
"""

import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import keras
import numpy as np
from ai_edge_litert.interpreter import Interpreter

from benchmarks import photos
from benchmarks.measure import Result, at_most
from benchmarks.turns import take_turns
from components.tflite_exporter import convert
from trainer import export

NTH = 2
"""Every second test image is classified: 144, of every class."""
THREADS = (1, 2)
CALIBRATION_IMAGES = 200
"""TFLiteExporter's default."""
AS_CONVERTED = "int8 as converted, 1 thread"
WARM_UP = 5
"""Runs that allocate; not counted."""


@dataclass(frozen=True)
class _Pass:
    """All images, one after another."""

    p50: float
    """Milliseconds, as `p99`."""
    p99: float
    accuracy: float


def run() -> Iterator[Result]:
    """INT8 beside float and beside what the converter made of it, then each variant beside Keras."""
    trained = photos.run()
    images, labels = _read_test_images(trained)
    files = {
        variant: trained.find_artifact("TFLiteExporter", "tflite") / "variants" / f"{variant}.tflite"
        for variant in convert.VARIANTS
    }
    classify = {
        _name_case(variant, threads): _load_classifier(file.read_bytes(), threads)
        for variant, file in files.items()
        for threads in THREADS
    }
    keras_file = trained.find_artifact("Trainer", "model") / export.KERAS_FILE
    model = keras.models.load_model(keras_file)
    converted = _convert_int8(trained, model, images[0].shape[1])
    classify[AS_CONVERTED] = _load_classifier(converted, 1)
    classify["keras"] = lambda image: model.predict(image, verbose=0)[0]
    passes = take_turns({name: _build_side(one, images, labels) for name, one in classify.items()})
    p50, p99, accuracy = (
        {name: statistics.median(getattr(one, figure) for one in found) for name, found in passes.items()}
        for figure in ("p50", "p99", "accuracy")
    )
    sizes = {variant: file.stat().st_size / 1e6 for variant, file in files.items()}

    yield Result(
        "tflite", "int8 beside float, 1 thread, p50", p50["int8, 1 thread"], p50["float, 1 thread"], "ms", at_most(0.6)
    )
    yield Result("tflite", "int8 beside float, size", sizes["int8"], sizes["float"], "MB", at_most(0.3))
    before = len(converted) / 1e6
    yield Result(
        "tflite", "int8 refined beside as converted, p50", p50["int8, 1 thread"], p50[AS_CONVERTED], "ms", at_most(1.05)
    )
    yield Result("tflite", "int8 refined beside as converted, size", sizes["int8"], before, "MB", at_most(1.01))
    for name in classify:
        if name != "keras":
            yield Result("tflite", f"{name}, p50", p50[name], p50["keras"], "ms", None)
            yield Result("tflite", f"{name}, p99", p99[name], p99["keras"], "ms", None)
            yield Result("tflite", f"{name}, accuracy", accuracy[name], accuracy["keras"], "share", None)
    for variant in convert.VARIANTS:
        yield Result("tflite", f"{variant}, size", sizes[variant], keras_file.stat().st_size / 1e6, "MB", None)


def _read_test_images(trained: photos.Run) -> tuple[list[np.ndarray], list[int]]:
    """Each [1, size, size, 3] uint8, and their class ids."""
    rows = list(trained.read_batches("test", 1).as_numpy_iterator())[::NTH]
    return [pixels.astype(np.uint8) for pixels, _ in rows], [int(label[0]) for _, label in rows]


def _convert_int8(trained: photos.Run, model: keras.Model, size: int) -> bytes:
    """Returns the INT8 file as it is before `tflite_exporter.refine`."""
    calibration = list(trained.read_batches("train", 1).unbatch().take(CALIBRATION_IMAGES).as_numpy_iterator())
    frozen = convert.freeze(model, size)
    return convert.convert(frozen, "int8", [pixels.astype(np.uint8) for pixels, _ in calibration])


def _load_classifier(content: bytes, threads: int) -> Callable[[np.ndarray], np.ndarray]:
    """[1, size, size, 3] uint8 to the classes' scores: probabilities, or the integers that stand for them."""
    interpreter = Interpreter(model_content=content, num_threads=threads)
    interpreter.allocate_tensors()
    (source,), (target,) = interpreter.get_input_details(), interpreter.get_output_details()

    def classify(image: np.ndarray) -> np.ndarray:
        interpreter.set_tensor(source["index"], image)
        interpreter.invoke()
        return interpreter.get_tensor(target["index"])[0]

    return classify


def _build_side(
    classify: Callable[[np.ndarray], np.ndarray], images: list[np.ndarray], labels: list[int]
) -> Callable[[], _Pass]:
    def run_pass() -> _Pass:
        for image in images[:WARM_UP]:
            classify(image)
        seconds, right = [], 0
        for image, label in zip(images, labels, strict=True):
            began = time.perf_counter()
            scores = classify(image)
            seconds.append(time.perf_counter() - began)
            right += int(scores.argmax() == label)
        p50, p99 = np.percentile(np.array(seconds) * 1e3, [50, 99])
        return _Pass(float(p50), float(p99), right / len(labels))

    return run_pass


def _name_case(variant: str, threads: int) -> str:
    return f"{variant}, {threads} {'thread' if threads == 1 else 'threads'}"

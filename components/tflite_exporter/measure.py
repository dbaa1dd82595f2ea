"""Runs a TFLite file in LiteRT and measures it."""

import time
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter

from atelier.tflite.quantization import dequantize

WARM_UP_RUNS = 5
"""The first runs allocate and fill caches; a phone pays them once, so they are not part of the latency."""


def measure(
    file: Path, images: tf.data.Dataset, labels: np.ndarray, reference: np.ndarray
) -> tuple[np.ndarray, dict[str, Any]]:
    """Predicts every image, one at a time, on one thread.

    Args:
      file: with one uint8 input [1, size, size, 3] and one output [1, classes].
      images: (pixels [size, size, 3] uint8, label), N of them.
      labels: [N] int64.
      reference: [N, classes] probabilities of the SavedModel on the same pixels.

    Returns:
      Probabilities [N, classes] float32, and accuracy and disagreement with the reference (shares of
      the images), size in bytes, and latency in milliseconds.
    """
    interpreter = Interpreter(model_path=str(file), num_threads=1)
    interpreter.allocate_tensors()
    (source,), (target,) = interpreter.get_input_details(), interpreter.get_output_details()
    for _ in range(WARM_UP_RUNS):
        interpreter.invoke()
    outputs, seconds = [], []
    for pixels, _ in images.batch(1).as_numpy_iterator():
        interpreter.set_tensor(source["index"], pixels)
        start = time.perf_counter()
        interpreter.invoke()
        seconds.append(time.perf_counter() - start)
        output = interpreter.get_tensor(target["index"])[0]
        outputs.append(dequantize(output, *target["quantization"]))
    probabilities = np.stack(outputs)
    predicted = probabilities.argmax(axis=1)
    p50, p99 = np.percentile(np.array(seconds) * 1e3, [50, 99])
    return probabilities, {
        "accuracy": float(np.mean(predicted == labels)),
        "disagreement": float(np.mean(predicted != reference.argmax(axis=1))),
        "bytes": file.stat().st_size,
        "latency_ms_p50": round(float(p50), 3),
        "latency_ms_p99": round(float(p99), 3),
    }


def describe(file: Path) -> dict[str, Any]:
    """Shapes, types and quantization of the input and the output, for the model's card."""
    interpreter = Interpreter(model_path=str(file))
    return {
        border: {
            "name": detail["name"],
            "shape": detail["shape"].tolist(),
            "dtype": np.dtype(detail["dtype"]).name,
            "scale": float(detail["quantization"][0]),
            "zero_point": int(detail["quantization"][1]),
        }
        for border, (detail,) in (
            ("input", interpreter.get_input_details()),
            ("output", interpreter.get_output_details()),
        )
    }

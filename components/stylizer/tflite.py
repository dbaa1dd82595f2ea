"""Writes a stylizer as TFLite files of fixed sizes for phones and browsers, and measures them in LiteRT.

A file takes `image` [1, size, size, 3] uint8 RGB, `style` [1, S] float32 weights whose sum is 1, and `strength` [1]
float32 of 0..1. It gives `stylized` [1, size, size, 3] float32 of 0..255, not rounded. Beside it lie a card of the same
name (`.json`), and `labels.txt` with the ids of the styles in the order of the weights.
"""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import keras
import numpy as np
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter
from PIL import Image
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from atelier import labels, strict_json
from atelier.files import leftovers
from components.stylizer.settings import TFLITE_SIZES
from components.stylizer.stylizer import Stylizer

Variant = Literal["float16", "dynamic"]
"""`float16`: weights of 16 bits, computed in float32. `dynamic`: weights of 8 bits; activations are quantized as they
come."""
VARIANTS: tuple[Variant, ...] = get_args(Variant)
IMAGE, STYLE, STRENGTH, STYLIZED = "image", "style", "strength", "stylized"


def file_name(size: int, variant: Variant) -> str:
    """Returns the name of a TFLite file."""
    return f"stylizer-{size}-{variant}.tflite"


def export(
    stylizer: Stylizer,
    directory: Path,
    image: np.ndarray,
    *,
    sizes: Iterable[int] = TFLITE_SIZES,
    variants: Iterable[Variant] = VARIANTS,
) -> dict[str, dict[str, Any]]:
    """Writes the files, their cards, and `labels.txt`.

    Args:
      stylizer: what is exported.
      directory: exists.
      image: [H, W, 3] uint8, to measure with; it is scaled to each size.
      sizes: sides in pixels, multiples of 4.
      variants: of each size.

    Returns:
      The cards by the names of the files.
    """
    labels.write_labels(directory, stylizer.styles)
    cards = {}
    for size in sizes:
        model = stylizer.rebuild(size=(size, size), batch=1)
        samples = list(_samples(image, size, len(stylizer.styles)))
        expected = [model.predict_on_batch(sample) for sample in samples]
        for variant in variants:
            file = directory / file_name(size, variant)
            file.write_bytes(convert(model, variant))
            cards[file.name] = measure(file, samples, expected) | {"variant": variant}
            file.with_suffix(".json").write_text(strict_json.dumps(cards[file.name], indent=1), encoding="utf-8")
    return cards


def convert(model: keras.Model, variant: Variant) -> bytes:
    """Returns the content of a TFLite file for a network of fixed size and batch; see `Stylizer.rebuild`."""
    with leftovers.scratch("tflite") as scratch:
        _save_frozen(model, str(scratch))
        converter = tf.lite.TFLiteConverter.from_saved_model(str(scratch))
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if variant == "float16":
            converter.target_spec.supported_types = [tf.float16]
        return converter.convert()


def measure(file: Path, samples: Sequence[Mapping[str, np.ndarray]], expected: Sequence[np.ndarray]) -> dict[str, Any]:
    """Describes a TFLite file, and compares what it gives with what Keras gives.

    Args:
      file: as `convert` makes it.
      samples: inputs by name.
      expected: Keras' outputs for them.

    Returns:
      `inputs` and `outputs` by name, with shapes and types; the size in `bytes`; the `difference` from Keras in gray
      levels, averaged over all samples as `mean`, and in the `worst` sample; `latency_ms` on one thread; and
      `xnnpack`: how many parts of the graph XNNPACK takes, and the operations that it does not.
    """
    interpreter = Interpreter(model_path=str(file), num_threads=1)
    interpreter.allocate_tensors()
    outside, parts = find_outside(interpreter)
    run = interpreter.get_signature_runner()
    differences, milliseconds = [], []
    for sample, wanted in zip(samples, expected, strict=True):
        start = time.perf_counter()
        found = run(**sample)[STYLIZED]
        milliseconds.append(1e3 * (time.perf_counter() - start))
        differences.append(float(np.abs(found - wanted).mean()))
    return {
        "inputs": _describe(run.get_input_details()),
        "outputs": _describe(run.get_output_details()),
        "bytes": file.stat().st_size,
        "difference": {"mean": float(np.mean(differences)), "worst": max(differences)},
        "latency_ms": round(float(np.median(milliseconds)), 1),
        "xnnpack": {"parts": parts, "outside": outside},
    }


def find_outside(interpreter: Interpreter) -> tuple[list[str], int]:
    """Returns the operations that no delegate takes, sorted, and the number of parts that one takes."""
    operations = interpreter._get_ops_details()  # there is no public way
    made_by: dict[int, Mapping[str, Any]] = {}
    for operation in operations:  # a delegate's part comes after the operations that it replaces
        made_by |= dict.fromkeys(map(int, operation["outputs"]), operation)
    used: dict[int, Mapping[str, Any]] = {}
    wanted = [int(detail["index"]) for detail in interpreter.get_output_details()]
    while wanted:
        operation = made_by.get(wanted.pop())
        if operation is not None and operation["index"] not in used:
            used[operation["index"]] = operation
            wanted += map(int, operation["inputs"])
    names = sorted(operation["op_name"] for operation in used.values())
    return [name for name in names if name != "DELEGATE"], names.count("DELEGATE")


def _samples(image: np.ndarray, size: int, styles: int) -> Iterator[dict[str, np.ndarray]]:
    """The image in each style."""
    scaled = Image.fromarray(image).resize((size, size), Image.Resampling.LANCZOS)
    for number in range(styles):
        yield {
            IMAGE: np.asarray(scaled)[np.newaxis],
            STYLE: np.eye(1, styles, number, dtype=np.float32),
            STRENGTH: np.ones(1, np.float32),
        }


def _save_frozen(model: keras.Model, folder: str) -> None:
    """Saves the network as one signature without variables."""
    specs = {
        name: tf.TensorSpec(model.input[name].shape, dtype, name)
        for name, dtype in ((IMAGE, tf.uint8), (STYLE, tf.float32), (STRENGTH, tf.float32))
    }
    restyle = tf.function(lambda **inputs: model(inputs, training=False), autograph=False)
    frozen = convert_variables_to_constants_v2(restyle.get_concrete_function(**specs))
    order = [tensor.name.partition(":")[0] for tensor in frozen.inputs]
    module = tf.Module()
    signature = tf.function(lambda **inputs: {STYLIZED: frozen(*(inputs[name] for name in order))[0]}, autograph=False)
    tf.saved_model.save(module, folder, signatures=signature.get_concrete_function(**specs))


def _describe(details: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    return {
        name: {"shape": detail["shape"].tolist(), "dtype": np.dtype(detail["dtype"]).name}
        for name, detail in details.items()
    }

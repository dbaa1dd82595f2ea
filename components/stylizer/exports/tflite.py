"""Writes a stylizer as TFLite files of fixed sizes for phones and browsers, and measures them in LiteRT.

A file takes `image` [1, size, size, 3] uint8 RGB, `sides` [2] float32, `style` [1, S] float32 weights whose sum is 1,
and `strength` [1] float32 of 0..1. It gives `stylized` [1, size, size, 3] float32 of 0..255, not rounded.

The image fills the upper left corner of its square, `sides` are its height and width, multiples of 4, and the output's
corner is what the network makes of the image alone (`part.py`). Beside a file lie a card of the same name (`.json`),
and `labels.txt` with the ids of the styles in the order of the weights, which is in the file's TFLite metadata, too.
"""

import time
from collections.abc import Iterable, Mapping, Sequence
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
from atelier.layout import LABELS_FILE
from components.stylizer.exports.part import Part, restrict
from components.stylizer.settings import TFLITE_SIZES
from components.stylizer.stylizer import Stylizer
from components.tflite_exporter import metadata

Variant = Literal["float16", "dynamic"]
"""`float16`: weights of 16 bits, computed in float32. `dynamic`: weights of 8 bits; activations are quantized as they
come."""
VARIANTS: tuple[Variant, ...] = get_args(Variant)
IMAGE, SIDES, STYLE, STRENGTH, STYLIZED = "image", "sides", "style", "strength", "stylized"


def name_file(size: int, variant: Variant) -> str:
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
        samples = [make_inputs(image, size, len(stylizer.styles), number) for number in range(len(stylizer.styles))]
        expected = [model.predict_on_batch({name: sample[name] for name in model.input}) for sample in samples]
        for variant in variants:
            file = directory / name_file(size, variant)
            file.write_bytes(convert(model, size, variant, stylizer.styles))
            cards[file.name] = measure(file, samples, expected) | {"variant": variant}
            file.with_suffix(".json").write_text(strict_json.dumps(cards[file.name], indent=1), encoding="utf-8")
    return cards


def convert(model: keras.Model, size: int, variant: Variant, styles: Sequence[str]) -> bytes:
    """Returns the content of a TFLite file, with its metadata.

    Args:
      model: the network for one image of this size; see `Stylizer.rebuild`.
      size: side of the image in pixels.
      variant: of the weights.
      styles: their ids, in the order of the network's rows.
    """
    with leftovers.create_scratch("tflite") as scratch:
        _save_frozen(model, size, str(scratch))
        converter = tf.lite.TFLiteConverter.from_saved_model(str(scratch))
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if variant == "float16":
            converter.target_spec.supported_types = [tf.float16]
        return _describe_tensors(converter.convert(), size, styles)


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


def make_inputs(image: np.ndarray, size: int, styles: int, number: int) -> dict[str, np.ndarray]:
    """Returns what a file takes, for an image in full strength.

    Args:
      image: [H, W, 3] uint8; it is scaled to a square.
      size: side of the square in pixels.
      styles: how many the file knows.
      number: of the style.
    """
    scaled = Image.fromarray(image).resize((size, size), Image.Resampling.LANCZOS)
    return {
        IMAGE: np.asarray(scaled)[np.newaxis],
        SIDES: np.full(2, size, np.float32),
        STYLE: np.eye(1, styles, number, dtype=np.float32),
        STRENGTH: np.ones(1, np.float32),
    }


def _save_frozen(model: keras.Model, size: int, folder: str) -> None:
    """Saves the network as one signature without variables."""
    specs = {
        name: tf.TensorSpec(model.input[name].shape, dtype, name)
        for name, dtype in ((IMAGE, tf.uint8), (STYLE, tf.float32), (STRENGTH, tf.float32))
    } | {SIDES: tf.TensorSpec([2], tf.float32, SIDES)}
    part = Part(size)
    restricted = restrict(model, part)

    def restyle(sides: tf.Tensor, **inputs: tf.Tensor) -> tf.Tensor:
        part.sides = sides[:1], sides[1:]
        return restricted(inputs, training=False)

    traced = tf.function(restyle, autograph=False).get_concrete_function(**specs)
    frozen = convert_variables_to_constants_v2(traced)
    order = [tensor.name.partition(":")[0] for tensor in frozen.inputs]
    module = tf.Module()
    signature = tf.function(lambda **inputs: {STYLIZED: frozen(*(inputs[name] for name in order))[0]}, autograph=False)
    tf.saved_model.save(module, folder, signatures=signature.get_concrete_function(**specs))


def _describe_tensors(model: bytes, size: int, styles: Sequence[str]) -> bytes:
    """Adds TFLite metadata: what the tensors mean, and the ids of the styles."""
    square = f"RGB, {size} x {size} pixels, in whose upper left corner the image is"
    known = {
        IMAGE: metadata.Tensor(IMAGE, f"{square}.", low=0, high=255, image=True),
        SIDES: metadata.Tensor(SIDES, "Height and width of the image in pixels, multiples of 4.", low=4, high=size),
        STYLE: metadata.Tensor(STYLE, "Weight of each style. Their sum is 1.", low=0, high=1, labels=LABELS_FILE),
        STRENGTH: metadata.Tensor(STRENGTH, "0 gives the image back, 1 the style in full.", low=0, high=1),
        STYLIZED: metadata.Tensor(STYLIZED, f"{square}, not rounded.", low=0, high=255, image=True),
    }
    inputs, outputs = _name_tensors(model)
    return metadata.attach_metadata(
        model,
        name="Stylizer",
        description=f"Restyles an image in any blend of {len(styles)} styles. Made with Atelier (Apache-2.0). "
        "The style images have licenses of their own, which their catalog states.",
        inputs=[known[name] for name in inputs],
        outputs=[known[name] for name in outputs],
        files={LABELS_FILE: labels.encode_labels(styles)},
    )


def _name_tensors(model: bytes) -> tuple[list[str], list[str]]:
    """The names of the signature's inputs and outputs, in the order of the graph's tensors."""
    interpreter = Interpreter(model_content=model)
    run = interpreter.get_signature_runner()
    sides = (run.get_input_details(), interpreter.get_input_details())
    others = (run.get_output_details(), interpreter.get_output_details())
    return _order(*sides), _order(*others)


def _order(named: Mapping[str, Mapping[str, Any]], details: Sequence[Mapping[str, Any]]) -> list[str]:
    names = {detail["index"]: name for name, detail in named.items()}
    return [names[detail["index"]] for detail in details]


def _describe(details: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    return {
        name: {"shape": detail["shape"].tolist(), "dtype": np.dtype(detail["dtype"]).name}
        for name, detail in details.items()
    }

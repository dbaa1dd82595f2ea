"""The signatures of the exported SavedModel: each function that is registered here becomes one.

A signature takes one tensor and returns tensors by name. It may call the others, so that the model is traced and stored
once. The serving side documents them in `docs/reference/signatures.md`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

import keras
import numpy as np
import tensorflow as tf

from atelier.preprocessing import PREPROCESSING, PREPROCESSING_SIGNATURE, QUERIES, Preprocessing


@dataclass(frozen=True)
class Parts:
    """What the signatures are made of."""

    model: keras.Model
    """[N, size, size, 3] float32 RGB 0..255 -> [N, classes] probabilities."""
    network: Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]
    """[N, size, size, 3] uint8 RGB -> features [N, channels], which the last layer takes, and what `model` gives."""
    class_names: tf.Tensor
    """[classes] string, by class id."""
    decode: Callable[[tf.Tensor], tf.Tensor]
    """Transform's own: [N] encoded images -> [N, size, size, 3] uint8 RGB."""
    transform: Callable[[Mapping[str, Any]], dict[str, tf.Tensor]]
    """Raw features -> what Transform gives."""
    transform_spec: Mapping[str, Any]
    """What `transform` takes, for the parser; a request may leave out everything but the image."""
    image_key: str
    """Name of the encoded image in a tf.Example."""
    preprocessing: Preprocessing
    signatures: dict[str, Callable[[tf.Tensor], dict[str, tf.Tensor]]] = field(default_factory=dict)
    """The other signatures, by name."""


@dataclass(frozen=True)
class Sample:
    """One training image, for the requests that warm a server up."""

    pixels: np.ndarray
    """[size, size, 3] uint8."""
    jpeg: bytes
    example: bytes
    """A serialized tf.Example."""


@dataclass(frozen=True)
class Signature:
    """A signature, and the request that warms it up."""

    compute: Callable[[Parts, tf.Tensor], dict[str, tf.Tensor]]
    input_name: str
    warm_up: Callable[[Sample], Any]
    """The input of one real request."""
    dtype: tf.DType = tf.string
    shape: Callable[[Parts], Sequence[int | None]] = lambda _: [None]
    method: Literal["predict", "classify"] = "predict"
    """The call of TensorFlow Serving that it answers. Classify asks for certain names of the input and the outputs."""


_SIGNATURES: dict[str, Signature] = {}
SIGNATURES: Mapping[str, Signature] = MappingProxyType(_SIGNATURES)
"""By name, in the order of their requests in the warm-up file."""


def register(
    name: str, input_name: str, warm_up: Callable[[Sample], Any], **options: Any
) -> Callable[[Callable[[Parts, tf.Tensor], dict[str, tf.Tensor]]], Callable[[Parts, tf.Tensor], dict[str, tf.Tensor]]]:
    """Makes the decorated function the signature `name`; see `Signature` for the rest.

    Raises:
      ValueError: the name is taken.
    """
    if name in _SIGNATURES:
        raise ValueError(f"{name}: a signature of this name is registered already")

    def add(compute: Callable[[Parts, tf.Tensor], dict[str, tf.Tensor]]) -> Any:
        _SIGNATURES[name] = Signature(compute, input_name, warm_up, **options)
        return compute

    return add


@register("serving_default", "examples", lambda sample: [sample.example])
def classify_examples(parts: Parts, examples: tf.Tensor) -> dict[str, tf.Tensor]:
    """[N] serialized tf.Example -> what `serving_pixels` returns."""
    spec = {parts.image_key: tf.io.FixedLenFeature([], tf.string)}
    return parts.signatures["serving_bytes"](tf.io.parse_example(examples, spec)[parts.image_key])


@register("serving_bytes", "image_bytes", lambda sample: [sample.jpeg])
def classify_bytes(parts: Parts, image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
    """[N] encoded images -> what `serving_pixels` returns."""
    return parts.signatures["serving_pixels"](parts.decode(image_bytes))


@register(
    "serving_pixels",
    "pixels",
    lambda sample: sample.pixels[np.newaxis],
    dtype=tf.uint8,
    shape=lambda parts: [None, parts.preprocessing.size, parts.preprocessing.size, 3],
)
def classify_pixels(parts: Parts, pixels: tf.Tensor) -> dict[str, tf.Tensor]:
    """[N, size, size, 3] uint8 RGB -> `probabilities` [N, classes], `class_id` [N] and `label` [N]."""
    _, probabilities = parts.network(pixels)
    class_id = tf.argmax(probabilities, axis=-1, output_type=tf.int64)
    return {"probabilities": probabilities, "class_id": class_id, "label": tf.gather(parts.class_names, class_id)}


@register("serving_features", "image_bytes", lambda sample: [sample.jpeg])
def compute_features(parts: Parts, image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
    """[N] encoded images -> `features` [N, channels] float32: what the last layer takes, by which drift is measured."""
    features, _ = parts.network(parts.decode(image_bytes))
    return {"features": features}


@register("transform_features", "examples", lambda sample: [sample.example])
def transform_features(parts: Parts, examples: tf.Tensor) -> dict[str, tf.Tensor]:
    """[N] serialized tf.Example -> what Transform gives."""
    return parts.transform(tf.io.parse_example(examples, parts.transform_spec))


@register(PREPROCESSING_SIGNATURE, QUERIES, lambda _: [b""])
def describe_preprocessing(parts: Parts, queries: tf.Tensor) -> dict[str, tf.Tensor]:
    """[N] string of any content -> how a client must prepare images, as JSON, once for each query.

    A server that batches requests expects as many rows of every output.
    """
    return {PREPROCESSING: tf.fill(tf.shape(queries), parts.preprocessing.to_json())}


@register("classify", "inputs", lambda sample: sample.example, method="classify")
def score_classes(parts: Parts, inputs: tf.Tensor) -> dict[str, tf.Tensor]:
    """[N] serialized tf.Example -> `scores` [N, classes], and `classes` [N, classes], every class by name."""
    scores = parts.signatures["serving_default"](inputs)["probabilities"]
    return {"scores": scores, "classes": tf.tile(parts.class_names[tf.newaxis], [tf.shape(scores)[0], 1])}

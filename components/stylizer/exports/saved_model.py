"""Writes a stylizer as a SavedModel for TensorFlow Serving, with warm-up requests, `labels.txt` and its description.

| signature | inputs | output |
|---|---|---|
| `serving_bytes`, `serving_default` | `image_bytes` [N] encoded images, `style_weights` [N, S] float32, `strength` [N] float32 of 0..1 | `stylized_bytes` [N] JPEG |
| `serving_ids` | `image_bytes`, `style_id` [N] string, `strength` | `stylized_bytes` |
| `serving_pixels` | `pixels` [N, H, W, 3] uint8 RGB, `style_weights`, `strength` | `stylized` [N, H, W, 3] uint8 |
| `stylization` | `queries` [N] string of any content | `stylization` [N]: `atelier.stylization.Stylization` as JSON |

The images of a batch may differ in size. What is no image, weight or strength is INVALID_ARGUMENT.
"""  # noqa: E501 (a table has no line breaks)

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import model_pb2, predict_pb2, prediction_log_pb2

from atelier import labels
from atelier.layout import ASSETS_EXTRA, PROVENANCE_FILE, STYLIZATION_FILE, WARMUP_FILE
from atelier.stylization import (
    IMAGE_BYTES,
    MAX_PIXELS,
    QUERIES,
    STRENGTH,
    STYLE_WEIGHTS,
    STYLIZATION,
    STYLIZATION_SIGNATURE,
    STYLIZE_SIGNATURE,
    STYLIZED_BYTES,
    Stylization,
)
from components.stylizer import network
from components.stylizer.stylizer import Stylizer
from trainer.images import ops
from trainer.images.formats import require

PIXELS, STYLE_ID, STYLIZED = "pixels", "style_id", "stylized"

_SAMPLE_SIDE = 64
"""Pixels of the image in the warm-up requests: enough to trace the graph."""


def export(
    stylizer: Stylizer, directory: Path, *, max_pixels: int = MAX_PIXELS, provenance: Mapping[str, Any] | None = None
) -> None:
    """Writes the SavedModel.

    Args:
      stylizer: its weights are stored as float32; nothing of its training is.
      directory: of the SavedModel; it must be empty, or not exist.
      max_pixels: the model rejects larger images, whose features would fill a server's memory.
      provenance: what the stylizer was made from; written beside the model as it is.
    """
    stylization = Stylization(styles=stylizer.styles, max_pixels=max_pixels)
    model = stylizer.rebuild()
    module = tf.Module(name="served_stylizer")
    # The variables alone, not the model: its Python objects would go into the SavedModel, too.
    module.model_variables = [weight.value for weight in model.weights]
    tf.saved_model.save(module, str(directory), signatures=_Signatures(model, stylization).trace())
    extra = directory / ASSETS_EXTRA
    extra.mkdir()
    labels.write_labels(extra, stylizer.styles)
    (extra / STYLIZATION_FILE).write_text(stylization.to_json(), encoding="utf-8")
    if provenance is not None:
        (extra / PROVENANCE_FILE).write_text(json.dumps(provenance, indent=1, sort_keys=True), encoding="utf-8")
    _write_warmup(extra / WARMUP_FILE, stylizer.styles, min(_SAMPLE_SIDE, math.isqrt(max_pixels)))


class _Signatures:
    """The graph. Every image is restyled alone, so that memory does not grow with the batch."""

    def __init__(self, model: keras.Model, stylization: Stylization) -> None:
        """Traces what the signatures share, so that it is stored once."""
        self._model, self._stylization = model, stylization
        styles = len(stylization.styles)
        self._encoded, self._ids, self._queries = (
            tf.TensorSpec([None], tf.string, name) for name in (IMAGE_BYTES, STYLE_ID, QUERIES)
        )
        self._weights = tf.TensorSpec([None, styles], tf.float32, STYLE_WEIGHTS)
        self._strength = tf.TensorSpec([None], tf.float32, STRENGTH)
        self._restyle = _trace(
            self._restyle_one,
            tf.TensorSpec([None, None, 3], tf.uint8),
            tf.TensorSpec([styles], tf.float32),
            tf.TensorSpec([], tf.float32),
        )
        self._encode = _trace(self._restyle_encoded, self._encoded, self._weights, self._strength)

    def trace(self) -> dict[str, Any]:
        """The signatures by name."""
        pixels = tf.TensorSpec([None, None, None, 3], tf.uint8, PIXELS)
        by_weight = _trace(self._restyle_bytes, self._encoded, self._weights, self._strength)
        return {
            "serving_default": by_weight,
            STYLIZE_SIGNATURE: by_weight,
            "serving_ids": _trace(self._restyle_by_id, self._encoded, self._ids, self._strength),
            "serving_pixels": _trace(self._restyle_pixels, pixels, self._weights, self._strength),
            STYLIZATION_SIGNATURE: _trace(self._describe, self._queries),
        }

    def _restyle_one(self, image: tf.Tensor, weights: tf.Tensor, strength: tf.Tensor) -> tf.Tensor:
        """[H, W, 3] uint8, [S] weights whose sum is 1, and 0..1 to [H, W, 3] uint8: `Stylizer.stylize` as a graph."""
        height, width = tf.unstack(tf.shape(image)[:2])
        most = self._stylization.max_pixels
        pixels = tf.cast(height, tf.int64) * tf.cast(width, tf.int64)
        image = require(image, pixels > 0, "an image has no pixels")
        image = require(
            image, pixels <= most, f"an image has more than the {most} pixels that this model takes:", pixels
        )
        padded = _pad(_pad(image, 0, height), 1, width)
        found = self._model(
            {"image": padded[tf.newaxis], "style": weights[tf.newaxis], "strength": strength[tf.newaxis]},
            training=False,
        )
        return tf.saturate_cast(tf.round(found[0, :height, :width]), tf.uint8)

    def _restyle_encoded(self, encoded: tf.Tensor, weights: tf.Tensor, strength: tf.Tensor) -> tf.Tensor:
        """[N] images to [N] JPEG, each of its own size."""
        weights, strength = _check(encoded, weights, strength)

        def restyle(row: tuple[tf.Tensor, ...]) -> tf.Tensor:
            stylized = self._restyle(ops.decode(row[0]), *row[1:])
            return tf.io.encode_jpeg(stylized, quality=self._stylization.jpeg_quality, chroma_downsampling=False)

        return tf.map_fn(
            restyle,
            (encoded, weights, strength),
            parallel_iterations=1,
            fn_output_signature=tf.TensorSpec([], tf.string),
        )

    def _restyle_bytes(
        self, image_bytes: tf.Tensor, style_weights: tf.Tensor, strength: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        return {STYLIZED_BYTES: self._encode(image_bytes, style_weights, strength)}

    def _restyle_by_id(self, image_bytes: tf.Tensor, style_id: tf.Tensor, strength: tf.Tensor) -> dict[str, tf.Tensor]:
        chosen = style_id[:, tf.newaxis] == tf.constant(self._stylization.styles)
        unknown = tf.boolean_mask(style_id, ~tf.reduce_any(chosen, axis=1))
        styles = ", ".join(self._stylization.styles)
        weights = require(
            tf.cast(chosen, tf.float32), tf.size(unknown) == 0, f"there is no such style ({styles}):", unknown
        )
        return {STYLIZED_BYTES: self._encode(image_bytes, weights, strength)}

    def _restyle_pixels(self, pixels: tf.Tensor, style_weights: tf.Tensor, strength: tf.Tensor) -> dict[str, tf.Tensor]:
        weights, strength = _check(pixels, style_weights, strength)
        count = tf.shape(pixels)[0]
        # An empty batch gets one black image: no images have no size, and nothing can be stacked.
        added = tf.cast(count == 0, tf.int32)
        rows = (
            tf.pad(pixels, [[0, added], [0, 0], [0, 0], [0, 0]]),
            tf.pad(weights, [[0, added], [0, 0]]),
            tf.pad(strength, [[0, added]]),
        )
        stylized = tf.map_fn(
            lambda row: self._restyle(*row),
            rows,
            parallel_iterations=1,
            fn_output_signature=tf.TensorSpec([None, None, 3], tf.uint8),
        )
        return {STYLIZED: stylized[:count]}

    def _describe(self, queries: tf.Tensor) -> dict[str, tf.Tensor]:
        """A server that batches requests expects as many rows of every output."""
        return {STYLIZATION: tf.fill(tf.shape(queries), self._stylization.to_json())}


def _trace(compute: Any, *specs: tf.TensorSpec) -> Any:
    return tf.function(compute, input_signature=specs, autograph=False)


def _check(images: tf.Tensor, weights: tf.Tensor, strength: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The weights [N, S] divided by their sums, and the strengths [N]."""
    counts = [tf.shape(each)[0] for each in (images, weights, strength)]
    alike = (counts[0] == counts[1]) & (counts[0] == counts[2])
    weights = require(weights, alike, "the numbers of images, rows of style weights, and strengths differ:", *counts)
    # A comparison with NaN is false.
    strength = require(
        strength, tf.reduce_all((strength >= 0) & (strength <= 1)), "a strength is not in 0..1:", strength
    )
    totals = tf.reduce_sum(weights, axis=1, keepdims=True)
    sound = tf.reduce_all(weights >= 0) & tf.reduce_all((totals > 0) & (totals < np.inf))
    weights = require(weights, sound, "the style weights must be numbers, one above 0 and none below:", weights)
    return weights / totals, strength


def _pad(image: tf.Tensor, axis: int, length: tf.Tensor) -> tf.Tensor:
    """Reflects an image at its end to a multiple of the network's stride, as `stylizer.pad` does.

    `tf.pad` cannot reflect more pixels than there are.
    """
    positions = tf.range(length + -length % network.STRIDE) % (2 * length)
    return tf.gather(image, tf.minimum(positions, 2 * length - 1 - positions), axis=axis)


def _write_warmup(path: Path, styles: tuple[str, ...], side: int) -> None:
    """One request for each signature, with an image of `side` pixels, in the format that TF Serving replays.

    https://www.tensorflow.org/tfx/serving/saved_model_warmup
    """
    ramp = np.linspace(0, 255, side).astype(np.uint8)
    pixels = np.stack(np.broadcast_arrays(ramp[:, None], ramp[None], ramp[::-1, None]), axis=-1)
    encoded = tf.constant([tf.io.encode_jpeg(pixels).numpy()])
    weights = np.eye(1, len(styles), dtype=np.float32)
    strength = np.ones(1, np.float32)
    by_weight = {STYLE_WEIGHTS: weights, STRENGTH: strength}
    requests: dict[str, dict[str, Any]] = {
        "serving_default": {IMAGE_BYTES: encoded, **by_weight},
        STYLIZE_SIGNATURE: {IMAGE_BYTES: encoded, **by_weight},
        "serving_ids": {IMAGE_BYTES: encoded, STYLE_ID: np.array(styles[:1], object), STRENGTH: strength},
        "serving_pixels": {PIXELS: pixels[np.newaxis], **by_weight},
        STYLIZATION_SIGNATURE: {QUERIES: np.array([b""], object)},
    }
    with tf.io.TFRecordWriter(str(path)) as writer:
        for name, inputs in requests.items():
            request = predict_pb2.PredictRequest(model_spec=model_pb2.ModelSpec(signature_name=name))
            for alias, value in inputs.items():
                request.inputs[alias].CopyFrom(tf.make_tensor_proto(value))
            log = prediction_log_pb2.PredictLog(request=request)
            writer.write(prediction_log_pb2.PredictionLog(predict_log=log).SerializeToString())

"""A SavedModel that is worked out by hand: an image's mean brightness is its probability of being `bright`."""

from pathlib import Path

import tensorflow as tf

from atelier.preprocessing import Preprocessing
from trainer.images import ops

SIZE = 4
LABELS = ("dark", "bright")


class _Brightness(tf.Module):
    def __init__(self, gain, store_size):
        super().__init__()
        self.gain = tf.Variable(gain, dtype=tf.float32)
        labels = tf.constant(LABELS)

        @tf.function(input_signature=[tf.TensorSpec([None, SIZE, SIZE, 3], tf.uint8, "pixels")])
        def serving_pixels(pixels):
            bright = self.gain * tf.reduce_mean(tf.cast(pixels, tf.float32), axis=[1, 2, 3]) / 255
            probabilities = tf.stack([1 - bright, bright], axis=1)
            class_id = tf.argmax(probabilities, axis=1)
            return {"probabilities": probabilities, "class_id": class_id, "label": tf.gather(labels, class_id)}

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "image_bytes")])
        def serving_bytes(image_bytes):
            return serving_pixels(ops.decode_and_resize(image_bytes, SIZE, "crop"))

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "image_bytes")])
        def serving_features(image_bytes):
            pixels = tf.cast(ops.decode_and_resize(image_bytes, SIZE, "crop"), tf.float32)
            return {"features": tf.reduce_mean(pixels, axis=[1, 2]) / 255}

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "examples")])
        def serving_default(examples):
            spec = {"image/encoded": tf.io.FixedLenFeature([], tf.string)}
            return serving_bytes(tf.io.parse_example(examples, spec)["image/encoded"])

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "inputs")])
        def classify(inputs):
            scores = serving_default(inputs)["probabilities"]
            return {"scores": scores, "classes": tf.tile(labels[tf.newaxis], [tf.shape(scores)[0], 1])}

        self.served = {
            "serving_default": serving_default,
            "serving_bytes": serving_bytes,
            "serving_pixels": serving_pixels,
            "serving_features": serving_features,
            "classify": classify,
        }
        if store_size:
            told = Preprocessing(size=SIZE, resize="crop", store_size=store_size).to_json()

            @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "queries")])
            def preprocessing(queries):
                return {"preprocessing": tf.fill(tf.shape(queries), told)}

            self.served["preprocessing"] = preprocessing


def write(base: Path, version: int, gain: float = 1.0, store_size: int | None = None) -> Path:
    """Saves it as `base/<version>/`, whole or not at all; the probability of `bright` is multiplied by `gain`.

    With a `store_size` it has the signature that returns its preprocessing.
    """
    partial = base / f".{version}"
    module = _Brightness(gain, store_size)
    tf.saved_model.save(module, str(partial), signatures=module.served)
    partial.rename(base / str(version))
    return base / str(version)

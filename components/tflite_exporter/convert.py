"""Keras classifier -> TFLite flatbuffer."""

from collections.abc import Iterator, Sequence

import keras
import numpy as np
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from atelier.files import leftovers

VARIANTS = ("float", "dynamic", "int8")


def freeze(classifier: keras.Model, size: int) -> tf.types.experimental.ConcreteFunction:
    """Traces `classifier` for a batch of 1, as phones and browsers want it, and makes its variables constants.

    Once for all variants: this is a third of the time that three conversions take.

    Args:
      classifier: [N, size, size, 3] float32 RGB 0..255 -> [N, classes] probabilities; float32.
      size: side of the input in pixels.
    """
    pixels = tf.TensorSpec([1, size, size, 3], tf.float32, name="pixels")
    classify = tf.function(lambda pixels: classifier(pixels, training=False), input_signature=[pixels])
    return convert_variables_to_constants_v2(classify.get_concrete_function())


def convert(
    frozen: tf.types.experimental.ConcreteFunction, variant: str, calibration: Sequence[np.ndarray] = ()
) -> bytes:
    """Converts a frozen classifier to a TFLite file.

    Every variant takes plain uint8 RGB of the model's size, the same bytes as `serving_pixels`.

    Args:
      frozen: what `freeze` returns.
      variant: `float`; `dynamic` (8-bit weights, float arithmetic); `int8` (8-bit throughout,
        uint8 in and out; check it with `proof.prove_int8`).
      calibration: [size, size, 3] uint8 training images that give `int8` its ranges.

    Raises:
      ValueError: `int8` without calibration images.
    """
    if variant == "int8" and not len(calibration):
        raise ValueError("int8 needs training images to calibrate on; the training split has none")
    with leftovers.create_scratch("tflite") as scratch:
        folder = str(scratch)
        _save(frozen, tf.float32 if variant == "int8" else tf.uint8, folder)
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        if variant != "float":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if variant == "int8":
            converter.representative_dataset = lambda: _iterate_representative(calibration)
            converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
            converter.inference_input_type = converter.inference_output_type = tf.uint8
        return converter.convert()


def _save(frozen: tf.types.experimental.ConcreteFunction, dtype: tf.DType, folder: str) -> None:
    """Saves the classifier as one signature, which names the file's input and output.

    `TFLiteConverter.from_keras_model` spends most of its time in Keras' own export of the variables.
    """
    (pixels,) = frozen.inputs
    module = tf.Module()
    module.classify = tf.function(
        lambda pixels: {"probabilities": frozen(tf.cast(pixels, tf.float32))[0]},
        input_signature=[tf.TensorSpec(pixels.shape, dtype, name="pixels")],
    )
    tf.saved_model.save(module, folder, signatures={"serving_default": module.classify})


def _iterate_representative(calibration: Sequence[np.ndarray]) -> Iterator[list[np.ndarray]]:
    for number, pixels in enumerate(calibration):
        image = pixels.astype(np.float32)[np.newaxis]
        if number == 0:
            # One black and one white pixel make the input's range exactly 0..255: scale 1, zero
            # point 0, so that pixel values go in as they are.
            image[0, 0, 0], image[0, -1, -1] = 0.0, 255.0
        yield [image]

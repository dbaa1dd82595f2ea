"""What Transform is measured beside: pixels stored as float32, as TFX's retired CIFAR-10 example did."""

from typing import Any

import tensorflow as tf

from trainer import features


def preprocessing_fn(inputs: dict[str, tf.Tensor], custom_config: dict[str, Any]) -> dict[str, tf.Tensor]:
    """Decodes, resizes and scales the images to 0..1.

    Args:
      inputs: raw features; the image is [N] encoded bytes, the label [N] int64.
      custom_config: `image_key`, `label_key` and `size` (pixels).

    Returns:
      The image as [N, size, size, 3] float32 RGB, and the label.
    """
    size = custom_config["size"]

    def decode_pixels(encoded: tf.Tensor) -> tf.Tensor:
        return tf.image.resize(tf.io.decode_jpeg(encoded, channels=3), [size, size]) / 255.0

    images = tf.map_fn(
        decode_pixels,
        inputs[custom_config["image_key"]],
        fn_output_signature=tf.TensorSpec((size, size, 3), tf.float32),
    )
    return {features.IMAGE: images, features.LABEL: inputs[custom_config["label_key"]]}

"""The losses of Gatys, Ecker and Bethge 2016, "Image style transfer using convolutional neural networks" (CVPR).

Each is a function of float32 tensors. Where the paper and this differ, it is said and why.
"""

from collections.abc import Sequence

import tensorflow as tf


def gram(features: tf.Tensor) -> tf.Tensor:
    """Correlations between channels: sum over positions of f_i f_j, divided by the number of positions.

    Equation 3; the division, which the paper has in the loss, makes pictures of different sizes comparable.

    Args:
      features: [N, H, W, C] float32.

    Returns:
      [N, C, C] float32.
    """
    return gram_sum(features) / tf.cast(tf.shape(features)[1] * tf.shape(features)[2], tf.float32)


def gram_sum(features: tf.Tensor) -> tf.Tensor:
    """Sum over positions of f_i f_j: [N, H, W, C] to [N, C, C]; adds up over the tiles of a picture."""
    shape = tf.shape(features)
    positions = tf.reshape(features, [shape[0], shape[1] * shape[2], features.shape[-1]])
    return tf.matmul(positions, positions, transpose_a=True)


def content_loss(features: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
    """Mean squared difference of features, [N, H, W, C] to [N] (equation 1 has half the sum instead of the mean)."""
    return tf.reduce_mean(tf.math.squared_difference(features, target), axis=[1, 2, 3])


def style_loss(grams: Sequence[tf.Tensor], targets: Sequence[tf.Tensor], weights: Sequence[float]) -> tf.Tensor:
    """Mean squared difference of Gram matrices, then the weighted mean over layers (equations 4 and 5).

    Args:
      grams: a layer's [N, C, C], by layer.
      targets: the style's, [C, C] or [N, C, C].
      weights: a layer's weight; equal weights give the plain mean. Their sum is divided out.

    Returns:
      [N] float32.
    """
    layers = [
        weight * tf.reduce_mean(tf.math.squared_difference(found, wanted), axis=[1, 2])
        for found, wanted, weight in zip(grams, targets, weights, strict=True)
    ]
    return tf.add_n(layers) / sum(weights)


def total_variation(image: tf.Tensor) -> tf.Tensor:
    """Mean squared difference between neighbours, down plus across: [N, H, W, C] to [N].

    The squared form of Mahendran and Vedaldi 2015, "Understanding deep image representations by inverting them",
    section 2 (beta = 2). The mean is over pixels and channels, so that the weight does not depend on the size.
    """
    return total_variation_sum(image) / tf.cast(tf.reduce_prod(tf.shape(image)[1:]), tf.float32)


def total_variation_sum(image: tf.Tensor) -> tf.Tensor:
    """Sum of squared differences between neighbours: [N, H, W, C] to [N]."""
    down = tf.math.squared_difference(image[:, 1:], image[:, :-1])
    across = tf.math.squared_difference(image[:, :, 1:], image[:, :, :-1])
    return tf.reduce_sum(down, axis=[1, 2, 3]) + tf.reduce_sum(across, axis=[1, 2, 3])

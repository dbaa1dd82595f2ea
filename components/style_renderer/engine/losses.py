"""The losses of Gatys, Ecker and Bethge 2016, "Image style transfer using convolutional neural networks" (CVPR).

Each is a function of float32 tensors of whichever Keras backend runs. Where the paper and this differ, it is said and
why.
"""

from collections.abc import Sequence

import keras
from keras import ops


def gram(features: keras.KerasTensor) -> keras.KerasTensor:
    """Correlations between channels: sum over positions of f_i f_j, divided by the number of positions.

    Equation 3; the division, which the paper has in the loss, makes images of different sizes comparable.

    Args:
      features: [N, H, W, C] float32.

    Returns:
      [N, C, C] float32.
    """
    _, height, width, _ = ops.shape(features)
    return gram_sum(features) / ops.cast(height * width, "float32")


def gram_sum(features: keras.KerasTensor) -> keras.KerasTensor:
    """Sum over positions of f_i f_j: [N, H, W, C] to [N, C, C]; adds up over the tiles of an image."""
    images, height, width, channels = ops.shape(features)
    positions = ops.reshape(features, (images, height * width, channels))
    return ops.matmul(ops.transpose(positions, (0, 2, 1)), positions)


def guided_gram(features: keras.KerasTensor, guides: keras.KerasTensor) -> keras.KerasTensor:
    """Gram matrices of the regions of one image: the masked features' products by the sum of the squared mask.

    Gatys et al. 2017, "Controlling perceptual factors in neural style transfer", section 4.1. A mask of ones gives
    `gram`.

    Args:
      features: [1, H, W, C] float32.
      guides: masks of R regions, [R, H, W, 1] float32 of 0..1, none of them 0 everywhere.

    Returns:
      [R, C, C] float32.
    """
    sizes = ops.sum(ops.square(guides), axis=(1, 2, 3))
    return gram_sum(features * guides) / sizes[:, None, None]


def content_loss(features: keras.KerasTensor, target: keras.KerasTensor) -> keras.KerasTensor:
    """Mean squared difference of features, [N, H, W, C] to [N] (equation 1 has half the sum instead of the mean)."""
    return ops.mean(ops.square(features - target), axis=(1, 2, 3))


def style_loss(
    grams: Sequence[keras.KerasTensor], targets: Sequence[keras.KerasTensor], weights: Sequence[float]
) -> keras.KerasTensor:
    """Mean squared difference of Gram matrices, then the weighted mean over layers (equations 4 and 5).

    Args:
      grams: a layer's [N, C, C], by layer.
      targets: the style's, [C, C] or [N, C, C].
      weights: a layer's weight; equal weights give the plain mean. Their sum is divided out.

    Returns:
      [N] float32.
    """
    layers = [
        weight * ops.mean(ops.square(found - wanted), axis=(1, 2))
        for found, wanted, weight in zip(grams, targets, weights, strict=True)
    ]
    return sum(layers) / sum(weights)


def total_variation(image: keras.KerasTensor) -> keras.KerasTensor:
    """Mean squared difference between neighbors, down plus across: [N, H, W, C] to [N].

    The squared form of Mahendran and Vedaldi 2015, "Understanding deep image representations by inverting them",
    section 2 (beta = 2). The mean is over pixels and channels, so that the weight does not depend on the size.
    """
    _, height, width, channels = ops.shape(image)
    return total_variation_sum(image) / ops.cast(height * width * channels, "float32")


def total_variation_sum(image: keras.KerasTensor) -> keras.KerasTensor:
    """Sum of squared differences between neighbors: [N, H, W, C] to [N]."""
    down = ops.square(image[:, 1:] - image[:, :-1])
    across = ops.square(image[:, :, 1:] - image[:, :, :-1])
    return ops.sum(down, axis=(1, 2, 3)) + ops.sum(across, axis=(1, 2, 3))

"""The network for a part of a square: what it makes of an image that fills the upper left corner of its input only.

TFLite files have fixed sizes, and images any shape. The layers here see the corner alone: statistics are those of the
corner, and paddings repeat the corner's border, not the square's. What comes out in the corner is what the network
makes of the image by itself, whatever the rest of the square holds.
"""

from collections.abc import Sequence

import keras
from keras import ops

from components.stylizer.network import ConditionalNormalization
from components.stylizer.resizing import BorderPadding


class Part:
    """Height and width of the image in the corner, in pixels of the square: two tensors [1].

    They are set before the network runs. They are no input of the network, whose layers are called with features only.
    """

    def __init__(self, size: int) -> None:
        """Makes a part that is the whole square."""
        self.size = size
        self.sides: Sequence[keras.KerasTensor] = (ops.full([1], size), ops.full([1], size))

    def mark(self, axis: int, side: int, before_end: int = 0) -> keras.KerasTensor:
        """Returns 1 for each row or column of the image and 0 for the others.

        Args:
          axis: 1 for the rows of features [N, H, W, C], 2 for the columns.
          side: of the features. They have all pixels, half of them or a quarter, and their padding.
          before_end: so many rows less.

        Returns:
          [1, H, 1, 1] or [1, 1, W, 1] float32.
        """
        scale = next(scale for scale in (1, 2, 4) if 4 * side * scale > 3 * self.size)
        padding = side - self.size // scale
        count = ops.cast(self.sides[axis - 1], "float32") / scale + (padding - before_end)
        shape = [1, 1, 1, 1]
        shape[axis] = side
        return ops.reshape(ops.clip(count - ops.arange(side, dtype="float32"), 0, 1), shape)


def restrict(model: keras.Model, part: Part) -> keras.Model:
    """Returns a copy of a network for square images of `part.size` that sees the part only."""

    def clone(layer: keras.Layer) -> keras.Layer:
        if isinstance(layer, BorderPadding):
            return _PartPadding(part, layer.pixels, name=layer.name)
        if isinstance(layer, ConditionalNormalization):
            return _PartNormalization(part, name=layer.name)
        return type(layer).from_config(layer.get_config())

    restricted = keras.models.clone_model(model, clone_function=clone)
    restricted.set_weights(model.get_weights())
    return restricted


class _PartNormalization(ConditionalNormalization):
    """Normalizes by the mean and variance of the part."""

    def __init__(self, part: Part, name: str) -> None:
        super().__init__(name=name)
        self.part = part

    def call(self, inputs: Sequence[keras.KerasTensor]) -> keras.KerasTensor:
        """As the layer that it replaces."""
        features, mix = inputs
        rows, columns = (self.part.mark(axis, features.shape[axis]) for axis in (1, 2))
        share = rows * columns / (ops.sum(rows) * ops.sum(columns))
        mean = ops.sum(features * share, axis=(1, 2), keepdims=True)
        variance = ops.sum(ops.square(features - mean) * share, axis=(1, 2), keepdims=True)
        scale, offset = self.compute_affine(mix, mean, variance)
        return features * scale + offset


class _PartPadding(BorderPadding):
    """Repeats the last row and column of the part up to the end of the square, and then pads."""

    def __init__(self, part: Part, pixels: int, name: str) -> None:
        super().__init__(pixels, name=name)
        self.part = part

    def call(self, x: keras.KerasTensor) -> keras.KerasTensor:
        """As the layer that it replaces."""
        for axis in (1, 2):
            inside = self.part.mark(axis, x.shape[axis])
            last = inside - self.part.mark(axis, x.shape[axis], before_end=1)
            x = x * inside + ops.sum(x * last, axis=axis, keepdims=True) * (1 - inside)
        return super().call(x)

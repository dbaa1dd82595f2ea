"""Layers of the network that change the size of features."""

import keras
from keras import layers, ops


@keras.saving.register_keras_serializable(package="atelier")
class BorderPadding(layers.Layer):
    """Repeats the outermost pixels: [N, H, W, C] to [N, H + 2 n, W + 2 n, C]."""

    def __init__(self, pixels: int, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.pixels = pixels

    def call(self, x: keras.KerasTensor) -> keras.KerasTensor:
        """Slices and a concatenation along one axis, then along the other; XNNPACK joins five tensors at most."""
        for start in range(0, self.pixels, 2):
            n = min(2, self.pixels - start)
            x = ops.concatenate([x[:, :1]] * n + [x] + [x[:, -1:]] * n, axis=1)
            x = ops.concatenate([x[:, :, :1]] * n + [x] + [x[:, :, -1:]] * n, axis=2)
        return x

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Both sides grow by twice the padding."""
        batch, height, width, channels = input_shape
        grown = [None if side is None else side + 2 * self.pixels for side in (height, width)]
        return batch, *grown, channels

    def get_config(self) -> dict[str, object]:
        """With the padding."""
        return super().get_config() | {"pixels": self.pixels}


@keras.saving.register_keras_serializable(package="atelier")
class Upsampling(layers.Layer):
    """Doubles both sides bilinearly: [N, H, W, C] to [N, 2 H, 2 W, C]."""

    def call(self, x: keras.KerasTensor) -> keras.KerasTensor:
        """Keras' own operation where the size is known.

        Where it is open, Keras 3.15's `ops.image.resize` fails in a TensorFlow graph: it compares the size with 0.
        """
        _, height, width, _ = ops.shape(x)
        if isinstance(height, int) and isinstance(width, int):
            return ops.image.resize(x, (2 * height, 2 * width), interpolation="bilinear")
        rows = ops.concatenate([x[:, :1], x, x[:, -1:]], axis=1)
        above, below = 0.75 * x + 0.25 * rows[:, :-2], 0.75 * x + 0.25 * rows[:, 2:]
        x = ops.reshape(ops.stack([above, below], axis=2), (-1, 2 * height, width, x.shape[-1]))
        columns = ops.concatenate([x[:, :, :1], x, x[:, :, -1:]], axis=2)
        left, right = 0.75 * x + 0.25 * columns[:, :, :-2], 0.75 * x + 0.25 * columns[:, :, 2:]
        return ops.reshape(ops.stack([left, right], axis=3), (-1, 2 * height, 2 * width, x.shape[-1]))

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Twice the sides."""
        batch, height, width, channels = input_shape
        doubled = [None if side is None else 2 * side for side in (height, width)]
        return batch, *doubled, channels


@keras.saving.register_keras_serializable(package="atelier")
class Unfolding(layers.Layer):
    """Four pixels from each position: [N, H, W, 4 C] to [N, 2 H, 2 W, C]."""

    def call(self, x: keras.KerasTensor) -> keras.KerasTensor:
        """Keras' own operation, which LiteRT knows."""
        return ops.depth_to_space(x, 2)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Twice the sides, a quarter of the channels."""
        batch, height, width, channels = input_shape
        doubled = [None if side is None else 2 * side for side in (height, width)]
        return batch, *doubled, None if channels is None else channels // 4

"""A network that restyles an image in one pass: one network for many styles.

Johnson, Alahi and Fei-Fei 2016, "Perceptual losses for real-time style transfer and super-resolution", for the residual
encoder-decoder; Dumoulin, Shlens and Kudlur 2017, "A learned representation for artistic style" (ICLR), for conditional
instance normalization and resize-convolutions. It departs from them in this:

- Strength is an input. The values of each normalization are a blend of the style's and of a learned row "no style",
  trained at all strengths (Babaeizadeh and Ghiasi 2018, "Adjustable real-time style transfer", sample them too). The
  output is blended with the image by `share`, so that a strength of 0 gives the image back exactly.
- Nothing is convolved at the full size, for the speed on a CPU: the first convolution halves the sides, and the last
  one makes the four pixels of each position at half the size (Shi et al. 2016, "Real-time single image and video
  super-resolution using an efficient sub-pixel convolutional neural network"). Their kernels begin as equals, as in
  Aitken et al. 2017, "Checkerboard artifact free sub-pixel convolution".
- The decoder sees the first features too, so that it need not draw eyes and edges from a quarter of the size.
- Fewer channels (16 and 48 instead of 32, 64, 128) and smaller kernels, for the same reason.
- Bilinear instead of nearest upsampling, which some runtimes run several times slower.
- Features are padded by repeating their border, where the sides are small, and convolutions pad nothing. Zeros draw a
  frame. Reflection is no operation of XNNPACK, the fast path of LiteRT; slices and a concatenation are.
- Fixed noise goes into the first block beside the features, as noise does in Ulyanov et al. 2016, "Texture networks".
  Where an image is flat, convolutions have nothing to draw strokes from. Plane waves instead of noise drew lattices.
- Activations are leaky. Where all features of the last layer were cut off, every style had the same gray.
- The last layer is not normalized, which would give every image the same brightness; each style has its own offset.
"""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from components.stylizer.resizing import BorderPadding, Unfolding, Upsampling

STRIDE = 4
"""Sides of the images are multiples of it. `stylizer.pad` sees to that."""
CHANNELS = (16, 48, 24)
BLOCKS = 4

_EPSILON = 1e-3
"""Added to the variance: a flat image has none, and its noise is no content."""


def build(
    styles: int,
    *,
    channels: Sequence[int] = CHANNELS,
    blocks: int = BLOCKS,
    size: tuple[int | None, int | None] = (None, None),
    batch: int | None = None,
    precision: str = "float32",
) -> keras.Model:
    """Builds the network with random weights.

    Args:
      styles: how many there are, S.
      channels: at half the size before the blocks, at a quarter of it, and at half the size behind them.
      blocks: residual blocks in the middle.
      size: height and width of the images, multiples of `STRIDE`; None leaves them open.
      batch: how many images; None leaves it open. LiteRT wants it fixed.
      precision: in which the features are computed; `mixed_bfloat16` is for training on accelerators.

    Returns:
      A model with the inputs `image` [N, H, W, 3] uint8 or float32 RGB of 0..255, `style` [N, S] weights whose sum is
      1, and `strength` [N] of 0..1; the output is [N, H, W, 3] float32 of 0..255.
    """
    image = keras.Input((*size, 3), batch_size=batch, dtype="uint8", name="image")
    style = keras.Input((styles,), batch_size=batch, name="style")
    strength = keras.Input((), batch_size=batch, name="strength")
    mix = Mix(name="mix", dtype="float32")([style, strength])

    def convolve(x: keras.KerasTensor, filters: int, kernel: int, name: str, stride: int = 1) -> keras.KerasTensor:
        # A bias before a normalization would be subtracted again.
        x = layers.Conv2D(filters, kernel, stride, use_bias=False, name=f"{name}_conv", dtype=precision)(x)
        return ConditionalNormalization(name=f"{name}_norm", dtype=precision)([x, mix])

    def relu(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
        return layers.LeakyReLU(0.2, name=f"{name}_relu", dtype=precision)(x)

    pixels = layers.Rescaling(1 / 127.5, offset=-1.0, dtype="float32", name="rescaling")(image)
    first, middle, last = channels
    # Sides of 4 n become 4 n + 4, 2 n, 2 n + 4, 2 n + 2 and n.
    x = BorderPadding(2, name="encoder_pad", dtype=precision)(pixels)
    x = relu(convolve(x, first, 6, "encoder1", stride=2), "encoder1")
    fine = BorderPadding(2, name="fine_pad", dtype=precision)(x)
    x = layers.Cropping2D(1, name="fine_crop", dtype=precision)(fine)
    x = relu(convolve(x, middle, 4, "encoder2", stride=2), "encoder2")
    for number in range(1, blocks + 1):
        y = Grain(name="grain", dtype=precision)(x) if number == 1 else x
        y = BorderPadding(2, name=f"block{number}_pad", dtype=precision)(y)
        y = relu(convolve(y, middle, 3, f"block{number}a"), f"block{number}a")
        y = convolve(y, middle, 3, f"block{number}b")
        x = layers.Add(name=f"block{number}_add", dtype=precision)([x, y])
    # n + 2, 2 n + 4, 2 n + 2, 2 n and 4 n.
    x = BorderPadding(1, name="decoder_pad", dtype=precision)(x)
    x = Upsampling(name="decoder_up", dtype=precision)(x)
    x = layers.Concatenate(name="decoder_join", dtype=precision)([x, fine])
    x = relu(convolve(x, last, 3, "decoder"), "decoder")
    x = layers.Conv2D(12, 3, use_bias=False, kernel_initializer=FourEqual(), name="output_conv", dtype=precision)(x)
    x = Unfolding(name="output_unfold", dtype=precision)(x)
    x = ConditionalOffset(name="output_offset", dtype=precision)([x, mix])
    out = Blend(name="stylized", dtype="float32")([x, pixels, strength])
    return keras.Model({"image": image, "style": style, "strength": strength}, out, name="stylizer")


def read_channels(model: keras.Model) -> list[int]:
    """The argument `channels` that `model` was built with."""
    return [model.get_layer(f"{name}_conv").filters for name in ("encoder1", "encoder2", "decoder")]


@keras.saving.register_keras_serializable(package="atelier")
class Mix(layers.Layer):
    """Style weights [N, S] and strengths [N] to the weights [N, S + 1] of the rows of each normalization.

    The last row is "no style".
    """

    def call(self, inputs: Sequence[keras.KerasTensor]) -> keras.KerasTensor:
        """Shares the strength among the styles; the rest is the last row's."""
        style, strength = inputs
        strength = ops.expand_dims(strength, -1)
        return ops.concatenate([style * strength, 1 - strength], axis=-1)

    def compute_output_shape(self, input_shape: Sequence[tuple[int | None, ...]]) -> tuple[int | None, ...]:
        """[N, S + 1]."""
        batch, styles = input_shape[0]
        return batch, None if styles is None else styles + 1


@keras.saving.register_keras_serializable(package="atelier")
class ConditionalNormalization(layers.Layer):
    """Instance normalization whose scale and offset are a blend of rows (Dumoulin et al., equation 5).

    Features [N, H, W, C] and weights [N, R] of the rows to features of the same shape. Statistics are float32.
    """

    def build(self, input_shape: Sequence[tuple[int | None, ...]]) -> None:
        """Makes the rows: a scale of 1 and an offset of 0."""
        (*_, channels), (_, rows) = input_shape
        self.scale = self.add_weight(shape=(rows, channels), initializer="ones", name="scale", dtype="float32")
        self.offset = self.add_weight(shape=(rows, channels), initializer="zeros", name="offset", dtype="float32")

    def call(self, inputs: Sequence[keras.KerasTensor]) -> keras.KerasTensor:
        """Normalizes each channel of each image by itself."""
        features, mix = inputs
        exact = ops.cast(features, "float32")
        mean = ops.mean(exact, axis=(1, 2), keepdims=True)
        variance = ops.mean(ops.square(exact - mean), axis=(1, 2), keepdims=True)
        scale, offset = self.compute_affine(ops.cast(mix, "float32"), mean, variance)
        return ops.cast(exact * scale + offset, self.compute_dtype)

    def compute_affine(
        self, mix: keras.KerasTensor, mean: keras.KerasTensor, variance: keras.KerasTensor
    ) -> tuple[keras.KerasTensor, keras.KerasTensor]:
        """What features [N, H, W, C] are multiplied with, and what is then added, both [N, 1, 1, C].

        Args:
          mix: [N, R].
          mean: [N, 1, 1, C], of the features.
          variance: [N, 1, 1, C], of the features.
        """
        scale = ops.matmul(mix, self.scale)[:, None, None] * ops.rsqrt(variance + _EPSILON)
        return scale, ops.matmul(mix, self.offset)[:, None, None] - mean * scale

    def compute_output_shape(self, input_shape: Sequence[tuple[int | None, ...]]) -> tuple[int | None, ...]:
        """That of the features."""
        return tuple(input_shape[0])


@keras.saving.register_keras_serializable(package="atelier")
class Grain(layers.Layer):
    """Appends fixed noise to features: [N, H, W, C] to [N, H, W, C + 4], the same for every image.

    It is the sum of two tables whose periods have no common divisor, so that it repeats after some 17,000 pixels only.
    """

    def call(self, x: keras.KerasTensor) -> keras.KerasTensor:
        """Tiles the tables over the features."""
        _, height, width, _ = ops.shape(x)
        grain = sum(
            ops.take(
                ops.take(table, _repeat_range(height, len(table)), axis=0), _repeat_range(width, table.shape[1]), axis=1
            )
            for table in _GRAIN
        )
        # Added to zeros that have the number of images, which may be open.
        return ops.concatenate([x, 0 * x[..., :1] + ops.cast(grain, x.dtype)], axis=-1)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """With more channels."""
        return *input_shape[:-1], input_shape[-1] + _GRAIN[0].shape[-1]


def _repeat_range(length: Any, period: int) -> Any:
    """0, 1, ... period - 1, 0, ...: so many numbers as `length` says."""
    return np.arange(length) % period if isinstance(length, int) else ops.arange(length) % period


def _make_noise(height: int, width: int, channels: int = 4) -> np.ndarray:
    """Uniform noise of mean 0 and variance 1/2 from a hash of integers, which no version of a library can change."""
    numbers = np.arange(height * width * channels, dtype=np.uint64) + np.uint64(1_000_003 * height)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):  # SplitMix64
        numbers = (numbers ^ (numbers >> np.uint64(shift))) * np.uint64(factor)
    uniform = (numbers >> np.uint64(40)).astype(np.float64) / 2**24
    return ((uniform - 0.5) * np.sqrt(6)).astype(np.float32).reshape(height, width, channels)


_GRAIN = (_make_noise(61, 67), _make_noise(71, 73))


@keras.saving.register_keras_serializable(package="atelier")
class ConditionalOffset(layers.Layer):
    """Adds a blend of rows to features [N, H, W, C], with weights [N, R] of the rows."""

    def build(self, input_shape: Sequence[tuple[int | None, ...]]) -> None:
        """Makes the rows: 0."""
        (*_, channels), (_, rows) = input_shape
        self.offset = self.add_weight(shape=(rows, channels), initializer="zeros", name="offset", dtype="float32")

    def call(self, inputs: Sequence[keras.KerasTensor]) -> keras.KerasTensor:
        """Adds in float32."""
        features, mix = inputs
        return ops.cast(features, "float32") + ops.matmul(ops.cast(mix, "float32"), self.offset)[:, None, None]

    def compute_output_shape(self, input_shape: Sequence[tuple[int | None, ...]]) -> tuple[int | None, ...]:
        """That of the features."""
        return tuple(input_shape[0])


@keras.saving.register_keras_serializable(package="atelier")
class FourEqual(keras.initializers.GlorotUniform):
    """Random kernels whose four pixels are equal: what `Unfolding` makes of them has no lattice at first."""

    def __call__(self, shape: Sequence[int], dtype: Any = None) -> keras.KerasTensor:
        """[height, width, inputs, 4 C]."""
        *sides, channels = shape
        return ops.tile(super().__call__((*sides, channels // 4), dtype), (1, 1, 1, 4))


@keras.saving.register_keras_serializable(package="atelier")
class Blend(layers.Layer):
    """What the last convolution gives, as pixels of 0..255, blended with the image by the strength."""

    def call(self, inputs: Sequence[keras.KerasTensor]) -> keras.KerasTensor:
        """Blends by `share`."""
        x, pixels, strength = inputs
        amount = compute_share(strength)[:, None, None, None]
        found = 255 * ops.sigmoid(ops.cast(x, "float32"))
        return amount * found + (1 - amount) * (pixels + 1) * 127.5

    def compute_output_shape(self, input_shape: Sequence[tuple[int | None, ...]]) -> tuple[int | None, ...]:
        """That of the image."""
        return tuple(input_shape[1])


def compute_share(strength: keras.KerasTensor) -> keras.KerasTensor:
    """How much of the output is the network's: 0 at 0, 0.44 at a quarter, 0.75 at a half, 1 at 1.

    It rises fast, since two images laid over each other are no style; what the network makes at small strengths, where
    it was trained to change little, may be seen. It is not a step, since the network alone blurs an image.
    """
    return 1 - ops.square(1 - strength)

"""The network over strips of rows, for images whose features do not fit into memory in one piece.

The result is that of one piece. Convolutions read the rows around a strip too; each instance normalization first adds
up its statistics over all strips. What is convolved is kept: it has half the image's sides at most. Of a large image,
it is kept in files.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from atelier.files import mapped
from compat import freed_memory
from components.stylizer import network
from components.stylizer.resizing import Upsampling

_VALUES = 2**22
"""Features in a strip."""
IN_MEMORY = 2**24
"""Pixels of an image whose features are kept in memory, which takes nearly a gigabyte."""
KEPT = 52
"""Bytes by pixel of all features that are kept at a time."""


class _Rows(NamedTuple):
    """Features [1, H, W, C] that are computed by rows."""

    shape: tuple[int, int, int]
    """[H, W, C]."""
    read: Callable[[int, int], Any]
    """Computes the rows from the first to before the last, [1, last - first, W, C]."""

    def iterate_strips(self, values: int) -> Iterator[tuple[int, int]]:
        """The first row of each strip, and the one behind its last."""
        height, width, channels = self.shape
        rows = max(4, values // (width * channels))
        return ((start, min(start + rows, height)) for start in range(0, height, rows))


def stylize(
    model: keras.Model,
    image: np.ndarray,
    style: np.ndarray,
    strength: float,
    values: int = _VALUES,
    notify: Callable[[float], object] = lambda _: None,
) -> Iterator[np.ndarray]:
    """Restyles an image as `model` does, strip by strip.

    Args:
      model: from `network.build`, in float32.
      image: [H, W, 3] uint8 RGB; the sides are multiples of `network.STRIDE`.
      style: weights [S] whose sum is 1.
      strength: 0..1.
      values: features in a strip.
      notify: told the share of the work that is done, 0..1, after each strip; what it raises ends the work.

    Yields:
      Rows from the top, [h, W, 3] float32 of 0..255.

    Raises:
      OSError: the disk has no space for the features of a large image.
    """
    in_files = image.shape[0] * image.shape[1] > IN_MEMORY
    blocks = sum(layer.name.endswith("_add") for layer in model.layers)
    passes, done = 6 + 3 * blocks, 0

    def keep(rows: _Rows) -> _Rows:
        nonlocal done
        kept = _keep(rows, values, in_files, lambda share: notify((done + share) / passes))
        done += 1
        return kept

    amount = np.array([strength], np.float32)
    mix = model.get_layer("mix")([style[np.newaxis], amount])

    def convolve(rows: _Rows, name: str) -> _Rows:
        rows = keep(_convolve(rows, model.get_layer(f"{name}_conv")))
        return _normalize(rows, model.get_layer(f"{name}_norm"), mix, values)

    def relu(rows: _Rows, name: str) -> _Rows:
        layer = model.get_layer(f"{name}_relu")
        return _Rows(rows.shape, lambda start, stop: layer(rows.read(start, stop)))

    pixels = _rescale(image, model.get_layer("rescaling"))
    fine = _pad(keep(relu(convolve(_pad(pixels, 2), "encoder1"), "encoder1")), 2)
    x = keep(relu(convolve(_crop(fine, 1), "encoder2"), "encoder2"))
    for number in range(1, blocks + 1):
        y = _pad(_add_grain(x, model.get_layer("grain")) if number == 1 else x, 2)
        y = convolve(relu(convolve(y, f"block{number}a"), f"block{number}a"), f"block{number}b")
        x = keep(_add(x, y))
        del y  # with what it keeps
    x = _join(_upsample(_pad(x, 1), model.get_layer("decoder_up")), fine)
    x = _convolve(relu(convolve(x, "decoder"), "decoder"), model.get_layer("output_conv"))
    unfold, offset, blend = (model.get_layer(name) for name in ("output_unfold", "output_offset", "stylized"))
    for start, stop in x.iterate_strips(values // 2):  # it is computed from more channels than it has
        found = blend([offset([unfold(x.read(start, stop)), mix]), pixels.read(2 * start, 2 * stop), amount])
        yield ops.convert_to_numpy(found)[0]
        notify((done + stop / x.shape[0]) / passes)


def _rescale(image: np.ndarray, layer: keras.layers.Layer) -> _Rows:
    return _Rows(image.shape, lambda start, stop: layer(image[np.newaxis, start:stop]))


def _pad(rows: _Rows, pixels: int) -> _Rows:
    """As `network.BorderPadding`."""
    height, width, channels = rows.shape

    def read(start: int, stop: int) -> Any:
        numbers = np.clip(np.arange(start, stop) - pixels, 0, height - 1)
        first = int(numbers[0])
        x = ops.take(rows.read(first, int(numbers[-1]) + 1), numbers - first, axis=1)
        return ops.take(x, np.clip(np.arange(width + 2 * pixels) - pixels, 0, width - 1), axis=2)

    return _Rows((height + 2 * pixels, width + 2 * pixels, channels), read)


def _crop(rows: _Rows, pixels: int) -> _Rows:
    height, width, channels = rows.shape
    return _Rows(
        (height - 2 * pixels, width - 2 * pixels, channels),
        lambda start, stop: rows.read(start + pixels, stop + pixels)[:, :, pixels:-pixels],
    )


def _join(one: _Rows, other: _Rows) -> _Rows:
    height, width, channels = one.shape
    return _Rows(
        (height, width, channels + other.shape[2]),
        lambda start, stop: ops.concatenate([one.read(start, stop), other.read(start, stop)], axis=-1),
    )


def _convolve(rows: _Rows, layer: keras.layers.Conv2D) -> _Rows:
    kernel, stride = layer.kernel_size[0], layer.strides[0]
    height, width = ((side - kernel) // stride + 1 for side in rows.shape[:2])
    return _Rows(
        (height, width, layer.filters),
        lambda start, stop: layer(rows.read(start * stride, (stop - 1) * stride + kernel)),
    )


def _normalize(rows: _Rows, layer: network.ConditionalNormalization, mix: Any, values: int) -> _Rows:
    """With the statistics of all rows."""
    height, width, channels = rows.shape
    total, squares = np.zeros((2, 1, 1, 1, channels))
    for start, stop in rows.iterate_strips(values):
        x = rows.read(start, stop)
        # float64 over the strips: a sum of many sums.
        total += ops.convert_to_numpy(ops.sum(x, axis=(1, 2), keepdims=True))
        squares += ops.convert_to_numpy(ops.sum(ops.square(x), axis=(1, 2), keepdims=True))
    mean = total / (height * width)
    variance = np.maximum(squares / (height * width) - mean**2, 0)
    scale, offset = layer.compute_affine(mix, mean.astype(np.float32), variance.astype(np.float32))
    return _Rows(rows.shape, lambda start, stop: rows.read(start, stop) * scale + offset)


def _keep(rows: _Rows, values: int, in_files: bool, notify: Callable[[float], object]) -> _Rows:
    """Computes all rows once, and keeps them."""
    shape = (1, *rows.shape)
    kept = mapped.create(shape) if in_files else np.empty(shape, np.float32)
    for start, stop in rows.iterate_strips(values):
        kept[:, start:stop] = ops.convert_to_numpy(rows.read(start, stop))
        freed_memory.unmap(kept)
        notify(stop / rows.shape[0])

    def read(start: int, stop: int) -> Any:
        freed_memory.unmap(kept)  # what was read before
        return kept[:, start:stop]

    return _Rows(rows.shape, read)


def _add(one: _Rows, other: _Rows) -> _Rows:
    return _Rows(one.shape, lambda start, stop: one.read(start, stop) + other.read(start, stop))


def _add_grain(rows: _Rows, layer: network.Grain) -> _Rows:
    height, width, channels = rows.shape
    grain = ops.convert_to_numpy(layer(np.zeros((1, height, width, 1), np.float32)))[..., 1:]
    return _Rows(
        (height, width, channels + grain.shape[-1]),
        lambda start, stop: ops.concatenate([rows.read(start, stop), grain[:, start:stop]], axis=-1),
    )


def _upsample(rows: _Rows, layer: Upsampling) -> _Rows:
    height, width, channels = rows.shape

    def read(start: int, stop: int) -> Any:
        first = max(0, (start - 1) // 2)
        x = layer(rows.read(first, min(height, stop // 2 + 1)))
        return x[:, start - 2 * first : stop - 2 * first]

    return _Rows((2 * height, 2 * width, channels), read)

"""The network over strips of rows, for images whose features do not fit into memory in one piece.

The result is that of one piece. Convolutions read the rows around a strip too; each instance normalization uses
statistics of all strips, which are added up while what is convolved is kept: it has half the image's sides at most. Of
a large image, it is kept in files.
"""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from atelier.files import mapped
from compat import freed_memory
from components.stylizer import network
from components.stylizer.resizing import Upsampling

_VALUES = 2**21
"""Features in a strip."""
IN_MEMORY = 2**24
"""Pixels of an image whose features are kept in memory, which takes nearly a gigabyte."""
KEPT = 52
"""Bytes by pixel of all features that are kept at a time."""
_AT_A_TIME = 2
"""Strips that are worked on: copying one from a file and back takes longer than its convolution, and one processor."""


class _Rows(NamedTuple):
    """Features [1, H, W, C] that are computed by rows."""

    shape: tuple[int, int, int]
    """[H, W, C]."""
    read: Callable[[int, int], Any]
    """Computes the rows from the first to before the last, [1, last - first, W, C]."""
    moments: np.ndarray | None = None
    """Means [2, 1, 1, 1, C] of the values and of their squares, of features that are kept to be normalized."""


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

    def keep(rows: _Rows, *, with_moments: bool = False) -> _Rows:
        nonlocal done
        kept = _keep(rows, values, in_files, with_moments, lambda share: notify((done + share) / passes))
        done += 1
        return kept

    amount = np.array([strength], np.float32)
    mix = model.get_layer("mix")([style[np.newaxis], amount])

    def convolve(rows: _Rows, name: str) -> _Rows:
        kept = keep(_convolve(rows, model.get_layer(f"{name}_conv")), with_moments=True)
        return _normalize(kept, model.get_layer(f"{name}_norm"), mix)

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

    def draw(start: int, stop: int) -> np.ndarray:
        found = offset([unfold(x.read(start, stop)), mix])
        return ops.convert_to_numpy(blend([found, pixels.read(2 * start, 2 * stop), amount]))[0]

    for stop, rows in _compute_strips(x, values // 2, draw):  # it is computed from more channels than it has
        yield rows
        notify((done + stop / x.shape[0]) / passes)


def _compute_strips(rows: _Rows, values: int, compute: Callable[[int, int], Any]) -> Iterator[tuple[int, Any]]:
    """Calls `compute` with the first row of each strip and the one behind its last.

    Yields:
      From the top, the row behind a strip, and what `compute` returned for it.
    """
    height, width, channels = rows.shape
    step = max(4, values // (width * channels))
    computed: deque[tuple[int, Future[Any]]] = deque()
    with ThreadPoolExecutor(_AT_A_TIME) as pool:
        for start in range(0, height, step):
            stop = min(start + step, height)
            computed.append((stop, pool.submit(compute, start, stop)))
            if len(computed) == _AT_A_TIME:
                stop, first = computed.popleft()
                yield stop, first.result()
        for stop, last in computed:
            yield stop, last.result()


def _rescale(image: np.ndarray, layer: keras.layers.Layer) -> _Rows:
    return _Rows(image.shape, lambda start, stop: layer(image[np.newaxis, start:stop]))


def _pad(rows: _Rows, pixels: int) -> _Rows:
    """As `network.BorderPadding`."""
    height, width, channels = rows.shape

    def read(start: int, stop: int) -> Any:
        numbers = np.clip(np.arange(start, stop) - pixels, 0, height - 1)
        first, last = int(numbers[0]), int(numbers[-1]) + 1
        x = rows.read(first, last)
        if last - first < stop - start:
            x = ops.take(x, numbers - first, axis=1)
        return ops.concatenate([x[:, :, :1]] * pixels + [x] + [x[:, :, -1:]] * pixels, axis=2)

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


def _normalize(rows: _Rows, layer: network.ConditionalNormalization, mix: Any) -> _Rows:
    """With the statistics of all rows, which have been kept."""
    assert rows.moments is not None
    mean, squares = rows.moments
    variance = np.maximum(squares - mean**2, 0)
    scale, offset = layer.compute_affine(mix, mean.astype(np.float32), variance.astype(np.float32))
    return _Rows(rows.shape, lambda start, stop: rows.read(start, stop) * scale + offset)


def _keep(rows: _Rows, values: int, in_files: bool, with_moments: bool, notify: Callable[[float], object]) -> _Rows:
    """Computes all rows once, and keeps them."""
    height, width, channels = rows.shape
    shape = (1, *rows.shape)
    kept = mapped.create(shape) if in_files else np.empty(shape, np.float32)

    def compute(start: int, stop: int) -> np.ndarray | None:
        x = rows.read(start, stop)
        kept[:, start:stop] = ops.convert_to_numpy(x)
        freed_memory.unmap(kept)
        if not with_moments:
            return None
        return np.stack([ops.convert_to_numpy(ops.sum(y, axis=(1, 2), keepdims=True)) for y in (x, ops.square(x))])

    sums = np.zeros((2, 1, 1, 1, channels))  # float64: sums of many sums
    for stop, strip_sums in _compute_strips(rows, values, compute):
        if with_moments:
            sums += strip_sums
        notify(stop / height)

    def read(start: int, stop: int) -> Any:
        freed_memory.unmap(kept)  # what was read before
        return kept[:, start:stop]

    return _Rows(rows.shape, read, sums / (height * width) if with_moments else None)


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

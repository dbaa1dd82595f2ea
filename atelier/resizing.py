"""Resizes an image to a model's square input, in NumPy: the very pixels that `trainer.images.ops.resize` gives."""

from typing import get_args

import numpy as np

from atelier.preprocessing import Resize

MODES: tuple[Resize, ...] = get_args(Resize)


def resize(image: np.ndarray, size: int, mode: Resize) -> np.ndarray:
    """Resizes to a square: bilinear, antialiased when shrinking, rounded half to even once.

    Args:
      image: [height, width, 3] uint8.
      size: side of the result in pixels.
      mode: `crop` (the shorter side becomes `size`, the rest is cut evenly), `pad` (the longer side becomes `size`,
        centered on black), or `stretch` (the aspect is lost).

    Returns:
      [size, size, 3] uint8.
    """
    height, width = image.shape[:2]
    if mode == "crop":
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        return _scale(image[top : top + side, left : left + side], size, size)
    if mode == "stretch":
        return _scale(image, size, size)
    longer = max(height, width)
    rows, columns = (max(1, (2 * side * size + longer) // (2 * longer)) for side in (height, width))
    top, left = (size - rows) // 2, (size - columns) // 2
    padded = np.zeros((size, size, 3), np.uint8)
    padded[top : top + rows, left : left + columns] = _scale(image, rows, columns)
    return padded


def _scale(image: np.ndarray, height: int, width: int) -> np.ndarray:
    rows = _scale_axis(image.astype(np.float32), height)
    columns = _scale_axis(rows.swapaxes(0, 1), width).swapaxes(0, 1)
    return np.rint(columns).astype(np.uint8)


def _scale_axis(values: np.ndarray, target: int) -> np.ndarray:
    """[n, ...] float32 -> [target, ...] float32: each result is a triangle-weighted mean of its neighborhood.

    The triangle is as wide as one result, and no narrower than one value. Order and precision of the operations are
    those of TensorFlow's `ScaleAndTranslate`: another order would round some values to the next level.
    """
    count = len(values)
    if count == target:
        return values
    step = np.float32(1) / (np.float32(target) / np.float32(count))
    radius = max(step, np.float32(1))
    centers = (np.arange(target, dtype=np.float32) + np.float32(0.5)) * step
    first = np.ceil(centers - radius - np.float32(0.5)).astype(int)
    places = first[:, None] + np.arange(int(np.ceil(2 * radius)) + 1)
    distances = (places.astype(np.float32) + np.float32(0.5) - centers[:, None]) * (1 / radius)
    weights = np.maximum(1 - np.abs(distances), 0).astype(np.float32)
    weights[(places < 0) | (places >= count)] = 0
    total = np.zeros(target, np.float32)
    for weight in weights.T:
        total += weight
    weights *= (1 / total)[:, None]
    result = np.zeros((target, *values.shape[1:]), np.float32)
    shape = (target, *[1] * (values.ndim - 1))
    for place, weight in zip(places.clip(0, count - 1).T, weights.T, strict=True):
        result += weight.reshape(shape) * values[place]
    return result

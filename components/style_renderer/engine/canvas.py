"""Sizes of images: scaling, and making sides multiples of a network's stride."""

from collections.abc import Sequence

import numpy as np
from PIL import Image


def compute_sides(shape: Sequence[int], size: int) -> tuple[int, int]:
    """Height and width of an image of `shape` [H, W, ...] scaled so that the longer side is `size`."""
    scale = size / max(shape[:2])
    return max(1, round(shape[0] * scale)), max(1, round(shape[1] * scale))


def resize(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Scales [H, W, 3] uint8 or float32 to [height, width, 3] of the same type, with Lanczos' filter."""
    if image.shape[:2] == (height, width):
        return image
    if image.dtype == np.uint8:
        return np.asarray(Image.fromarray(np.asarray(image)).resize((width, height), Image.Resampling.LANCZOS))
    scaled = np.empty((height, width, 3), np.float32)
    for channel in range(3):  # Pillow has floats in one channel only
        one = Image.fromarray(np.ascontiguousarray(image[..., channel]))
        scaled[..., channel] = np.asarray(one.resize((width, height), Image.Resampling.LANCZOS))
    return np.clip(scaled, 0, 255, out=scaled)


def pad(image: np.ndarray, multiple: int) -> np.ndarray:
    """Repeats the last row and column until the sides are multiples: [H, W, 3] to [H', W', 3] of the same type."""
    height, width = image.shape[:2]
    if height % multiple == width % multiple == 0:
        return image
    return np.pad(image, ((0, -height % multiple), (0, -width % multiple), (0, 0)), mode="edge")


def crop(image: np.ndarray, multiple: int) -> np.ndarray:
    """Leaves out rows and columns at the end until the sides are multiples, at least one."""
    height, width = (max(side // multiple, 1) * multiple for side in image.shape[:2])
    if height > image.shape[0] or width > image.shape[1]:
        return pad(image, multiple)
    return image[:height, :width]

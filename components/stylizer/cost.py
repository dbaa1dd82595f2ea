"""What it takes to restyle an image in one pass: time, memory, and disk for the features of a large image."""

import functools
import io
import time
from dataclasses import dataclass

import keras
import numpy as np
from PIL import Image

from components.stylizer import strips
from components.stylizer.stylizer import IN_ONE_PIECE, Stylizer

_MB = 2**20
_SIDE = 1024
"""Pixels of the image that is measured: on a smaller one, what each operation takes to begin counts as well."""
_PROCESS = 1000 * _MB
"""Python, TensorFlow, the networks."""
_FEATURES = 512
"""Bytes by pixel in one piece."""
_IMAGES = 13
"""Bytes by pixel: content and result, as arrays and as Pillow has them, and the encoded result."""
_STRIP = 400 * _MB
"""Of the work on a strip."""


@dataclass(frozen=True)
class Cost:
    """What to expect."""

    memory_mb: int
    """Resident at the peak."""
    disk_mb: int
    """In files, while it works."""
    seconds: float


def estimate(stylizer: Stylizer, pixels: int) -> Cost:
    """Estimates what an image of so many pixels takes; the first call measures how fast this machine is."""
    memory, disk = _PROCESS + pixels * _IMAGES, 0
    if pixels <= IN_ONE_PIECE:
        memory += pixels * _FEATURES
    elif pixels <= strips.IN_MEMORY:
        memory += _STRIP + pixels * strips.KEPT
    else:
        memory, disk = memory + _STRIP, pixels * strips.KEPT
    seconds = pixels * _measure_seconds_per_pixel(stylizer.model, len(stylizer.styles))
    return Cost(round(memory / _MB), round(disk / _MB), seconds)


@functools.lru_cache(maxsize=1)
def _measure_seconds_per_pixel(model: keras.Model, styles: int) -> float:
    """Over strips, whose borders are computed more than once, and with the encoding of the result."""
    image = np.random.default_rng(0).integers(0, 256, (_SIDE, _SIDE, 3), np.uint8)
    seconds = []
    for _ in range(2):  # the first one prepares
        began = time.perf_counter()
        for rows in strips.stylize(model, image, np.eye(styles, dtype=np.float32)[0], 1.0):
            Image.fromarray(rows.astype(np.uint8)).save(io.BytesIO(), "JPEG", quality=95, subsampling=0)
        seconds.append(time.perf_counter() - began)
    return min(seconds) / _SIDE**2

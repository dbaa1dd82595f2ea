"""What an image looks like in a few numbers, so that a change of the images is seen where no image is kept."""

import io
import math
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from PIL import Image
from pydantic import ConfigDict, Field

SIDE = 256
"""Longer side in pixels to which larger images are scaled down before they are measured: about what a model sees."""
FiniteNumber = Annotated[float, Field(strict=True, allow_inf_nan=False)]
"""Of a log that is read: neither a text nor NaN."""
NUMBERS = ("brightness", "contrast", "sharpness", "size")
"""Names of the statistics that are numbers."""


@dataclass(frozen=True)
class ImageStatistics:
    """One image as it is sent to a server.

    Attributes:
      brightness: mean of the gray values, 0..1.
      contrast: their standard deviation, 0..0.5.
      sharpness: standard deviation of their Laplacian (4 neighbors), 0..4; a blurred image has a low one.
      size: log2 of width times height; 1 more is twice the pixels.
      format: jpeg or png.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    brightness: FiniteNumber
    contrast: FiniteNumber
    sharpness: FiniteNumber
    size: FiniteNumber
    format: str


def measure(encoded: bytes) -> ImageStatistics:
    """Measures an image.

    Args:
      encoded: an image that was prepared for sending. JPEG is decoded at a reduced size.
    """
    image = Image.open(io.BytesIO(encoded))
    width, height = image.size
    image.draft("L", (SIDE, SIDE))
    gray = image.convert("L")
    gray.thumbnail((SIDE, SIDE), Image.Resampling.BOX)
    values = np.asarray(gray, np.float32) / 255
    return ImageStatistics(
        brightness=_round(values.mean()),
        contrast=_round(values.std()),
        sharpness=_round(_compute_laplacian(values).std()),
        size=_round(math.log2(width * height)),
        format=str(image.format).lower(),
    )


def _compute_laplacian(values: np.ndarray) -> np.ndarray:
    """[H, W] -> [H, W]; edges repeat their pixels."""
    padded = np.pad(values, 1, mode="edge")
    result: np.ndarray = (
        padded[:-2, 1:-1] + padded[2:, 1:-1] + padded[1:-1, :-2] + padded[1:-1, 2:] - 4 * padded[1:-1, 1:-1]
    )
    return result


def _round(value: float) -> float:
    return round(float(value), 4)

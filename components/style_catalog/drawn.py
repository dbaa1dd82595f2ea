"""Style images drawn by program: strokes, glass, tesserae and washes of 8 to 40 pixels, each from a fixed seed.

Photographs have colors but no strokes. These have strokes, and no rights of others. `drawings/` has a file for each.
"""

import functools
import io
from collections.abc import Callable

import numpy as np
from PIL import Image

from components.style_catalog.drawings import (
    marbling,
    mosaic,
    pointillism,
    stained_glass,
    swirls,
    watercolor,
    woodcut,
)

DRAWINGS: dict[str, Callable[[np.random.Generator], Image.Image]] = {
    "swirls": swirls.draw,
    "stained-glass": stained_glass.draw,
    "woodcut": woodcut.draw,
    "mosaic": mosaic.draw,
    "watercolour": watercolor.draw,
    "pointillism": pointillism.draw,
    "marbling": marbling.draw,
}
"""By the style's id. The position in this list is the seed: a new drawing is added at the end."""


@functools.cache
def draw(name: str) -> bytes:
    """Returns the PNG of one of `DRAWINGS`: the same bytes every time with the same Pillow and NumPy."""
    seed = list(DRAWINGS).index(name) + 1
    stream = io.BytesIO()
    DRAWINGS[name](np.random.default_rng(seed)).save(stream, "PNG", compress_level=3)
    return stream.getvalue()

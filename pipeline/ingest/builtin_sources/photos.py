"""96 x 96 JPEG patches of 12 photos and textures, each a class: `<split>/<class>/<row>_<column>.jpg`.

The splits are given: training patches come from the left half of a photo, eval patches from a strip right of it, test
patches from the right quarter. No pixel is in two splits (patches of one split overlap each other). It shows that a
pretrained backbone is really loaded; it says nothing about generalizing to other photos.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from atelier.files import packaged
from atelier.layout import EVAL, TEST, TRAIN
from pipeline.ingest.builtin_sources.registry import register

if TYPE_CHECKING:
    from PIL import Image

PATCH = 96
"""Side of a patch, in pixels."""

_PHOTOS = {
    "astronaut": ("skimage", "data/astronaut.png"),
    "brick": ("skimage", "data/brick.png"),
    "cat": ("skimage", "data/chelsea.png"),
    "coffee": ("skimage", "data/coffee.png"),
    "flower": ("sklearn", "datasets/images/flower.jpg"),
    "galaxies": ("skimage", "data/hubble_deep_field.jpg"),
    "grass": ("skimage", "data/grass.png"),
    "gravel": ("skimage", "data/gravel.png"),
    "pagoda": ("sklearn", "datasets/images/china.jpg"),
    "retina": ("skimage", "data/retina.jpg"),
    "rocket": ("skimage", "data/rocket.jpg"),
    "tissue": ("skimage", "data/ihc.png"),
}
# Larger photos are scaled down, so that a patch shows an object and not a grain of it.
_MAX_HEIGHT = 512
# Columns of each photo, as shares of its width, and the patches cut from them. The gaps keep patches apart.
_REGIONS = {TRAIN: (0.0, 0.5, 48), EVAL: (0.51, 0.735, 12), TEST: (0.745, 1.0, 24)}


@register("photos")
def cut_patches() -> Iterator[tuple[str, Image.Image]]:
    """Yields the patches, photo by photo."""
    from PIL import Image

    for label, (package, file) in _PHOTOS.items():
        photo: Image.Image = Image.open(packaged.find(package, file))
        photo.thumbnail((4 * _MAX_HEIGHT, _MAX_HEIGHT), Image.Resampling.LANCZOS)
        for split, (left, right, count) in _REGIONS.items():
            for x, y in _lay_grid(round(left * photo.width), round(right * photo.width), photo.height, count):
                yield f"{split}/{label}/{y:03d}_{x:03d}.jpg", photo.crop((x, y, x + PATCH, y + PATCH))


def _lay_grid(left: int, right: int, height: int, count: int) -> list[tuple[int, int]]:
    """Returns the upper left corners (x, y) of `count` patches, spread over the columns [left, right) and all rows."""
    columns = max(1, min(count // 4, round((right - left) / (PATCH // 2))))
    while count % columns:
        columns -= 1
    rows = count // columns
    xs = [left + (right - left - PATCH) * i // max(1, columns - 1) for i in range(columns)]
    ys = [(height - PATCH) * i // max(1, rows - 1) for i in range(rows)]
    return [(x, y) for y in ys for x in xs]

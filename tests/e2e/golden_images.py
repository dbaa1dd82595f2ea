"""Ten photographs from packages, each saved as another kind of file that people have."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from atelier.files import packaged
from tests.atelier import icc

_TURNED_RIGHT = 6  # of EXIF: the camera was held upright


def write(folder: Path) -> dict[Path, str]:
    """Writes the images; returns what is special about each."""
    written = {}
    for name, (special, save) in GOLDEN.items():
        save(folder / name)
        written[folder / name] = special
    return written


def _open(package: str, file: str, box: tuple[int, int, int, int] | None = None) -> Image.Image:
    image: Image.Image = Image.open(packaged.find(package, file)).convert("RGB")
    return image.crop(box) if box else image


def _save_china(path: Path) -> None:
    shutil.copy(packaged.find("sklearn", "datasets/images/china.jpg"), path)


def _save_coffee(path: Path) -> None:
    image = _open("skimage", "data/coffee.png", (300, 60, 560, 320))
    y, x = np.mgrid[:260, :260]
    alpha = np.clip(255 * (1.4 - np.hypot(x - 130, y - 130) / 130), 0, 255).astype(np.uint8)
    image.putalpha(Image.fromarray(alpha))
    image.save(path)


def _save_cat(path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = _TURNED_RIGHT
    cat = _open("skimage", "data/chelsea.png", (150, 40, 290, 170))
    cat.transpose(Image.Transpose.ROTATE_90).save(path, quality=92, exif=exif)


def _save_brick(path: Path) -> None:
    gray = np.asarray(_open("skimage", "data/brick.png", (390, 200, 500, 310)).convert("L")).astype(np.uint16)
    Image.fromarray(gray * 257).save(path)


def _save_gravel(path: Path) -> None:
    gray = np.asarray(_open("skimage", "data/gravel.png", (390, 200, 500, 310)).convert("L")).astype(np.uint16)
    Image.fromarray(gray << 4).save(path)


def _save_grass(path: Path) -> None:
    _open("skimage", "data/grass.png", (300, 0, 396, 512)).convert("L").save(path, quality=90)


def _save_flower(path: Path) -> None:
    flower = _open("sklearn", "datasets/images/flower.jpg", (330, 90, 480, 210))
    flower.save(path, quality=92, icc_profile=icc.matrix_profile("p3"))


def _save_rocket(path: Path) -> None:
    _open("skimage", "data/rocket.jpg", (200, 0, 500, 400)).convert("CMYK").save(path, quality=92)


def _save_retina(path: Path) -> None:
    _open("skimage", "data/retina.jpg", (700, 300, 1200, 800)).quantize(128).save(path)


def _save_tissue(path: Path) -> None:
    _open("skimage", "data/ihc.png", (384, 180, 512, 300)).save(path, quality=85)


GOLDEN: dict[str, tuple[str, Callable[[Path], None]]] = {
    "brick.png": ("PNG, gray, 16 bits", _save_brick),
    "cat.jpg": ("JPEG, turned by its EXIF block", _save_cat),
    "coffee.png": ("PNG, transparent at the edges", _save_coffee),
    "flower.jpg": ("JPEG with the profile Display P3", _save_flower),
    "grass.jpg": ("JPEG, gray, 96 x 512", _save_grass),
    "gravel.png": ("PNG, 12 of 16 bits in use", _save_gravel),
    "pagoda.jpg": ("JPEG, 640 x 427, as scikit-learn has it", _save_china),
    "retina.gif": ("GIF, 128 colors", _save_retina),
    "rocket.jpg": ("JPEG, CMYK", _save_rocket),
    "tissue.webp": ("WebP", _save_tissue),
}

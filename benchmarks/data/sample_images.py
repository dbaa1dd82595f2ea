"""Labeled images to measure with: cuts from photographs that come with packages."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from atelier.files import packaged

PHOTOGRAPHS = (
    ("skimage", "data/astronaut.png"),
    ("skimage", "data/coffee.png"),
    ("skimage", "data/chelsea.png"),
    ("skimage", "data/rocket.jpg"),
    ("sklearn", "datasets/images/china.jpg"),
    ("sklearn", "datasets/images/flower.jpg"),
)


def write_images(folder: Path, count: int, sides: Sequence[tuple[int, int]]) -> None:
    """Writes `count` cuts as JPEG, each at a scale and place of its own, a class a photograph.

    Args:
      folder: gets a subfolder for each class.
      count: of the images.
      sides: width and height in pixels; each class has them in turn.
    """
    random = np.random.default_rng(0)
    photographs = [Image.open(packaged.find(*name)).convert("RGB") for name in PHOTOGRAPHS]
    for number in range(count):
        turn, label = divmod(number, len(photographs))
        photograph = photographs[label]
        share = random.uniform(0.5, 0.9)
        width, height = (round(share * side) for side in photograph.size)
        left = int(random.integers(0, photograph.width - width))
        top = int(random.integers(0, photograph.height - height))
        box = (left, top, left + width, top + height)
        cut = photograph.resize(sides[turn % len(sides)], Image.Resampling.LANCZOS, box)
        target = folder / f"class_{label}" / f"{number:05d}.jpg"
        target.parent.mkdir(parents=True, exist_ok=True)
        cut.save(target, quality=90)

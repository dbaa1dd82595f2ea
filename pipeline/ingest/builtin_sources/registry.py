"""The built-in sources by name; each module beside this one registers its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import Image

Images = Callable[[], "Iterator[tuple[str, Image.Image]]"]
"""Yields the path of each image below the source's folder, which says class and split, and the image.

A path that ends in `.png` is stored without loss; another one must end in `.jpg`. A package that lacks its data is a
FileNotFoundError.
"""
SOURCES: dict[str, Images] = {}


def register(name: str) -> Callable[[Images], Images]:
    """Registers the decorated function as the built-in source `name`."""

    def add(images: Images) -> Images:
        SOURCES[name] = images
        return images

    return add

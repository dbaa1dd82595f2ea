"""JPEGs for the gallery: originals at the renderings' size, and thumbnails where an image is larger than its cell."""

import io
from typing import Any

from PIL import Image

from atelier import storage
from atelier.files.slugs import make_slug
from components.style_renderer.batch.units import KEY_IN_NAMES, Format

THUMBNAILS = "thumbnails"

STYLE = 1024
"""Longer side of a style's image in pixels."""
THUMBNAIL = 512
"""Longer side of a thumbnail in pixels: a grid cell of 256 on a screen with two pixels a point."""

_QUALITY: dict[Format, dict[str, Any]] = {"jpeg": {"quality": 95, "subsampling": 0}, "png": {"optimize": True}}


def encode(image: Image.Image, image_format: Format) -> bytes:
    """A rendering as it is stored: JPEG of quality 95 without chroma subsampling, or PNG."""
    stream = io.BytesIO()
    image.save(stream, image_format.upper(), **_QUALITY[image_format])
    return stream.getvalue()


def locate_original(stem: str) -> str:
    """Where a content's original lies, relative to the batch's folder."""
    return f"originals/{stem}.jpg"


def locate_style(style_id: str, sha256: str) -> str:
    """Where a style's image lies, relative to the batch's folder."""
    return f"styles/{make_slug(style_id)}--{sha256[:KEY_IN_NAMES]}.jpg"


def write(directory: str, name: str, image: Image.Image, longer_side: int) -> None:
    """Writes `directory/name` as a JPEG of at most `longer_side` pixels, and its thumbnail if that is smaller."""
    if max(image.size) > longer_side:
        image = image.copy()
        image.thumbnail((longer_side, longer_side), Image.Resampling.LANCZOS, reducing_gap=3.0)
    storage.write_bytes(storage.join(directory, *name.split("/")), _shrink(image))
    write_thumbnail(directory, name, image)


def write_thumbnail(directory: str, name: str, image: Image.Image) -> None:
    """Writes the thumbnail of `directory/name`, unless the image itself is no larger."""
    if max(image.size) > THUMBNAIL:
        small = image.copy()
        small.thumbnail((THUMBNAIL, THUMBNAIL), Image.Resampling.LANCZOS, reducing_gap=3.0)
        storage.write_bytes(
            storage.join(directory, *locate_thumbnail(name, max(image.size)).split("/")), _shrink(small)
        )


def locate_thumbnail(name: str, longer_side: int) -> str:
    """What the grid shows for an image of this size in pixels: the image itself, or its thumbnail."""
    if longer_side <= THUMBNAIL:
        return name
    return f"{THUMBNAILS}/{name.rsplit('.', 1)[0]}.jpg"


def _shrink(image: Image.Image) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=88, progressive=True)
    return stream.getvalue()

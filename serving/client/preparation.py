"""From a picture as it lies there to the bytes that are sent: checked, and downscaled by ingest's own code."""

import os
from dataclasses import dataclass
from pathlib import Path

from atelier import images
from atelier.files import image_files
from atelier.layout import MAX_PIXELS, max_file_bytes
from pipeline.config.config import Ingest
from serving.client.errors import ServingError

LONGER_SIDE = Ingest().store_size
"""Pixels: what training pictures were scaled down to, the model was made of."""
_MAX_FILE_BYTES = max_file_bytes(MAX_PIXELS)


@dataclass(frozen=True)
class Prepared:
    """A checked picture.

    Attributes:
      name: the file's path, or what else a message calls it.
      encoded: JPEG or PNG.
    """

    name: str
    encoded: bytes


Picture = bytes | str | os.PathLike[str] | Prepared
"""The bytes of an encoded picture, the path of its file, or one that `prepare` gave."""


def prepare(picture: Picture, longer_side: int | None = LONGER_SIDE, name: str = "the picture") -> Prepared:
    """Checks a picture and gives it the form in which it is sent.

    Args:
      picture: JPEG, PNG, BMP, GIF, WebP or TIFF.
      longer_side: in pixels; larger ones are scaled down to it. None: JPEG and plain 8-bit PNG in sRGB are sent byte
        for byte, and all else, which TensorFlow would refuse or see differently, in full size as ingest would store it
        (PNG; WebP becomes JPEG).
      name: what messages call it, if it is bytes.

    Raises:
      ServingError: it cannot be read, or is no picture; the message names it.
    """
    if isinstance(picture, Prepared):
        return picture
    if not isinstance(picture, bytes):
        name = image_files.format_path(os.fspath(picture))
    try:
        encoded = picture if isinstance(picture, bytes) else image_files.read_image_file(Path(picture), _MAX_FILE_BYTES)
        if longer_side is None:
            return Prepared(name, images.convert_for_tensorflow(encoded, MAX_PIXELS))
        return Prepared(name, images.normalize(encoded, longer_side, MAX_PIXELS).encoded)
    except images.RejectedImageError as refusal:
        raise ServingError(f"{name}: {refusal}") from refusal

"""Prepares an image for sending: checks it, and scales it down as the images of the training were."""

import os
from dataclasses import dataclass, field
from pathlib import Path

from atelier import images
from atelier.files.image_files import read_image_file
from atelier.files.path_text import format_path
from atelier.layout import MAX_PIXELS, compute_max_file_bytes
from atelier.preprocessing import JPEG_QUALITY, STORE_SIZE, Preprocessing
from serving.client.errors import ServingError


@dataclass(frozen=True)
class Preparation:
    """What is done to an image before it is sent. The defaults are those of the configuration's section `ingest`.

    Attributes:
      store_size: longer side in pixels to which larger images are scaled down. None: JPEG and plain 8-bit PNG in sRGB
        are sent byte for byte. All else, which TensorFlow would reject or see differently, is sent in full size as
        ingest would store it (PNG; WebP becomes JPEG).
      max_pixels: an image whose header promises more is rejected.
      jpeg_quality: of images that are scaled down.
    """

    store_size: int | None = STORE_SIZE
    max_pixels: int = MAX_PIXELS
    jpeg_quality: int = JPEG_QUALITY

    @classmethod
    def from_model(cls, preprocessing: Preprocessing) -> "Preparation":
        """Returns what a model's preprocessing asks of a client; the model itself does the rest."""
        return cls(preprocessing.store_size, preprocessing.max_pixels, preprocessing.jpeg_quality)


AS_IS = Preparation(store_size=None)
"""Images are sent in their own size, whatever the model's training did."""


@dataclass(frozen=True)
class PreparedImage:
    """A checked image.

    Attributes:
      name: the file's path, or what else a message calls the image.
      encoded: JPEG or PNG.
      source: what `encoded` was made of: the file's path, or its bytes.
      preparation: how `encoded` was made.
    """

    name: str
    encoded: bytes = field(repr=False)
    source: bytes | Path = field(repr=False)
    preparation: Preparation


ImageSource = bytes | str | os.PathLike[str] | PreparedImage
"""The bytes of an encoded image, the path of its file, or a prepared image."""


def prepare(image: ImageSource, preparation: Preparation, name: str = "the image") -> PreparedImage:
    """Checks an image and gives it the form in which it is sent.

    Args:
      image: JPEG, PNG, BMP, GIF, WebP or TIFF. An image that was prepared otherwise is prepared again from its source.
      preparation: how.
      name: what messages call the image if it is bytes.

    Raises:
      ServingError: it cannot be read, or is no image; the message names it.
    """
    if isinstance(image, PreparedImage):
        if image.preparation == preparation:
            return image
        name, image = image.name, image.source
    source = image if isinstance(image, bytes) else Path(image)
    if isinstance(source, Path):
        name = format_path(os.fspath(source))
    limit = preparation.max_pixels
    try:
        content = source if isinstance(source, bytes) else read_image_file(source, compute_max_file_bytes(limit))
        if preparation.store_size is None:
            encoded = images.convert_for_tensorflow(content, limit)
        else:
            encoded = images.normalize(content, preparation.store_size, limit, preparation.jpeg_quality).encoded
    except images.RejectedImageError as rejection:
        raise ServingError(f"{name}: {rejection}") from rejection
    return PreparedImage(name, encoded, source, preparation)

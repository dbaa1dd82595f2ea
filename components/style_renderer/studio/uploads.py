"""Images that came from the page: checked before they are decoded, and kept under the hash of their bytes."""

import hashlib
import json
import re
from pathlib import Path

from PIL import Image, ImageOps

from atelier import images, storage
from atelier.layout import MAX_PIXELS
from components.style_renderer.engine.settings import MAX_SCALE
from components.style_renderer.studio.request import IMAGE_ID, StudioError

MAX_BYTES = 128 * 2**20
"""Of an upload."""
_LONGEST_NAME = 200
_ID_DIGITS = 32


class Uploads:
    """The folder of images."""

    def __init__(self, folder: Path) -> None:
        """Keeps images in `folder`, which is made."""
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def add(self, name: str, encoded: bytes) -> dict:
        """Keeps an image; returns its facts: id, name, width, height.

        Args:
          name: for people; it never becomes a path.
          encoded: the file's bytes.

        Raises:
          StudioError: it is no image, or larger than allowed.
        """
        name = "".join(character for character in name if character.isprintable())[:_LONGEST_NAME] or "image"
        try:
            stored = images.normalize(encoded, MAX_SCALE, MAX_PIXELS)
        except images.RejectedImageError as rejection:
            raise StudioError(f"{name}: {rejection}") from None
        identity = hashlib.sha256(encoded).hexdigest()[:_ID_DIGITS]
        facts = {"id": identity, "name": name, "width": stored.width, "height": stored.height}
        storage.write_bytes(str(self.locate(identity)), stored.encoded)
        storage.write_bytes(str(self._folder / f"{identity}.json"), json.dumps(facts).encode())
        return facts

    def locate(self, identity: str) -> Path:
        """The file of an image; its bytes are a JPEG's or a PNG's."""
        return self._folder / f"{identity}.image"

    def describe(self, identity: str) -> dict:
        """The facts that `add` returned.

        Raises:
          StudioError: there is no such image.
        """
        try:
            if not re.fullmatch(IMAGE_ID, identity):
                raise ValueError
            return json.loads((self._folder / f"{identity}.json").read_bytes())
        except (OSError, ValueError):
            raise StudioError(f"the image {identity} is not in the studio; add it again") from None

    def encode_view(self, identity: str, size: int) -> bytes:
        """A JPEG of at most `size` pixels.

        Raises:
          StudioError: there is no such image.
        """
        self.describe(identity)
        return make_view(self.locate(identity), size)


def make_view(file: Path, size: int) -> bytes:
    """A JPEG of at most `size` pixels of an image that the studio has written."""
    from components.style_renderer.gallery import previews

    # Its size was checked when it was made.
    with Image.open(file) as opened:
        opened.draft("RGB", (size, size))
        image = ImageOps.exif_transpose(opened).convert("RGB")
    image.thumbnail((size, size), Image.Resampling.LANCZOS, reducing_gap=3.0)
    return previews.encode(image, "jpeg")

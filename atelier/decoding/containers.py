"""The files that hold images: which formats are taken, and whether a file is whole."""

import io
import re

from PIL import Image, ImageFile

from atelier.decoding.rejection import PNG_END, Reason, RejectedImageError
from compat import pillow_limits

pillow_limits.lift_limits()

FORMATS = ("JPEG", "PNG", "BMP", "GIF", "WEBP", "TIFF")
# FF 00 is a data byte, D0-D7 are restarts, FF FF is filling: none of them begins a segment.
_JPEG_MARKER = re.compile(rb"\xff[^\x00\x01\xff\xd0-\xd7]")


def open_image(encoded: bytes) -> ImageFile.ImageFile:
    """Reads the header; the pixels stay undecoded."""
    return Image.open(io.BytesIO(encoded), formats=FORMATS)


def check_whole(image: Image.Image, encoded: bytes) -> None:
    """Rejects what Pillow would decode without a word, and TensorFlow's stricter readers would not."""
    if image.format in ("JPEG", "MPO") and not _has_jpeg_end(encoded):
        raise RejectedImageError(Reason.TRUNCATED, "the JPEG's segments do not lead to an end marker")
    if image.format == "PNG":
        if PNG_END not in encoded:
            raise RejectedImageError(Reason.TRUNCATED, "the PNG has no end chunk")
        open_image(encoded).verify()  # the checksums


def check_tensorflow_decodes(image: Image.Image, encoded: bytes) -> None:
    """Rejects the formats that Pillow decodes and TensorFlow does not."""
    what = ""
    if image.format == "TIFF":
        what = "TIFF"
    elif image.format == "WEBP" and getattr(image, "is_animated", False):
        what = "animated WebP"
    elif image.format == "BMP":
        what = _explain_unusual_bmp(image, encoded)
    if what:
        raise RejectedImageError(
            Reason.UNSUPPORTED, f"{what}, which TensorFlow does not decode: convert it to JPEG or PNG"
        )


def _explain_unusual_bmp(image: Image.Image, encoded: bytes) -> str:
    """What about a BMP is beyond TensorFlow's decoder; "" if nothing."""
    start, header, bits, compression = (
        int.from_bytes(encoded[at : at + size], "little") for at, size in ((10, 4), (14, 4), (28, 2), (30, 4))
    )
    if header < 40:
        return "BMP with the header of OS/2"
    if bits not in (8, 24, 32):
        return f"BMP of {bits} bits a pixel"
    if compression not in (0, 3):
        return "compressed BMP"
    row = (image.width * bits // 8 + 3) // 4 * 4
    return "BMP with bytes after its pixels" if len(encoded) > start + row * image.height else ""


def _has_jpeg_end(encoded: bytes) -> bool:
    """Walks the segments as libjpeg does, over the entropy-coded data between them."""
    position = 2
    while marker := _JPEG_MARKER.search(encoded, position):
        if marker[0] == b"\xff\xd9":
            return True
        position = marker.end() + int.from_bytes(encoded[marker.end() : marker.end() + 2], "big")
    return False

"""One picture: from encoded bytes of any kind to 8-bit RGB, and to the bytes that are stored.

What is stored is always something that TensorFlow's own decoders read as the same picture: an upright 8-bit JPEG or
PNG.

- An upright 8-bit RGB or grey JPEG or PNG within the size limit keeps its very bytes: no generation loss.
- Any other PNG, BMP, GIF or TIFF within the limit becomes a PNG: still no loss.
- The rest (scaled down, turned, CMYK, WebP) becomes a JPEG of quality 95 without chroma subsampling.

Colour profiles are not applied; CMYK is converted by Pillow's plain formula.
"""

import contextlib
import enum
import hashlib
import io
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

# The caller's own limit is checked against the header before anything is decoded. Pillow's fixed limits would warn
# below a larger one, and raise where ours allows the picture.
Image.MAX_IMAGE_PIXELS = None

THUMBNAIL = (8, 9)
"""Rows and columns of the grey thumbnail by which near-duplicates are found (a dHash needs one column more)."""

_FORMATS = ("JPEG", "PNG", "BMP", "GIF", "WEBP", "TIFF")
_LOSSLESS = ("PNG", "BMP", "GIF", "TIFF")
_OPAQUE_8_BIT = ("RGB", "L")
_PNG_END = b"IEND\xaeB`\x82"
# FF 00 is a data byte, D0-D7 are restarts, FF FF is filling: none of them begins a segment.
_JPEG_MARKER = re.compile(rb"\xff[^\x00\x01\xff\xd0-\xd7]")
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# How files begin. Those of ours that Pillow cannot open are damaged; the others are pictures that we do not take.
_OUR_SIGNATURES = (b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"II*\0", b"MM\0*")
_OTHER_SIGNATURES = {
    b"8BPS": "Photoshop",
    b"\0\0\1\0": "icon",
    b"\0\0\0\x0cjP  ": "JPEG 2000",
    b"\xff\x4f\xff\x51": "JPEG 2000",
    b"\xff\x0a": "JPEG XL",
    b"\0\0\0\x0cJXL ": "JPEG XL",
    b"%PDF": "PDF",
    b"%!PS": "PostScript",
    b"<svg": "SVG",
}


class Reason(str, enum.Enum):
    """Why a file cannot be used."""

    EMPTY = "empty"
    NOT_AN_IMAGE = "not_an_image"
    UNSUPPORTED = "unsupported"
    """A picture, but of a format or pixel type that is not taken."""
    TRUNCATED = "truncated"
    CORRUPT = "corrupt"
    TOO_LARGE = "too_large"
    UNREADABLE_NAME = "unreadable_name"
    """The file's name is not UTF-8."""
    NO_PERMISSION = "no_permission"
    UNREADABLE = "unreadable"
    """Not a regular file, a link to nothing, or an I/O error."""


class RefusedError(Exception):
    """A file that cannot be used: `reason` for counting, `detail` for a person."""

    def __init__(self, reason: Reason, detail: str):
        super().__init__(f"{reason.value}: {detail}")
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True)
class Picture:
    """A picture as it is stored, with what identifies it.

    Attributes:
      encoded: JPEG or PNG bytes, upright, 8 bits a channel, grey or RGB.
      format: what `encoded` is.
      height: rows of `encoded`.
      width: columns of `encoded`.
      digest: 64 hex digits, SHA-256 of height, width and RGB pixels after orientation and conversion and before any
        scaling or lossy storing: the same picture gives the same digest whatever its format, name or `store_size`.
      thumbnail: 72 bytes, the picture in grey as 8 rows of 9 box-averaged pixels.
    """

    encoded: bytes
    format: Literal["jpeg", "png"]
    height: int
    width: int
    digest: str
    thumbnail: bytes


def normalize(encoded: bytes, store_size: int, max_pixels: int) -> Picture:
    """Decodes a picture, identifies it, and gives it the form in which it is stored.

    Args:
      encoded: the file's bytes; their content decides the format.
      store_size: the longer side of what is stored, at most, in pixels.
      max_pixels: width x height that the header may promise, at most.

    Raises:
      RefusedError: the picture cannot be used.
    """
    image, source_format, is_plain = decode(encoded, max_pixels)
    identity = hashlib.sha256(b"%dx%d:" % (image.height, image.width))
    identity.update(image.tobytes())
    rows, columns = THUMBNAIL
    thumbnail = image.convert("L").resize((columns, rows), Image.Resampling.BOX).tobytes()

    fits = max(image.size) <= store_size
    if not fits:
        image.thumbnail((store_size, store_size), Image.Resampling.LANCZOS, reducing_gap=3.0)
    stored_format: Literal["jpeg", "png"]
    if fits and is_plain:
        stored, stored_format = encoded, "png" if source_format == "PNG" else "jpeg"
    elif fits and source_format in _LOSSLESS:
        stored, stored_format = _encode(image, "PNG"), "png"
    else:
        stored, stored_format = _encode(image, "JPEG", quality=95, subsampling=0), "jpeg"
    return Picture(stored, stored_format, image.height, image.width, identity.hexdigest(), thumbnail)


class Decoded(NamedTuple):
    """A decoded picture.

    Attributes:
      image: the pixels, mode RGB, without any metadata.
      format: what the bytes were, as Pillow names it.
      is_plain: the bytes themselves are an opaque, upright, still, 8-bit RGB or grey JPEG or PNG.
    """

    image: Image.Image
    format: str
    is_plain: bool


def decode(encoded: bytes, max_pixels: int) -> Decoded:
    """Decodes the first frame to upright 8-bit RGB.

    Grey and palette are expanded, 16 bits keep their high byte, transparency is laid over white. A damaged EXIF block
    counts as "upright": the pixels are sound.

    Raises:
      RefusedError: the picture cannot be used.
    """
    if not encoded:
        raise RefusedError(Reason.EMPTY, "0 bytes")
    with _damage_named(encoded):
        image = Image.open(io.BytesIO(encoded), formats=_FORMATS)
    if image.width * image.height > max_pixels:
        raise RefusedError(
            Reason.TOO_LARGE, f"{image.width} x {image.height} pixels are more than max_pixels allows ({max_pixels})"
        )
    with _damage_named(encoded):
        _check_whole(image, encoded)
        image.load()
        turn = _TURNS.get(_orientation(image))
        is_plain = turn is None and _is_plain(image, encoded)
        rgb = _to_rgb(image)
    if turn is not None:
        rgb = rgb.transpose(turn)
    rgb.info = {}
    return Decoded(rgb, str(image.format), is_plain)


def promised_pixels(encoded: bytes) -> int:
    """Width x height as the header says, nothing decoded; 0 where it is no picture, or its header is damaged."""
    try:
        return math.prod(Image.open(io.BytesIO(encoded), formats=_FORMATS).size)
    except Exception:  # noqa: BLE001 (any kind, as everywhere in Pillow's parsers)
        return 0


@contextlib.contextmanager
def _damage_named(encoded: bytes) -> Iterator[None]:
    """Turns whatever Pillow raises on damaged data, which is nearly every kind of exception, into a refusal."""
    try:
        yield
    except RefusedError:
        raise
    except UnidentifiedImageError:
        raise _unidentified(encoded) from None
    except MemoryError:
        raise RefusedError(Reason.TOO_LARGE, "the pixels do not fit into memory") from None
    except Exception as error:  # noqa: BLE001
        raise _damaged(encoded, error) from None


def _check_whole(image: Image.Image, encoded: bytes) -> None:
    """Refuses what Pillow would decode without a word, and TensorFlow's stricter readers would not."""
    if image.format in ("JPEG", "MPO") and not _jpeg_ends(encoded):
        raise RefusedError(Reason.TRUNCATED, "the JPEG's segments do not lead to an end marker")
    if image.format == "PNG":
        if _PNG_END not in encoded:
            raise RefusedError(Reason.TRUNCATED, "the PNG has no end chunk")
        Image.open(io.BytesIO(encoded), formats=_FORMATS).verify()  # the checksums


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16"):
        samples = np.asarray(image)
        grey = (samples >> 8).astype(np.uint8)
        if "transparency" in image.info:
            grey[samples == image.info["transparency"]] = 255
        return Image.fromarray(grey).convert("RGB")
    if image.mode in ("I", "F", "LAB"):
        raise RefusedError(
            Reason.UNSUPPORTED, f"pixels of type {image.mode} have no fixed range; save it with 8 or 16 bits"
        )
    if image.has_transparency_data:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")


def _is_plain(image: Image.Image, encoded: bytes) -> bool:
    if image.mode not in _OPAQUE_8_BIT:
        return False
    if image.format == "PNG":
        bit_depth = encoded[24]
        return bit_depth == 8 and "transparency" not in image.info and not getattr(image, "is_animated", False)
    return image.format == "JPEG"


def _orientation(image: Image.Image) -> int:
    try:
        return image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # noqa: BLE001 (any kind, as everywhere in Pillow's parsers)
        return 1


def _encode(image: Image.Image, pillow_format: str, **options: int) -> bytes:
    stream = io.BytesIO()
    image.save(stream, pillow_format, **options)
    return stream.getvalue()


def _jpeg_ends(encoded: bytes) -> bool:
    """Walks the segments as libjpeg does, over the entropy-coded data between them."""
    position = 2
    while marker := _JPEG_MARKER.search(encoded, position):
        if marker[0] == b"\xff\xd9":
            return True
        position = marker.end() + int.from_bytes(encoded[marker.end() : marker.end() + 2], "big")
    return False


def _unidentified(encoded: bytes) -> RefusedError:
    if encoded.startswith(_OUR_SIGNATURES):
        return RefusedError(Reason.TRUNCATED, "it begins like a picture, but its header is cut short or damaged")
    if encoded[4:8] == b"ftyp":
        return RefusedError(Reason.UNSUPPORTED, "HEIC, AVIF or video: convert it to JPEG, PNG or WebP")
    start = encoded[:512].lstrip()
    for signature, name in _OTHER_SIGNATURES.items():
        if encoded.startswith(signature) or start.startswith(signature):
            return RefusedError(Reason.UNSUPPORTED, f"{name}: convert it to JPEG, PNG or WebP")
    return RefusedError(Reason.NOT_AN_IMAGE, f"it begins with {encoded[:8]!r}")


def _damaged(encoded: bytes, error: Exception) -> RefusedError:
    detail = f"{type(error).__name__}: {error}"
    cut_png = encoded.startswith(b"\x89PNG") and _PNG_END not in encoded
    cut_webp = encoded[8:12] == b"WEBP" and len(encoded) < 8 + int.from_bytes(encoded[4:8], "little")
    if cut_png or cut_webp or "truncated" in detail.lower() or isinstance(error, EOFError):
        return RefusedError(Reason.TRUNCATED, detail)
    return RefusedError(Reason.CORRUPT, detail)

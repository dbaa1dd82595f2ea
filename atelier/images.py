"""One image: from encoded bytes of any kind to 8-bit RGB, and to the bytes that are stored.

What is stored is always something that TensorFlow's own decoders read as the same image: an upright 8-bit JPEG or
PNG.

- An upright 8-bit RGB or gray JPEG or PNG within the size limit keeps its very bytes: no generation loss.
- Any other PNG, BMP, GIF or TIFF within the limit becomes a PNG: still no loss.
- The rest (scaled down, turned, CMYK, WebP, a JPEG in another color space than sRGB) becomes a JPEG of quality 95
  without chroma subsampling.

An embedded ICC profile is converted to sRGB (`decoding/color_profiles.py`); without one, RGB and gray are sRGB, and
CMYK is converted by Pillow's plain formula. Of PNG's other ways to say a color space, `cICP` counts: sRGB and Display
P3 are taken, the rest (HDR) is rejected. `gAMA` and `cHRM` are ignored: no decoder that a client or TensorFlow uses
applies them, and many files hold wrong ones. Of 16-bit samples the bits in use are kept (`decoding/sample_depth.py`).
"""

import bisect
import hashlib
import io
import itertools
import math
from dataclasses import dataclass
from typing import Literal, NamedTuple

from PIL import Image, ImageFile

from atelier.decoding import color_profiles, jpeg, png, sample_depth
from atelier.decoding.color_profiles import Effect
from atelier.decoding.containers import check_tensorflow_decodes, check_whole, open_image
from atelier.decoding.conversion import (
    TURNS,
    Remark,
    convert_to_srgb,
    find_profile,
    read_orientation,
    reduce_to_8_bits,
)
from atelier.decoding.rejection import Reason, RejectedImageError, reject_damage
from atelier.preprocessing import JPEG_QUALITY

__all__ = [
    "THUMBNAIL",
    "DecodedImage",
    "Reason",
    "RejectedImageError",
    "Remark",
    "StoredImage",
    "convert_for_tensorflow",
    "count_promised_pixels",
    "decode",
    "normalize",
    "verify",
]

THUMBNAIL = (8, 9)
"""Rows and columns of the gray thumbnail by which near-duplicates are found (a dHash needs one column more)."""

_LOSSLESS = ("PNG", "BMP", "GIF", "TIFF")
_OPAQUE_8_BIT = ("RGB", "L")
_ONE_COLOR_LEVELS = 16
"""Levels of 255 within which an eye hardly sees an edge."""


@dataclass(frozen=True)
class StoredImage:
    """An image as it is stored, with what identifies it.

    Attributes:
      encoded: JPEG or PNG bytes, upright, 8 bits a channel, gray or RGB.
      format: what `encoded` is.
      height: rows of `encoded`.
      width: columns of `encoded`.
      digest: 64 hex digits, SHA-256 of height, width and RGB pixels after orientation and conversion and before any
        scaling or lossy storing: the same image gives the same digest whatever its format, name or `store_size`.
      thumbnail: 72 bytes, the image in gray as 8 rows of 9 box-averaged pixels.
      remarks: for the report.
    """

    encoded: bytes
    format: Literal["jpeg", "png"]
    height: int
    width: int
    digest: str
    thumbnail: bytes
    remarks: tuple[Remark, ...] = ()


def normalize(encoded: bytes, store_size: int, max_pixels: int, jpeg_quality: int = JPEG_QUALITY) -> StoredImage:
    """Decodes an image, identifies it, and gives it the form in which it is stored.

    Args:
      encoded: the file's bytes; their content decides the format.
      store_size: the longer side of what is stored, at most, in pixels.
      max_pixels: width x height that the header may promise, at most.
      jpeg_quality: of what is stored as a JPEG that it was not before.

    Raises:
      RejectedImageError: the image cannot be used.
    """
    image, source_format, is_plain, remarks = decode(encoded, max_pixels)
    identity = hashlib.sha256(b"%dx%d:" % (image.height, image.width))
    identity.update(image.tobytes())
    rows, columns = THUMBNAIL
    thumbnail = image.convert("L").resize((columns, rows), Image.Resampling.BOX).tobytes()

    fits = max(image.size) <= store_size
    if not fits:
        image.thumbnail((store_size, store_size), Image.Resampling.LANCZOS, reducing_gap=3.0)
    # A thousandth of the pixels moves the mean of 1/72 of the image by 18 levels at most: with more contrast than that
    # and the few levels there is no need to count all pixels.
    if max(thumbnail) - min(thumbnail) <= 64 and _is_one_color(image):
        remarks = (*remarks, Remark.ONE_COLOR)
    stored_format: Literal["jpeg", "png"]
    if fits and is_plain:
        stored, stored_format = encoded, "png" if source_format == "PNG" else "jpeg"
    elif fits and source_format in _LOSSLESS:
        stored, stored_format = _encode(image, "PNG"), "png"
    else:
        stored, stored_format = _encode(image, "JPEG", quality=jpeg_quality, subsampling=0), "jpeg"
    return StoredImage(stored, stored_format, image.height, image.width, identity.hexdigest(), thumbnail, remarks)


class DecodedImage(NamedTuple):
    """A decoded image.

    Attributes:
      image: the pixels, mode RGB, without any metadata.
      format: what the bytes were, as Pillow names it.
      is_plain: the bytes themselves are an opaque, upright, still, 8-bit RGB or gray JPEG or PNG in sRGB.
      remarks: what was done beside turning and laying over white.
    """

    image: Image.Image
    format: str
    is_plain: bool
    remarks: tuple[Remark, ...] = ()


def decode(encoded: bytes, max_pixels: int) -> DecodedImage:
    """Decodes the first frame to upright 8-bit sRGB.

    Gray and palette are expanded, 16 bits keep the 8 highest of those in use, colors are converted to sRGB, and
    transparency is laid over white; so an image that is transparent everywhere is white, as its viewers show nothing
    of it. A damaged EXIF block counts as "upright": the pixels are sound.

    Raises:
      RejectedImageError: the image cannot be used.
    """
    image = _open(encoded)
    _check_size(image, max_pixels)
    with reject_damage(encoded):
        check_whole(image, encoded)
        source_format = str(image.format)
        deep = sample_depth.is_deep(image)
        image.load()
        turn = TURNS.get(read_orientation(image))
        is_plain = turn is None and _is_plain(image, encoded)
        chunks = png.read_chunks(encoded) if source_format == "PNG" else {}
        if "transparency" in image.info and source_format == "PNG":
            _correct_transparency(image, encoded)
        profile = find_profile(image, chunks)
        reduced, remarks = reduce_to_8_bits(image, encoded, deep, chunks)
        rgb, effect = convert_to_srgb(reduced, profile)
    if turn is not None:
        rgb = rgb.transpose(turn)
    rgb.info = {}
    if effect is not Effect.NONE:
        is_plain = False
        remarks += (Remark.PROFILE_CONVERTED if effect is Effect.CONVERTED else Remark.PROFILE_IGNORED,)
    elif profile and not color_profiles.is_matrix(profile):
        is_plain = False  # sRGB, but said in a way that the served graph does not read
    return DecodedImage(rgb, source_format, is_plain, remarks)


def convert_for_tensorflow(encoded: bytes, max_pixels: int) -> bytes:
    """Returns bytes that `trainer.images.ops.decode` turns into the pixels that `decode` gives, in full size.

    They are the bytes themselves if they are plain, or a JPEG that only wants turning or is CMYK without a profile;
    else a PNG or JPEG as ingest stores it.

    Raises:
      RejectedImageError: the image cannot be used.
    """
    image, source_format, is_plain, remarks = decode(encoded, max_pixels)
    if is_plain or (source_format in ("JPEG", "MPO") and not remarks and _graph_reads_jpeg(encoded)):
        return encoded
    return normalize(encoded, max(image.size), max_pixels).encoded


def verify(encoded: bytes, max_pixels: int) -> None:
    """Checks that TensorFlow decodes the bytes of a record, which it gets as they are.

    The entropy-coded data of a JPEG is read to its end, but its pixels are decoded at 1/8 of their size: that finds
    what is cut short, in a quarter of the time.

    Raises:
      RejectedImageError: the image cannot be used.
    """
    image = _open(encoded)
    with reject_damage(encoded):
        check_tensorflow_decodes(image, encoded)
    _check_size(image, max_pixels)
    with reject_damage(encoded):
        check_whole(image, encoded)
        if image.format in ("JPEG", "MPO"):
            image.draft(None, (1, 1))
        if image.format == "GIF" and b"\0;" not in encoded:
            raise RejectedImageError(Reason.TRUNCATED, "the GIF has no end")
        image.load()


def _open(encoded: bytes) -> ImageFile.ImageFile:
    """Reads the header.

    Raises:
      RejectedImageError: there are no bytes, or it is damaged.
    """
    if not encoded:
        raise RejectedImageError(Reason.EMPTY, "0 bytes")
    with reject_damage(encoded):
        return open_image(encoded)


def _check_size(image: Image.Image, max_pixels: int) -> None:
    """Raises RejectedImageError if the header names more than `max_pixels`; nothing is decoded for it."""
    if image.width * image.height > max_pixels:
        raise RejectedImageError(
            Reason.TOO_LARGE, f"{image.width} x {image.height} pixels are more than max_pixels allows ({max_pixels})"
        )


def count_promised_pixels(encoded: bytes) -> int:
    """Width x height as the header says, nothing decoded; 0 where it is no image, or its header is damaged."""
    try:
        return math.prod(open_image(encoded).size)
    except Exception:  # noqa: BLE001 (any kind, as everywhere in Pillow's parsers)
        return 0


def _graph_reads_jpeg(encoded: bytes) -> bool:
    image = open_image(encoded)
    profile = image.info.get("icc_profile")
    # Without Adobe's marker TensorFlow takes 0 for white in CMYK, and Pillow 255.
    if image.mode == "CMYK" and "adobe" not in image.info:
        return False
    return jpeg.is_usual(encoded) and (not profile or color_profiles.is_matrix(profile))


def _correct_transparency(image: Image.Image, encoded: bytes) -> None:
    """Puts what libpng, and so the served graph, takes a PNG's transparency for in the place of Pillow's reading."""
    transparency = png.read_transparency(encoded)
    if transparency is None:
        del image.info["transparency"]
    else:
        image.info["transparency"] = transparency


def _is_plain(image: Image.Image, encoded: bytes) -> bool:
    if image.mode not in _OPAQUE_8_BIT:
        return False
    if image.format == "PNG":
        bit_depth = encoded[24]
        is_still = not getattr(image, "is_animated", False)
        return bit_depth == 8 and "transparency" not in image.info and is_still and png.is_usual(encoded)
    return image.format == "JPEG" and jpeg.is_usual(encoded)


def _is_one_color(image: Image.Image) -> bool:
    """Whether in each channel all but a thousandth of the pixels lie within a few levels."""
    histogram = image.histogram()
    outside = image.width * image.height / 1000 / 2
    for start in range(0, len(histogram), 256):
        below = list(itertools.accumulate(histogram[start : start + 256]))
        darkest = bisect.bisect_right(below, outside)
        lightest = bisect.bisect_left(below, below[-1] - outside)
        if lightest - darkest > _ONE_COLOR_LEVELS:
            return False
    return True


def _encode(image: Image.Image, pillow_format: str, **options: int) -> bytes:
    stream = io.BytesIO()
    image.save(stream, pillow_format, **options)
    return stream.getvalue()

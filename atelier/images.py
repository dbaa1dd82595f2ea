"""One picture: from encoded bytes of any kind to 8-bit RGB, and to the bytes that are stored.

What is stored is always something that TensorFlow's own decoders read as the same picture: an upright 8-bit JPEG or
PNG.

- An upright 8-bit RGB or grey JPEG or PNG within the size limit keeps its very bytes: no generation loss.
- Any other PNG, BMP, GIF or TIFF within the limit becomes a PNG: still no loss.
- The rest (scaled down, turned, CMYK, WebP, a JPEG in another color space than sRGB) becomes a JPEG of quality 95
  without chroma subsampling.

An embedded ICC profile is converted to sRGB (`decoding/color_profiles.py`); without one, RGB and gray are sRGB, and
CMYK is converted by Pillow's plain formula. Of PNG's other ways to say a color space, `cICP` counts: sRGB and Display
P3 are taken, the rest (HDR) is refused. `gAMA` and `cHRM` are ignored: no decoder that a client or TensorFlow uses
applies them, and many files hold wrong ones. Of 16-bit samples the bits in use are kept (`decoding/sample_depth.py`).
"""

import bisect
import contextlib
import enum
import hashlib
import io
import itertools
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

from PIL import ExifTags, Image, ImageFile, PngImagePlugin, UnidentifiedImageError

from atelier.decoding import color_profiles, sample_depth
from atelier.decoding.color_profiles import Effect
from atelier.errors import AtelierError
from atelier.preprocessing import JPEG_QUALITY

# The caller's own limit is checked against the header before anything is decoded. Pillow's fixed limits would warn
# below a larger one, and raise where ours allows the picture.
Image.MAX_IMAGE_PIXELS = None
# Pillow refuses a PNG whose profile is larger than 1 MiB, which the tables of printers and scanners can be.
PngImagePlugin.MAX_TEXT_CHUNK = 16 * 2**20

THUMBNAIL = (8, 9)
"""Rows and columns of the grey thumbnail by which near-duplicates are found (a dHash needs one column more)."""

_FORMATS = ("JPEG", "PNG", "BMP", "GIF", "WEBP", "TIFF")
_LOSSLESS = ("PNG", "BMP", "GIF", "TIFF")
_OPAQUE_8_BIT = ("RGB", "L")
_ONE_COLOR_LEVELS = 16
"""Levels of 255 within which an eye hardly sees an edge."""
# Color primaries and transfer function of PNG's `cICP` (ITU-T H.273).
_SRGB_CODE_POINTS, _DISPLAY_P3_CODE_POINTS = (1, 13), (12, 13)
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


class Reason(enum.StrEnum):
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


class RefusedError(AtelierError):
    """A file that cannot be used: `reason` for counting, `detail` for a person."""

    def __init__(self, reason: Reason, detail: str):
        super().__init__(f"{reason.value}: {detail}")
        self.reason = reason
        self.detail = detail


class Remark(enum.StrEnum):
    """What was done to an image, or is striking about it, that a person may want to know."""

    PROFILE_CONVERTED = "profile_converted"
    """Its colors were converted from its own profile to sRGB."""
    PROFILE_IGNORED = "profile_ignored"
    """Its profile is broken or unsuitable; the image was taken as sRGB."""
    DEPTH_SCALED = "depth_scaled"
    """16-bit samples of which only 14, 12, 10 or 8 bits are in use: scaled to these."""
    ALPHA_IGNORED = "alpha_ignored"
    """A BMP with an alpha of 0 everywhere, as programs write that leave the byte unset: taken as opaque."""
    ONE_COLOR = "one_color"
    """Nearly all pixels have one color."""


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
      remarks: for the report.
    """

    encoded: bytes
    format: Literal["jpeg", "png"]
    height: int
    width: int
    digest: str
    thumbnail: bytes
    remarks: tuple[Remark, ...] = ()


def normalize(encoded: bytes, store_size: int, max_pixels: int, jpeg_quality: int = JPEG_QUALITY) -> Picture:
    """Decodes a picture, identifies it, and gives it the form in which it is stored.

    Args:
      encoded: the file's bytes; their content decides the format.
      store_size: the longer side of what is stored, at most, in pixels.
      max_pixels: width x height that the header may promise, at most.
      jpeg_quality: of what is stored as a JPEG that it was not before.

    Raises:
      RefusedError: the picture cannot be used.
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
    return Picture(stored, stored_format, image.height, image.width, identity.hexdigest(), thumbnail, remarks)


class Decoded(NamedTuple):
    """A decoded picture.

    Attributes:
      image: the pixels, mode RGB, without any metadata.
      format: what the bytes were, as Pillow names it.
      is_plain: the bytes themselves are an opaque, upright, still, 8-bit RGB or grey JPEG or PNG in sRGB.
      remarks: what was done beside turning and laying over white.
    """

    image: Image.Image
    format: str
    is_plain: bool
    remarks: tuple[Remark, ...] = ()


def decode(encoded: bytes, max_pixels: int) -> Decoded:
    """Decodes the first frame to upright 8-bit sRGB.

    Grey and palette are expanded, 16 bits keep the 8 highest of those in use, colors are converted to sRGB, and
    transparency is laid over white; so an image that is transparent everywhere is white, as its viewers show nothing
    of it. A damaged EXIF block counts as "upright": the pixels are sound.

    Raises:
      RefusedError: the picture cannot be used.
    """
    if not encoded:
        raise RefusedError(Reason.EMPTY, "0 bytes")
    with _damage_named(encoded):
        image = _open(encoded)
    if image.width * image.height > max_pixels:
        raise RefusedError(
            Reason.TOO_LARGE, f"{image.width} x {image.height} pixels are more than max_pixels allows ({max_pixels})"
        )
    with _damage_named(encoded):
        _check_whole(image, encoded)
        source_format = str(image.format)
        deep = sample_depth.is_deep(image)
        image.load()
        turn = _TURNS.get(_orientation(image))
        is_plain = turn is None and _is_plain(image, encoded)
        chunks = _png_chunks(encoded) if source_format == "PNG" else {}
        profile = _profile(image, chunks)
        reduced, remarks = _to_8_bits(image, encoded, deep, chunks)
        rgb, effect = _to_srgb(reduced, profile)
    if turn is not None:
        rgb = rgb.transpose(turn)
    rgb.info = {}
    if effect is not Effect.NONE:
        is_plain = False
        remarks += (Remark.PROFILE_CONVERTED if effect is Effect.CONVERTED else Remark.PROFILE_IGNORED,)
    elif profile and not color_profiles.is_matrix(profile):
        is_plain = False  # sRGB, but said in a way that the served graph does not read
    return Decoded(rgb, source_format, is_plain, remarks)


def as_tensorflow_reads(encoded: bytes, max_pixels: int) -> bytes:
    """Returns bytes that `trainer.image_ops.decode` turns into the pixels that `decode` gives, in full size.

    They are the bytes themselves if they are plain, or a JPEG that only wants turning or is CMYK without a profile;
    else a PNG or JPEG as ingest stores it.

    Raises:
      RefusedError: the image cannot be used.
    """
    image, source_format, is_plain, remarks = decode(encoded, max_pixels)
    if is_plain or (source_format in ("JPEG", "MPO") and not remarks and _graph_reads_jpeg(encoded)):
        return encoded
    return normalize(encoded, max(image.size), max_pixels).encoded


def _graph_reads_jpeg(encoded: bytes) -> bool:
    image = _open(encoded)
    profile = image.info.get("icc_profile")
    # Without Adobe's marker TensorFlow takes 0 for white in CMYK, and Pillow 255.
    return (image.mode != "CMYK" or "adobe" in image.info) and (not profile or color_profiles.is_matrix(profile))


def verify(encoded: bytes, max_pixels: int) -> None:
    """Checks that TensorFlow decodes the bytes of a record, which it gets as they are.

    The entropy-coded data of a JPEG is read to its end, but its pixels are decoded at 1/8 of their size: that finds
    what is cut short, in a quarter of the time.

    Raises:
      RefusedError: the image cannot be used.
    """
    if not encoded:
        raise RefusedError(Reason.EMPTY, "0 bytes")
    with _damage_named(encoded):
        image = Image.open(io.BytesIO(encoded), formats=_FORMATS)
        _check_decodable(image, encoded)
    if image.width * image.height > max_pixels:
        raise RefusedError(
            Reason.TOO_LARGE, f"{image.width} x {image.height} pixels are more than max_pixels allows ({max_pixels})"
        )
    with _damage_named(encoded):
        _check_whole(image, encoded)
        if image.format in ("JPEG", "MPO"):
            image.draft(None, (1, 1))
        if image.format == "GIF" and b"\0;" not in encoded:
            raise RefusedError(Reason.TRUNCATED, "the GIF has no end")
        image.load()


def promised_pixels(encoded: bytes) -> int:
    """Width x height as the header says, nothing decoded; 0 where it is no picture, or its header is damaged."""
    try:
        return math.prod(_open(encoded).size)
    except Exception:  # noqa: BLE001 (any kind, as everywhere in Pillow's parsers)
        return 0


def _open(encoded: bytes) -> ImageFile.ImageFile:
    return Image.open(io.BytesIO(encoded), formats=_FORMATS)


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


def _check_decodable(image: Image.Image, encoded: bytes) -> None:
    """Refuses the formats that Pillow decodes and TensorFlow does not."""
    what = ""
    if image.format == "TIFF":
        what = "TIFF"
    elif image.format == "WEBP" and getattr(image, "is_animated", False):
        what = "animated WebP"
    elif image.format == "BMP":
        what = _unusual_bmp(image, encoded)
    if what:
        raise RefusedError(Reason.UNSUPPORTED, f"{what}, which TensorFlow does not decode: convert it to JPEG or PNG")


def _unusual_bmp(image: Image.Image, encoded: bytes) -> str:
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


def _check_whole(image: Image.Image, encoded: bytes) -> None:
    """Refuses what Pillow would decode without a word, and TensorFlow's stricter readers would not."""
    if image.format in ("JPEG", "MPO") and not _jpeg_ends(encoded):
        raise RefusedError(Reason.TRUNCATED, "the JPEG's segments do not lead to an end marker")
    if image.format == "PNG":
        if _PNG_END not in encoded:
            raise RefusedError(Reason.TRUNCATED, "the PNG has no end chunk")
        _open(encoded).verify()  # the checksums


def _png_chunks(encoded: bytes) -> dict[bytes, bytes]:
    """The chunks before the pixels by their names."""
    chunks: dict[bytes, bytes] = {}
    position, name = 8, b""
    while position + 8 <= len(encoded) and name != b"IDAT":
        length, name = int.from_bytes(encoded[position : position + 4], "big"), encoded[position + 4 : position + 8]
        chunks.setdefault(name, encoded[position + 8 : position + 8 + length] if name != b"IDAT" else b"")
        position += 12 + length
    return chunks


def _profile(image: Image.Image, chunks: Mapping[bytes, bytes]) -> bytes | None:
    """The ICC profile of the colors; None without one, b"" for one that Pillow could not take out of the file.

    PNG's `cICP` goes before its `iCCP`.
    """
    code_points = tuple(chunks.get(b"cICP", b"")[:2])
    if not code_points:
        return image.info["icc_profile"] or b"" if "icc_profile" in image.info else None
    if code_points == _SRGB_CODE_POINTS:
        return None
    if code_points == _DISPLAY_P3_CODE_POINTS:
        return color_profiles.display_p3()
    raise RefusedError(
        Reason.UNSUPPORTED,
        f"PNG with cICP color primaries {code_points[0]} and transfer function {code_points[-1]}, which "
        "is HDR or video: save it as sRGB",
    )


def _to_8_bits(
    image: Image.Image, encoded: bytes, deep: bool, chunks: Mapping[bytes, bytes]
) -> tuple[Image.Image, tuple[Remark, ...]]:
    if image.mode in ("I", "F", "LAB"):
        raise RefusedError(
            Reason.UNSUPPORTED, f"pixels of type {image.mode} have no fixed range; save it with 8 or 16 bits"
        )
    if deep:
        significant = chunks.get(b"sBIT", b"")
        has_alpha = len(significant) in (2, 4)
        try:
            image, bits = sample_depth.to_8_bits(
                image, lambda: _open(encoded), max(significant[: len(significant) - has_alpha], default=0)
            )
        except sample_depth.DepthError as error:
            raise RefusedError(Reason.UNSUPPORTED, str(error)) from None
        return image, (Remark.DEPTH_SCALED,) if bits < 16 else ()
    if image.format == "BMP" and image.mode == "RGBA" and image.getchannel("A").getextrema() == (0, 0):
        return image.convert("RGB"), (Remark.ALPHA_IGNORED,)
    return image, ()


def _to_srgb(image: Image.Image, profile: bytes | None) -> tuple[Image.Image, Effect]:
    alpha = None
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        alpha = rgba.getchannel("A")
        image = image.getchannel("L") if image.mode == "LA" else rgba.convert("RGB")
    elif image.mode not in ("RGB", "L", "CMYK"):
        image = image.convert("L" if image.mode == "1" else "RGB")
    effect = Effect.NONE
    if profile is not None:
        image, effect = color_profiles.convert(image, profile)
    image = image if image.mode == "RGB" else image.convert("RGB")
    if alpha is not None:
        image.putalpha(alpha)
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image, effect


def _is_plain(image: Image.Image, encoded: bytes) -> bool:
    if image.mode not in _OPAQUE_8_BIT:
        return False
    if image.format == "PNG":
        bit_depth = encoded[24]
        return bit_depth == 8 and "transparency" not in image.info and not getattr(image, "is_animated", False)
    return image.format == "JPEG"


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

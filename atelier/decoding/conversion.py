"""From the pixels of a file to upright 8-bit sRGB."""

import enum
from collections.abc import Mapping

from PIL import ExifTags, Image

from atelier.decoding import color_profiles, sample_depth
from atelier.decoding.color_profiles import Effect
from atelier.decoding.containers import open_image
from atelier.decoding.rejection import Reason, RejectedImageError

# Color primaries and transfer function of PNG's `cICP` (ITU-T H.273).
_SRGB_CODE_POINTS, _DISPLAY_P3_CODE_POINTS = (1, 13), (12, 13)
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What makes an image upright, by the orientation that its EXIF block tells."""


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


def read_orientation(image: Image.Image) -> int:
    """Reads the orientation of the EXIF block; a damaged block counts as upright (1)."""
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # noqa: BLE001 (any kind, as everywhere in Pillow's parsers)
        return 1
    if isinstance(orientation, bytes) and len(orientation) == 1:
        return orientation[0]
    return orientation if isinstance(orientation, int) else 1  # neither a fraction nor several numbers


def find_profile(image: Image.Image, chunks: Mapping[bytes, bytes]) -> bytes | None:
    """The ICC profile of the colors; None without one, b"" for one that Pillow could not take out of the file.

    PNG's `cICP` goes before its `iCCP`.
    """
    code_points = tuple(chunks.get(b"cICP", b"")[:2])
    if not code_points:
        return image.info["icc_profile"] or b"" if "icc_profile" in image.info else None
    if code_points == _SRGB_CODE_POINTS:
        return None
    if code_points == _DISPLAY_P3_CODE_POINTS:
        return color_profiles.build_display_p3()
    raise RejectedImageError(
        Reason.UNSUPPORTED,
        f"PNG with cICP color primaries {code_points[0]} and transfer function {code_points[-1]}, which "
        "is HDR or video: save it as sRGB",
    )


def reduce_to_8_bits(
    image: Image.Image, encoded: bytes, deep: bool, chunks: Mapping[bytes, bytes]
) -> tuple[Image.Image, tuple[Remark, ...]]:
    """Converts the samples to 8 bits.

    Args:
      image: with its pixels loaded.
      encoded: the file.
      deep: whether the file has more than 8 bits a sample, as `sample_depth.is_deep` told before they were loaded.
      chunks: of a PNG; empty for other formats.

    Raises:
      RejectedImageError: the samples have no fixed range.
    """
    if image.mode in ("I", "F", "LAB"):
        raise RejectedImageError(
            Reason.UNSUPPORTED, f"pixels of type {image.mode} have no fixed range; save it with 8 or 16 bits"
        )
    if deep:
        significant = chunks.get(b"sBIT", b"")
        has_alpha = len(significant) in (2, 4)
        try:
            image, bits = sample_depth.to_8_bits(
                image, lambda: open_image(encoded), max(significant[: len(significant) - has_alpha], default=0)
            )
        except sample_depth.DepthError as error:
            raise RejectedImageError(Reason.UNSUPPORTED, str(error)) from None
        return image, (Remark.DEPTH_SCALED,) if bits < 16 else ()
    if image.format == "BMP" and image.mode == "RGBA" and image.getchannel("A").getextrema() == (0, 0):
        return image.convert("RGB"), (Remark.ALPHA_IGNORED,)
    return image, ()


def convert_to_srgb(image: Image.Image, profile: bytes | None) -> tuple[Image.Image, Effect]:
    """Lays transparency over white, and converts the colors to sRGB.

    Args:
      image: 8 bits a sample, of any mode.
      profile: as `find_profile` returns it.

    Returns:
      The image in mode RGB, and what the profile did.
    """
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

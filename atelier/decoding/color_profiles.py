"""Embedded ICC profiles: from an image's own color space to sRGB.

The rendering intent is relative colorimetric with black point compensation: colors that sRGB has keep their exact
values, the others are clipped, and the darkest ink of a print profile becomes black instead of dark gray. The
perceptual intent would move all colors, and by a table that each profile's maker chose; for the matrix profiles of
cameras and screens the two give the same.
"""

import enum
import functools
import io
import struct
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageCms

TOLERANCE = 1
"""Levels of 255 by which a profile may differ from sRGB and still count as sRGB: what rounding alone does."""

_INTENT = ImageCms.Intent.RELATIVE_COLORIMETRIC
_MODES = {"RGB": ("RGB", "L"), "GRAY": ("L",), "CMYK": ("CMYK",)}
"""Modes of images that a profile of a color space can describe. A gray image can have an RGB profile."""


class Effect(enum.Enum):
    """What a profile did to an image."""

    NONE = enum.auto()
    """The profile is sRGB's."""
    CONVERTED = enum.auto()
    IGNORED = enum.auto()
    """The profile is broken, or of another color space than the image, which therefore counts as sRGB."""


class _Conversion(NamedTuple):
    effect: Effect
    transform: ImageCms.ImageCmsTransform | None = None
    levels: tuple[bytes, bytes, bytes] | None = None
    """Of a gray image: red, green and blue of its 256 levels."""


def convert(image: Image.Image, profile: bytes) -> tuple[Image.Image, Effect]:
    """Converts an image without transparency to sRGB.

    Args:
      image: mode L, RGB or CMYK.
      profile: the ICC profile that its file holds.

    Returns:
      The image in mode RGB where it was converted, else as it came; and what was done.
    """
    conversion = _build_conversion(profile, image.mode)
    if conversion.levels:
        return Image.merge("RGB", [image.point(channel) for channel in conversion.levels]), conversion.effect
    if conversion.transform:
        return _apply(conversion.transform, image), conversion.effect
    return image, conversion.effect


def is_matrix(profile: bytes) -> bool:
    """Whether the profile is three curves and a matrix, or one gray curve: nothing that needs a lookup table."""
    count = int.from_bytes(profile[128:132], "big")
    tags = {profile[position : position + 4] for position in range(132, min(132 + 12 * count, len(profile)), 12)}
    return profile[16:20] in (b"RGB ", b"GRAY") and not tags & {b"A2B0", b"A2B1", b"A2B2", b"D2B0", b"D2B1", b"D2B2"}


@functools.cache
def build_display_p3() -> bytes:
    """A profile of Display P3: sRGB's curve, and primaries adapted to D50."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    colorants = {
        b"rXYZ": (0.51512, 0.24120, -0.00105),
        b"gXYZ": (0.29198, 0.69225, 0.04189),
        b"bXYZ": (0.15710, 0.06657, 0.78407),
    }
    for entry in range(132, 132 + 12 * int.from_bytes(profile[128:132], "big"), 12):
        if values := colorants.get(bytes(profile[entry : entry + 4])):
            start = int.from_bytes(profile[entry + 4 : entry + 8], "big") + 8
            profile[start : start + 12] = struct.pack(">3i", *(round(value * 65536) for value in values))
    return bytes(profile)


# Files of one camera share their profile, and building a transform takes as long as converting a small image.
@functools.lru_cache(maxsize=32)
def _build_conversion(profile: bytes, mode: str) -> _Conversion:
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        space = source.profile.xcolor_space.strip()
        if mode not in _MODES.get(space, ()):
            return _Conversion(Effect.IGNORED)
        flags = ImageCms.Flags.BLACKPOINTCOMPENSATION
        if mode == "L":
            flags |= ImageCms.Flags.NOOPTIMIZE  # LittleCMS' fast way is off by ten levels in the dark of a linear gray
        source_mode = "L" if space == "GRAY" else "CMYK" if space == "CMYK" else "RGB"
        srgb = ImageCms.createProfile("sRGB")
        transform = ImageCms.buildTransform(source, srgb, source_mode, "RGB", _INTENT, flags)
        if mode == "CMYK":
            return _Conversion(Effect.CONVERTED, transform)
        probe = _build_probe(mode)
        converted = _apply(transform, probe.convert(source_mode))
        change = np.asarray(converted).astype(int) - np.asarray(probe.convert("RGB"))
        if np.abs(change).max() <= TOLERANCE:
            return _Conversion(Effect.NONE)
        if mode == "L":
            red, green, blue = (channel.tobytes() for channel in converted.split())
            return _Conversion(Effect.CONVERTED, levels=(red, green, blue))
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):  # as Pillow raises on what LittleCMS rejects
        return _Conversion(Effect.IGNORED)
    return _Conversion(Effect.CONVERTED, transform)


def _apply(transform: ImageCms.ImageCmsTransform, image: Image.Image) -> Image.Image:
    converted = ImageCms.applyTransform(image, transform)
    assert converted is not None  # it is None only when the image itself is changed
    return converted


def _build_probe(mode: str) -> Image.Image:
    """All grays, and for RGB a grid of 9 x 9 x 9 colors."""
    gray = np.arange(256, dtype=np.uint8)
    if mode == "L":
        return Image.fromarray(gray[np.newaxis])
    steps = np.round(np.linspace(0, 255, 9)).astype(np.uint8)
    grid = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(-1, 3)
    return Image.fromarray(np.concatenate([grid, np.stack([gray] * 3, axis=-1)])[np.newaxis])

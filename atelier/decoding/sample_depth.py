"""Images of 16 bits a sample: how many of the bits are in use, and the 8 that are kept.

Scanners, microscopes and medical devices write 10, 12 or 14 bits into 16 without scaling them. Such an image uses a
sixteenth of the range or less and is nearly black in the usual reading. Here the range is the smallest usual one that
holds every sample and what the file declares (`sBIT` of PNG; `BitsPerSample` and `MaxSampleValue` of TIFF).
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image, ImageFile

from atelier.errors import AtelierError

DEPTHS = (8, 10, 12, 14, 16)
"""Bits a sample that devices write."""

_BITS_PER_SAMPLE, _PHOTOMETRIC, _PLANAR, _MAX_SAMPLE_VALUE = 258, 262, 284, 281
_WHITE_IS_ZERO, _SEPARATE_PLANES = 0, 2


class DepthError(AtelierError):
    """An image of 16 bits a sample whose low bits Pillow cannot read."""


def is_deep(image: ImageFile.ImageFile) -> bool:
    """Whether the samples have 16 bits: of an image that is open and not loaded."""
    if image.mode.startswith("I;16"):
        return True
    if image.format not in ("PNG", "TIFF"):  # a BMP can have 16 bits a pixel
        return False
    return image.mode in ("RGB", "RGBA") and (";16" in str(image.tile) or _read_bits_per_sample(image) == 16)


def to_8_bits(image: Image.Image, reopen: Callable[[], ImageFile.ImageFile], declared: int) -> tuple[Image.Image, int]:
    """Keeps the 8 highest bits of those in use.

    Args:
      image: one that `is_deep`.
      reopen: opens the same file once more.
      declared: bits of the colors as a PNG's `sBIT` says; 0 if it does not.

    Returns:
      The image in mode L, LA, RGB or RGBA, and the bits in use, one of `DEPTHS`.

    Raises:
      DepthError: the samples cannot be read.
    """
    unread = reopen()  # loading has emptied `image.tile`
    raw_modes = str(unread.tile)
    declared = max(declared, _read_declared_bits(image))
    key = image.info.get("transparency")
    if image.mode.startswith("I;16"):
        gray = np.asarray(image).astype(np.uint16)[..., np.newaxis]
        alpha = None if key is None else _build_alpha(gray, key)
        bits = _count_bits_in_use(gray, declared)
        kept = _keep_high_bits(gray, bits)
        if _read_tiff_tag(image, _PHOTOMETRIC) == _WHITE_IS_ZERO:
            kept = 255 - kept
        return _build_image(kept, alpha), bits
    if ";16" not in raw_modes:
        raise DepthError("16-bit TIFF whose color planes are stored apart: store them interleaved")
    gray_and_alpha = "LA;16B" in raw_modes
    low = _read_low_bytes(unread)
    if gray_and_alpha:
        samples = low[..., 0::2].astype(np.uint16) << 8 | low[..., 1::2]
    else:
        samples = np.asarray(image).astype(np.uint16) << 8 | low
    colors = samples[..., : 1 if gray_and_alpha else 3]
    bits = _count_bits_in_use(colors, declared)
    alpha = None if key is None else _build_alpha(colors, key)
    if samples.shape[-1] > colors.shape[-1]:
        alpha = samples[..., -1:]
        alpha = _keep_high_bits(alpha, bits if alpha.max() >> bits == 0 else 16)
    return _build_image(_keep_high_bits(colors, bits), alpha), bits


def _count_bits_in_use(samples: np.ndarray, declared: int) -> int:
    used = max(int(samples.max()).bit_length(), min(declared, 16))
    return next(depth for depth in DEPTHS if depth >= used)


def _keep_high_bits(samples: np.ndarray, bits: int) -> np.ndarray:
    return (samples >> (bits - 8)).astype(np.uint8)


def _build_alpha(samples: np.ndarray, key: int | tuple[int, ...]) -> np.ndarray:
    """[H, W, 1]: 0 where all samples are those of the color that the file calls transparent."""
    return np.where((samples == np.array(key)).all(axis=-1, keepdims=True), 0, 255).astype(np.uint8)


def _build_image(colors: np.ndarray, alpha: np.ndarray | None) -> Image.Image:
    channels = colors if alpha is None else np.concatenate([colors, alpha], axis=-1)
    return Image.fromarray(channels[..., 0] if channels.shape[-1] == 1 else channels)


def _read_low_bytes(image: ImageFile.ImageFile) -> np.ndarray:
    """[H, W, channels] the low bytes, which Pillow drops; of gray with alpha all four bytes as they are stored.

    Pillow reads the high byte of each sample. In the other byte order that is the low one.
    """
    tiles = []
    for tile in image.tile:
        raw_mode, *rest = tile.args if isinstance(tile.args, tuple) else (str(tile.args),)
        pixels, _, order = raw_mode.partition(";")
        raw_mode = "RGBA" if pixels == "LA" else f"{pixels};16{'L' if order == '16B' else 'B'}"
        tiles.append(tile._replace(args=(raw_mode, *rest) if rest else raw_mode))
    image.tile = tiles
    try:
        return np.asarray(image)
    except ValueError:  # premultiplied alpha, a fourth channel without a meaning: raw modes of one byte order only
        raise DepthError(f"16-bit pixels stored as {image.mode} of an unusual kind: save it with 8 bits") from None


def _read_bits_per_sample(image: Image.Image) -> int:
    bits = _read_tiff_tag(image, _BITS_PER_SAMPLE)
    return max(bits) if bits else 0


def _read_declared_bits(image: Image.Image) -> int:
    bits = _read_bits_per_sample(image)
    largest = _read_tiff_tag(image, _MAX_SAMPLE_VALUE)
    largest = max(largest) if isinstance(largest, tuple) else largest or 0
    return max(bits if bits < 16 else 0, int(largest).bit_length())


def _read_tiff_tag(image: Image.Image, tag: int) -> Any:
    return image.tag_v2.get(tag) if hasattr(image, "tag_v2") else None

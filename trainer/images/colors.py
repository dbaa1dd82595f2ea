"""ICC profiles in TensorFlow ops: from an image's own RGB or gray to sRGB.

Only what is three curves and a matrix, or one gray curve, can be converted here (ICC.1:2010, annex F.3), which is what
cameras, phones and screens write. Profiles that need a lookup table are an error when the graph runs. The result is
that of LittleCMS with the relative colorimetric intent, within 2 levels.
"""

import numpy as np
import tensorflow as tf

TOLERANCE = 1
"""Levels by which a profile may differ from sRGB and still count as sRGB; see `atelier.decoding.color_profiles`."""

# sRGB's primaries, adapted to D50 by Bradford's matrix (IEC 61966-2-1, ICC.1:2010 annex E).
_SRGB_TO_D50 = np.array(
    [[0.4360747, 0.3850649, 0.1430804], [0.2225045, 0.7168786, 0.0606169], [0.0139322, 0.0971045, 0.7141733]]
)
_MAX_TAGS = 100
_MAX_COLORANT = 1.5
"""Far beyond any primary; LittleCMS' fixed-point numbers overflow."""
_LOOKUP_TABLES = (b"A2B0", b"A2B1", b"A2B2", b"D2B0", b"D2B1", b"D2B2")


def convert_to_srgb(image: tf.Tensor, profile: tf.Tensor, is_gray: tf.Tensor) -> tf.Tensor:
    """Converts an image by its profile.

    Args:
      image: [height, width, 3] uint8.
      profile: scalar string, not empty.
      is_gray: whether the file holds gray levels alone.

    Returns:
      [height, width, 3] uint8.

    Raises:
      tf.errors.InvalidArgumentError: when run, if the profile is broken, unsuitable, or needs a lookup table.
    """
    curves, matrix, fault = _parse(profile, is_gray)
    sound = tf.debugging.Assert(
        tf.equal(fault, ""), ["the color profile cannot be applied in the graph; convert the image to sRGB:", fault]
    )
    with tf.control_dependencies([sound] if sound is not None else []):
        probe = tf.constant(_build_probe())
        change = tf.cast(_convert(probe, curves, matrix), tf.int32) - tf.cast(probe, tf.int32)
        is_srgb = tf.reduce_max(tf.abs(change)) <= TOLERANCE
        return tf.cond(is_srgb, lambda: image, lambda: _convert(image, curves, matrix))


def _convert(image: tf.Tensor, curves: tf.Tensor, matrix: tf.Tensor) -> tf.Tensor:
    """[..., 3] uint8 by [3, 256] linear values of each level, and [3, 3] to linear sRGB."""
    levels = tf.cast(image, tf.int32)
    linear = tf.stack([tf.gather(curves[channel], levels[..., channel]) for channel in range(3)], axis=-1)
    linear = tf.clip_by_value(tf.linalg.matvec(matrix, linear), 0.0, 1.0)
    stored = tf.where(linear <= 0.0031308, 12.92 * linear, 1.055 * tf.pow(linear, 1 / 2.4) - 0.055)
    return tf.cast(tf.floor(255 * stored + 0.5), tf.uint8)


def _build_probe() -> np.ndarray:
    """All grays, and a grid of 9 x 9 x 9 colors: [985, 3] uint8."""
    steps = np.round(np.linspace(0, 255, 9)).astype(np.uint8)
    grid = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(-1, 3)
    return np.concatenate([grid, np.stack([np.arange(256, dtype=np.uint8)] * 3, axis=-1)])


class _Numbers:
    """The numbers that stand at every offset of a profile; 0 past its end."""

    def __init__(self, profile: tf.Tensor) -> None:
        """Reads them all at once: few large ops instead of many small ones."""
        data = tf.cast(tf.io.decode_raw(profile, tf.uint8), tf.int64)
        self.size = tf.size(data, out_type=tf.int64)
        data = tf.pad(data, [[0, 8]])
        short = 256 * data[:-1] + data[1:]
        self._short, self._long = short, 65536 * short[:-2] + short[2:]

    def read_u16(self, at: tf.Tensor) -> tf.Tensor:
        return tf.gather(self._short, tf.clip_by_value(at, 0, self.size))

    def read_u32(self, at: tf.Tensor | list[int]) -> tf.Tensor:
        return tf.gather(self._long, tf.clip_by_value(tf.cast(at, tf.int64), 0, self.size))

    def read_fixed(self, at: tf.Tensor) -> tf.Tensor:
        value = self.read_u32(at)
        return tf.cast(tf.where(value >= 2**31, value - 2**32, value), tf.float64) / 65536


def _parse(profile: tf.Tensor, is_gray: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """[3, 256] float32 curves, [3, 3] float32 to linear sRGB, and what is wrong with the profile ("" if nothing)."""
    numbers = _Numbers(profile)
    count = numbers.read_u32([128])[0]
    entries = 132 + 12 * tf.range(tf.minimum(count, _MAX_TAGS))
    names, starts, sizes = (numbers.read_u32(entries + offset) for offset in (0, 4, 8))
    says_gray = tf.equal(numbers.read_u32([16])[0], _encode_signature(b"GRAY"))
    wanted = tf.where(
        says_gray,
        tf.constant(
            [_encode_signature(tag) for tag in (b"kTRC", b"kTRC", b"kTRC", b"wtpt", b"wtpt", b"wtpt")], tf.int64
        ),
        tf.constant(
            [_encode_signature(tag) for tag in (b"rTRC", b"gTRC", b"bTRC", b"rXYZ", b"gXYZ", b"bXYZ")], tf.int64
        ),
    )
    is_it = tf.equal(names, wanted[:, tf.newaxis])
    start, size = (tf.reduce_max(tf.where(is_it, column, 0), axis=1) for column in (starts, sizes))
    declared_size, version, kind, space, connection, magic = tf.unstack(numbers.read_u32([0, 8, 12, 16, 20, 36]))
    is_inside = start + size <= tf.minimum(numbers.size, declared_size)
    is_inside &= tf.equal(tf.reduce_sum(tf.cast(is_it, tf.int32), axis=1), 1)
    curves, curves_are_sound = _read_curves(numbers, start[:3], size[:3])
    # One column for each colorant.
    colorants = tf.transpose(numbers.read_fixed(start[3:, tf.newaxis] + 8 + 4 * tf.range(3, dtype=tf.int64)))
    colorants_are_sound = tf.equal(numbers.read_u32(start[3:]), _encode_signature(b"XYZ ")) & (size[3:] >= 20)
    colorants_are_sound &= tf.reduce_all(tf.abs(colorants) < _MAX_COLORANT, axis=0)
    matrix = tf.constant(np.linalg.inv(_SRGB_TO_D50)) @ colorants
    matrix = tf.where(says_gray, tf.eye(3, dtype=tf.float64), matrix)
    sound = tf.reduce_all(is_inside & tf.concat([curves_are_sound, colorants_are_sound], axis=0))
    tables = tf.constant([_encode_signature(tag) for tag in _LOOKUP_TABLES], tf.int64)
    devices = tf.constant([_encode_signature(device) for device in (b"mntr", b"scnr", b"spac", b"prtr")], tf.int64)
    faults = [
        (tf.not_equal(magic, _encode_signature(b"acsp")) | (count > _MAX_TAGS), "it is broken"),
        (version >= 5 * 2**24, "it is of version 5 or later"),
        (tf.reduce_any(tf.equal(names, tables[:, tf.newaxis])), "it has lookup tables"),
        (~tf.reduce_any(tf.equal(devices, kind)), "it is none of a device"),
        (~says_gray & tf.not_equal(space, _encode_signature(b"RGB ")), "it is neither of RGB nor of gray"),
        (tf.not_equal(connection, _encode_signature(b"XYZ ")), "its connection space is not XYZ"),
        (says_gray & ~is_gray, "it is of gray, the image is not"),
        (~sound, "it is broken"),
        # It would want a black point compensation.
        (tf.reduce_max(curves[:, 0]) > 1e-3, "its black is not 0"),
    ]
    fault = tf.constant("")
    for condition, text in reversed(faults):
        fault = tf.where(condition, text, fault)
    return tf.cast(curves, tf.float32), tf.cast(matrix, tf.float32), fault


def _read_curves(numbers: _Numbers, start: tf.Tensor, size: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Linear values of the 256 levels, float64 in 0..1, [3, 256]; and whether the tags are curves, [3].

    Args:
      numbers: of the profile.
      start: [3] where the tags begin.
      size: [3] bytes.
    """
    inputs = tf.constant(np.arange(256) / 255)
    kind, length = numbers.read_u32(start), numbers.read_u32(start + 8)
    is_table, is_formula = tf.equal(kind, _encode_signature(b"curv")), tf.equal(kind, _encode_signature(b"para"))
    last = tf.cast(tf.maximum(length - 1, 1), tf.float64)[:, tf.newaxis]
    place = inputs * last
    below = tf.floor(place)

    def read_entry(number: tf.Tensor) -> tf.Tensor:
        at = start[:, tf.newaxis] + 12 + 2 * tf.cast(tf.minimum(number, last), tf.int64)
        return tf.cast(numbers.read_u16(at), tf.float64) / 65535

    sampled = (1 - (place - below)) * read_entry(below) + (place - below) * read_entry(below + 1)
    gamma = tf.where(length > 0, tf.cast(numbers.read_u16(start + 12), tf.float64) / 256, 1.0)
    simple = tf.pow(inputs, gamma[:, tf.newaxis])

    # Of the five kinds of formulas: Y = (a X + b)^g + e from the limit d on, c X + f below it.
    formula = tf.minimum(numbers.read_u16(start + 8), 4)
    counts = tf.gather(tf.constant([1, 3, 4, 5, 7], tf.int64), formula)
    given = numbers.read_fixed(start[:, tf.newaxis] + 12 + 4 * tf.range(7, dtype=tf.int64))
    given = tf.where(tf.range(7, dtype=tf.int64) < counts[:, tf.newaxis], given, [1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0])
    g, a, b, c, d, e, f = (column[:, tf.newaxis] for column in tf.unstack(given, axis=1))
    has_limit = (formula >= 3)[:, tf.newaxis]
    limit = tf.where(has_limit, d, -b / tf.where(tf.not_equal(a, 0.0), a, 1.0))
    slope, low = tf.where(has_limit, c, 0.0), tf.where(has_limit, f, c)
    high = tf.where(has_limit, e, c)
    by_formula = tf.where(inputs >= limit, tf.pow(tf.maximum(a * inputs + b, 0.0), g) + high, slope * inputs + low)

    curves = tf.where(is_formula[:, tf.newaxis], by_formula, tf.where((length <= 1)[:, tf.newaxis], simple, sampled))
    needed = tf.where(is_table, 12 + 2 * length, 12 + 4 * counts)
    is_known = is_table & (length <= 65536) | is_formula & (numbers.read_u16(start + 8) <= 4)
    return tf.clip_by_value(curves, 0.0, 1.0), is_known & (size >= needed)


def _encode_signature(signature: bytes) -> int:
    return int.from_bytes(signature, "big")

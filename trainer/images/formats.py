"""Decoders of JPEG, PNG, BMP, GIF and WebP: the pixels as the file holds them, and what it says about them."""

from typing import NamedTuple

import tensorflow as tf

from trainer.images.metadata import Metadata, build_empty, read_jpeg, read_png, read_webp

JPEG, PNG, BMP, GIF, WEBP = b"\xff\xd8", b"\x89P", b"BM", b"GI", b"RI"
"""How a file of each format begins."""

_MAX_GIF_BLOCKS = 4096
"""Before the first frame; bounds the walk in a hostile file."""


class StoredImage(NamedTuple):
    """An image as its decoder gives it, and what is said beside it.

    Attributes:
      colors: [h, w, 3] uint8.
      alpha: [h, w, 1] uint8, or empty if the image is opaque.
      is_gray: whether the file holds gray levels alone.
      metadata: with its fields as tensors.
    """

    colors: tf.Tensor
    alpha: tf.Tensor
    is_gray: tf.Tensor
    metadata: Metadata


def decode_jpeg(encoded: tf.Tensor) -> StoredImage:
    """Decodes as Pillow does, CMYK within 1 level."""
    image = tf.io.decode_jpeg(encoded, channels=3, dct_method="INTEGER_ACCURATE")
    encoded = _delay(image, encoded)
    is_gray = tf.equal(tf.image.extract_jpeg_shape(encoded)[2], 1)
    return StoredImage(image, _build_empty_alpha(), is_gray, read_jpeg(encoded))


def decode_png(encoded: tf.Tensor) -> StoredImage:
    """Decodes 1 to 16 bits a sample to 8."""
    image = tf.io.decode_png(encoded, channels=4)
    encoded = _delay(image, encoded)
    metadata, significant = read_png(encoded)
    depth, color_type = tf.unstack(tf.io.decode_raw(tf.strings.substr(encoded, 24, 2), tf.uint8, fixed_length=2))
    depth = tf.cast(depth, tf.int32)
    image = tf.cond(tf.equal(depth, 16), lambda: _reduce_depth(encoded, significant), lambda: image)
    # Below 8 bits a channel, TensorFlow fills a missing alpha with the largest sample (1, 3 or 15) instead of 255.
    filler = tf.cast(tf.bitwise.left_shift(1, tf.minimum(depth, 8)) - 1, tf.uint8)
    opaque = tf.reduce_all(tf.equal(image[..., 3], filler))
    alpha = tf.cond(opaque, _build_empty_alpha, lambda: image[..., 3:])
    return StoredImage(image[..., :3], alpha, tf.equal(color_type, 0) | tf.equal(color_type, 4), metadata)


def decode_bmp(encoded: tf.Tensor) -> StoredImage:
    """Decodes 8, 24 and 32 bits a pixel."""
    image = tf.io.decode_bmp(encoded)
    image.set_shape((None, None, None))
    encoded = _delay(image, encoded)
    header = tf.io.decode_raw(tf.strings.substr(encoded, 14, 56), tf.int32, fixed_length=56)
    has_masks = tf.equal(header[4], 3)
    usual_masks = tf.reduce_all(tf.equal(header[10:13], [0xFF0000, 0xFF00, 0xFF]))
    # In a header of 40 bytes the masks follow it, and there is no fourth.
    mask_of_alpha = tf.where(header[0] >= 56, header[13], 0)
    usual_alpha = tf.equal(mask_of_alpha, 0) | tf.equal(mask_of_alpha, -0x1000000)
    readable = tf.equal(header[4], 0) | has_masks & usual_masks & usual_alpha & tf.equal(tf.shape(image)[-1], 4)
    image = require(image, readable, "BMP with compression or unusual masks: save it as PNG")
    colors = tf.cond(tf.equal(tf.shape(image)[-1], 1), lambda: _look_up_palette(encoded, image), lambda: image[..., :3])
    # Alpha of 0 everywhere was never set.
    has_alpha = has_masks & tf.not_equal(mask_of_alpha, 0) & tf.reduce_any(image[..., 3:] > 0)
    alpha = tf.cond(has_alpha, lambda: image[..., 3:], _build_empty_alpha)
    return _build_plain_image(colors)._replace(alpha=alpha)


def decode_gif(encoded: tf.Tensor) -> StoredImage:
    """Decodes the first frame, with the transparent entry of its palette made white: TensorFlow leaves it black."""
    size = tf.strings.length(encoded)

    def read_numbers(position: tf.Tensor, count: int) -> tf.Tensor:
        start = tf.minimum(position, size)
        return tf.cast(
            tf.io.decode_raw(tf.strings.substr(encoded, start, count), tf.uint8, fixed_length=count), tf.int32
        )

    def skip_palette(start: tf.Tensor, flags: tf.Tensor) -> tf.Tensor:
        has_one = tf.bitwise.bitwise_and(flags, 128) > 0
        return start + tf.where(has_one, 3 * tf.bitwise.left_shift(2, tf.bitwise.bitwise_and(flags, 7)), 0)

    def is_before_frame(position: tf.Tensor) -> tf.Tensor:
        return (position < size) & tf.not_equal(read_numbers(position, 1)[0], 0x2C)

    def skip(position: tf.Tensor, in_block: tf.Tensor, control: tf.Tensor) -> list[tf.Tensor]:
        """From an extension into its sub-blocks, and from each to the next."""
        first, label, length = tf.unstack(read_numbers(position, 3))
        flags = read_numbers(position + 3, 1)[0]
        begins = ~in_block & tf.equal(first, 0x21)
        is_control = begins & tf.equal(label, 0xF9) & tf.equal(length, 4) & (flags % 2 > 0)
        step = tf.where(begins, 2, 1 + tf.where(in_block, first, 0))
        in_block = begins | in_block & (first > 0)
        return [tf.minimum(position + step, size), in_block, tf.where(is_control, position, control)]

    screen = read_numbers(tf.constant(6), 5)
    first_block = skip_palette(tf.constant(13), screen[4])
    position, _, control = tf.while_loop(
        lambda position, in_block, _: in_block | is_before_frame(position),
        skip,
        [tf.minimum(first_block, size), tf.constant(False), tf.constant(0)],
        maximum_iterations=_MAX_GIF_BLOCKS,
    )
    frame = read_numbers(position, 10)
    left, top, width, height = (frame[number] + 256 * frame[number + 1] for number in (1, 3, 5, 7))
    covers = tf.equal(left, 0) & tf.equal(top, 0)
    covers &= (width >= screen[0] + 256 * screen[1]) & (height >= screen[2] + 256 * screen[3])

    def clear_transparency() -> tf.Tensor:
        has_palette = tf.bitwise.bitwise_and(frame[9], 128) > 0
        start = tf.where(has_palette, position + 10, 13)
        end = skip_palette(start, tf.where(has_palette, frame[9], screen[4]))
        entry = start + 3 * read_numbers(control + 6, 1)[0]
        flags = tf.cast(tf.bitwise.bitwise_and(read_numbers(control + 3, 1), 0xFE), tf.uint8)
        cleared = _replace_bytes(encoded, control + 3, _byte_to_text(flags))
        return tf.cond(
            entry < end, lambda: _replace_bytes(cleared, entry, tf.constant(b"\xff\xff\xff")), lambda: cleared
        )

    opaque = tf.cond(control > 0, clear_transparency, lambda: encoded)
    image = tf.io.decode_image(opaque, channels=3, expand_animations=False)
    return _build_plain_image(
        require(image, _delay(image, covers), "GIF whose first frame does not cover it: save that frame as PNG")
    )


def decode_webp(encoded: tf.Tensor) -> StoredImage:
    """Decodes a still image; an animation is an error when the graph runs."""
    # TensorFlow 2.21 writes past its buffer when it decodes an animation: such a file must never reach it. The flag
    # that its decoder goes by is bit 1 of the byte after the header of the VP8X chunk (RFC 9649, extended file format).
    start = tf.minimum(12, tf.strings.length(encoded))
    chunk = tf.io.decode_raw(tf.strings.substr(encoded, start, 9), tf.uint8, fixed_length=9)
    extended = tf.reduce_all(tf.equal(chunk[:4], list(b"VP8X")))
    animated = extended & tf.not_equal(tf.bitwise.bitwise_and(chunk[8], 2), 0)
    still = require(encoded, ~animated, "animated WebP cannot be decoded: save its first frame as an image")
    image = tf.io.decode_image(still, channels=0, expand_animations=False)
    image.set_shape((None, None, None))
    has_alpha = tf.equal(tf.shape(image)[2], 4)
    alpha = tf.cond(has_alpha, lambda: image[..., 3:], _build_empty_alpha)
    metadata = read_webp(_delay(image, encoded))
    return StoredImage(image[..., :3], alpha, tf.constant(False), metadata)


def reject(encoded: tf.Tensor) -> StoredImage:
    """Is an error when the graph runs: the bytes begin like no known format."""
    # The bytes themselves stay out of the message: Python fails on one that is not UTF-8.
    size = tf.strings.length(encoded)
    message = "bytes that are no JPEG, PNG, BMP, GIF or WebP image; their number:"
    return _build_plain_image(require(tf.zeros((1, 1, 3), tf.uint8), tf.constant(False), message, size))


def require(value: tf.Tensor, condition: tf.Tensor, *message: str | tf.Tensor) -> tf.Tensor:
    """The value, if the condition holds; what is computed from it waits for that."""
    sound = tf.debugging.Assert(condition, list(message))
    # None in eager mode, where the assertion has been made by now.
    with tf.control_dependencies([sound] if sound is not None else []):
        return tf.identity(value)


def _delay(image: tf.Tensor, value: tf.Tensor) -> tf.Tensor:
    """The value again, once the image is decoded: a broken file must fail in the decoder, which says why."""
    with tf.control_dependencies([image]):
        return tf.identity(value)


def _build_plain_image(colors: tf.Tensor) -> StoredImage:
    return StoredImage(colors, _build_empty_alpha(), tf.constant(False), build_empty())


def _build_empty_alpha() -> tf.Tensor:
    return tf.zeros([0, 0, 1], tf.uint8)


def _reduce_depth(png: tf.Tensor, significant: tf.Tensor) -> tf.Tensor:
    """Of 16 bits a sample the 8 highest of those in use: [h, w, 4] uint8. See `atelier.decoding.sample_depth`."""
    samples = tf.io.decode_png(png, channels=4, dtype=tf.uint16)
    samples = tf.cast(samples, tf.int32)
    # `sBIT` has a number for each channel of the file; the last of two or four is alpha's.
    channels = tf.strings.length(significant)
    colors = tf.strings.substr(significant, 0, channels - tf.cast(tf.equal(channels % 2, 0) & (channels > 0), tf.int32))
    declared = tf.reduce_max(tf.concat([tf.cast(tf.io.decode_raw(colors, tf.uint8), tf.int32), [0]], axis=0))
    largest = tf.maximum(tf.reduce_max(samples[..., :3]), tf.bitwise.left_shift(1, tf.minimum(declared, 16)) - 1)
    depths = tf.constant([8, 10, 12, 14, 16])
    bits = tf.reduce_min(tf.boolean_mask(depths, tf.bitwise.left_shift(1, depths) > largest))
    alpha = samples[..., 3:]
    alpha_bits = tf.where(tf.reduce_max(alpha) < tf.bitwise.left_shift(1, bits), bits, 16)
    shifts = tf.stack([bits, bits, bits, alpha_bits]) - 8
    return tf.cast(tf.bitwise.right_shift(samples, tf.broadcast_to(shifts, tf.shape(samples))), tf.uint8)


def _look_up_palette(encoded: tf.Tensor, indices: tf.Tensor) -> tf.Tensor:
    """Looks up [h, w, 1] palette indices, which TensorFlow's decoder takes for gray levels."""
    header_size = tf.io.decode_raw(tf.strings.substr(encoded, 14, 4), tf.int32)[0]
    start = tf.clip_by_value(header_size, 0, tf.strings.length(encoded) - 14) + 14
    blue_green_red = tf.io.decode_raw(tf.strings.substr(encoded, start, 4 * 256), tf.uint8, fixed_length=4 * 256)
    palette = tf.reverse(tf.reshape(blue_green_red, (256, 4))[:, :3], axis=[1])
    return tf.gather(palette, tf.cast(indices[..., 0], tf.int32))


def _replace_bytes(text: tf.Tensor, position: tf.Tensor, new: tf.Tensor) -> tf.Tensor:
    end = position + tf.strings.length(new)
    return tf.strings.join([tf.strings.substr(text, 0, position), new, tf.strings.substr(text, end, -1)])


def _byte_to_text(one_byte: tf.Tensor) -> tf.Tensor:
    """[1] uint8 as a string of one byte."""
    return tf.gather(tf.constant([bytes([value]) for value in range(256)]), tf.cast(one_byte[0], tf.int32))

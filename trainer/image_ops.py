"""The one preprocessing of pixels: encoded picture in, square uint8 RGB out, in TensorFlow ops only.

Transform, the training input and the SavedModel's signatures all call these functions, so they cannot differ. Only what
a graph can hold is used: no Python runs when a picture is decoded.

    pixels = decode_and_resize(encoded, size=224, mode="crop")  # [N] string -> [N, 224, 224, 3] uint8
"""

from typing import NamedTuple

import tensorflow as tf

from trainer import image_colors, image_metadata

MODES = ("crop", "pad", "stretch")

_JPEG, _PNG, _BMP, _GIF, _WEBP = b"\xff\xd8", b"\x89P", b"BM", b"GI", b"RI"
_MAX_GIF_BLOCKS = 4096
"""Before the first frame; bounds the walk in a hostile file."""
# zlib levels 1-3 give 15 % larger files, 6-9 none that are smaller, and take up to 2.5 times as long.
_PNG_LEVEL = 4
# Pictures in work at a time: more only hold memory.
_PARALLEL = 8


# tf.Transform traces `preprocessing_fn` nine times: each time calls the one graph that was built here the first time.
@tf.function(autograph=False, reduce_retracing=True)
def decode_and_resize(encoded: tf.Tensor, size: int, mode: str) -> tf.Tensor:
    """Decodes and resizes a batch of pictures, each of its own format and size.

    Args:
      encoded: [N] string, N >= 0: pictures in the formats of `decode`.
      size: side of the result in pixels.
      mode: `crop`, `pad` or `stretch`, as in `resize`.

    Returns:
      [N, size, size, 3] uint8 RGB.

    Raises:
      tf.errors.InvalidArgumentError: when run, if any element cannot be decoded.
    """
    return tf.map_fn(
        lambda one: resize(decode(one), size, mode),
        encoded,
        parallel_iterations=_PARALLEL,
        fn_output_signature=tf.TensorSpec((size, size, 3), tf.uint8),
    )


def decode(encoded: tf.Tensor) -> tf.Tensor:
    """Decodes one picture to upright sRGB; the content decides the format.

    The pixels are those of `atelier.images.decode`, or the picture is refused.

    * JPEG: accurate integer DCT and smooth chroma upsampling, as Pillow's: the pixels are equal. CMYK differs from
      Pillow by at most 1 (TensorFlow truncates where Pillow rounds); without Adobe's marker it is refused, since
      TensorFlow takes 0 for white and Pillow 255.
    * PNG, still WebP: alpha is composited over white, to the bit as Pillow's `alpha_composite` does it. Of 16 bits
      the 8 highest of those in use count, as in `atelier.decoding.sample_depth`.
    * BMP: 8 bits (palette or grey), 24 and 32 bits; of the latter the fourth channel is alpha where masks say so, and
      it is not 0 everywhere.
    * GIF: the first frame; transparent pixels are white.

    Orientation is taken from EXIF, else from XMP, in JPEG, PNG and WebP. A color profile is converted to sRGB within 2
    levels of LittleCMS, if it is three curves and a matrix or one gray curve; see `trainer.image_colors`.

    Args:
      encoded: scalar string.

    Returns:
      [height, width, 3] uint8.

    Raises:
      tf.errors.InvalidArgumentError: when run, if the content is empty, broken, animated WebP, of no known format, or
        one that TensorFlow cannot read as Pillow does: a profile with lookup tables or of CMYK, metadata in a text
        chunk of an old kind, a BMP with unusual masks, a GIF whose first frame does not cover it.
    """
    magic = tf.strings.substr(encoded, 0, 2)
    stored = tf.case(
        [
            (tf.equal(magic, _JPEG), lambda: _decode_jpeg(encoded)),
            (tf.equal(magic, _PNG), lambda: _decode_png(encoded)),
            (tf.equal(magic, _BMP), lambda: _decode_bmp(encoded)),
            (tf.equal(magic, _GIF), lambda: _decode_gif(encoded)),
            (tf.equal(magic, _WEBP), lambda: _decode_webp(encoded)),
        ],
        default=lambda: _refuse(encoded),
    )
    return tf.ensure_shape(_as_meant(_Stored(*stored)), (None, None, 3))


class _Stored(NamedTuple):
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
    metadata: image_metadata.Metadata


def _plain(colors: tf.Tensor) -> _Stored:
    return _Stored(colors, _opaque(), tf.constant(False), image_metadata.nothing())


def _opaque() -> tf.Tensor:
    return tf.zeros([0, 0, 1], tf.uint8)


def resize(image: tf.Tensor, size: int, mode: str) -> tf.Tensor:
    """Resizes to a square: bilinear, antialiased when shrinking, rounded half to even once.

    `crop` takes the centred square first and resizes only that: it is the cheapest, and no pixel from outside the
    square leaks into its border. Where one side is odd and the other even, the extra pixel is cut at bottom or right.

    Args:
      image: [height, width, 3] uint8.
      size: side of the result in pixels.
      mode: `crop` (the shorter side becomes `size`, the rest is cut evenly), `pad` (the longer side becomes `size`,
        centred on black), or `stretch` (the aspect is lost).

    Returns:
      [size, size, 3] uint8.

    Raises:
      ValueError: `mode` is none of the three.
    """
    height, width = tf.unstack(tf.shape(image)[:2])
    target: list = [size, size]
    if mode == "crop":
        side = tf.minimum(height, width)
        image = tf.image.crop_to_bounding_box(image, (height - side) // 2, (width - side) // 2, side, side)
    elif mode == "pad":
        longer = tf.maximum(height, width)
        # Integers, rounding half up: a float ratio could tip a side by one pixel from machine to machine.
        target = [tf.maximum(1, (2 * side * size + longer) // (2 * longer)) for side in (height, width)]
    elif mode != "stretch":
        raise ValueError(f"resize mode {mode!r}: expected one of {', '.join(MODES)}")
    resized = tf.cast(tf.round(tf.image.resize(image, target, antialias=True)), tf.uint8)
    if mode == "pad":
        top, left = ((size - side) // 2 for side in target)
        resized = tf.image.pad_to_bounding_box(resized, top, left, size, size)
    return tf.ensure_shape(resized, (size, size, 3))


def encode_lossless(image: tf.Tensor) -> tf.Tensor:
    """Packs a preprocessed picture for storage, to the bit.

    Ten photos take 0.118 of their float32 size at 224 pixels on average, and 0.131 shrunk to 96, where detail is dense.
    A PNG of (R - G, G, B - G) modulo 256: the subtract-green transform of WebP lossless (RFC 9649), which leaves
    less to the entropy coder than RGB. An ordinary viewer shows it in false colours.

    Args:
      image: [height, width, 3] uint8.

    Returns:
      Scalar string, for `decode_lossless` only.
    """
    red, green, blue = tf.unstack(image, axis=-1)
    return tf.io.encode_png(tf.stack([red - green, green, blue - green], axis=-1), compression=_PNG_LEVEL)


def decode_lossless(encoded: tf.Tensor, size: int) -> tf.Tensor:
    """Gives back what `encode_lossless` packed: scalar string -> [size, size, 3] uint8.

    Raises:
      tf.errors.InvalidArgumentError: when run, if it is no PNG, or of another size.
    """
    image = tf.ensure_shape(tf.io.decode_png(encoded, channels=3), (size, size, 3))
    red, green, blue = tf.unstack(image, axis=-1)
    return tf.stack([red + green, green, blue + green], axis=-1)


def encode_lossless_batch(images: tf.Tensor) -> tf.Tensor:
    """Packs [N, height, width, 3] uint8 -> [N] string, N >= 0."""
    return tf.map_fn(
        encode_lossless, images, parallel_iterations=_PARALLEL, fn_output_signature=tf.TensorSpec((), tf.string)
    )


def decode_lossless_batch(encoded: tf.Tensor, size: int) -> tf.Tensor:
    """Gives back [N] string -> [N, size, size, 3] uint8, N >= 0."""
    return tf.map_fn(
        lambda one: decode_lossless(one, size),
        encoded,
        parallel_iterations=_PARALLEL,
        fn_output_signature=tf.TensorSpec((size, size, 3), tf.uint8),
    )


def _decode_jpeg(encoded: tf.Tensor) -> _Stored:
    image = tf.io.decode_jpeg(encoded, channels=3, dct_method="INTEGER_ACCURATE")
    encoded = _after(image, encoded)
    is_gray = tf.equal(tf.image.extract_jpeg_shape(encoded)[2], 1)
    return _Stored(image, _opaque(), is_gray, image_metadata.of_jpeg(encoded))


def _decode_png(encoded: tf.Tensor) -> _Stored:
    image = tf.io.decode_png(encoded, channels=4)
    encoded = _after(image, encoded)
    metadata, significant = image_metadata.of_png(encoded)
    depth, color_type = tf.unstack(tf.io.decode_raw(tf.strings.substr(encoded, 24, 2), tf.uint8, fixed_length=2))
    depth = tf.cast(depth, tf.int32)
    image = tf.cond(tf.equal(depth, 16), lambda: _reduced(encoded, significant), lambda: image)
    # Below 8 bits a channel, TensorFlow fills a missing alpha with the largest sample (1, 3 or 15) instead of 255.
    filler = tf.cast(tf.bitwise.left_shift(1, tf.minimum(depth, 8)) - 1, tf.uint8)
    opaque = tf.reduce_all(tf.equal(image[..., 3], filler))
    alpha = tf.cond(opaque, _opaque, lambda: image[..., 3:])
    return _Stored(image[..., :3], alpha, tf.equal(color_type, 0) | tf.equal(color_type, 4), metadata)


def _after(image: tf.Tensor, encoded: tf.Tensor) -> tf.Tensor:
    """The bytes again, once they are decoded: a broken file shall fail in the decoder, which says why."""
    with tf.control_dependencies([image]):
        return tf.identity(encoded)


def _checked(image: tf.Tensor, condition: tf.Tensor, *message: str | tf.Tensor) -> tf.Tensor:
    """The image, if the condition holds."""
    sound = tf.debugging.Assert(condition, list(message))
    # None in eager mode, where the assertion has been made by now.
    with tf.control_dependencies([sound] if sound is not None else []):
        return tf.identity(image)


def _reduced(png: tf.Tensor, significant: tf.Tensor) -> tf.Tensor:
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


def _decode_bmp(encoded: tf.Tensor) -> _Stored:
    image = tf.io.decode_bmp(encoded)
    image.set_shape((None, None, None))
    encoded = _after(image, encoded)
    header = tf.io.decode_raw(tf.strings.substr(encoded, 14, 56), tf.int32, fixed_length=56)
    has_masks = tf.equal(header[4], 3)
    usual_masks = tf.reduce_all(tf.equal(header[10:13], [0xFF0000, 0xFF00, 0xFF]))
    # In a header of 40 bytes the masks follow it, and there is no fourth.
    mask_of_alpha = tf.where(header[0] >= 56, header[13], 0)
    usual_alpha = tf.equal(mask_of_alpha, 0) | tf.equal(mask_of_alpha, -0x1000000)
    readable = tf.equal(header[4], 0) | has_masks & usual_masks & usual_alpha & tf.equal(tf.shape(image)[-1], 4)
    image = _checked(image, readable, "BMP with compression or unusual masks: save it as PNG")
    colors = tf.cond(tf.equal(tf.shape(image)[-1], 1), lambda: _bmp_palette(encoded, image), lambda: image[..., :3])
    # Alpha of 0 everywhere was never set.
    has_alpha = has_masks & tf.not_equal(mask_of_alpha, 0) & tf.reduce_any(image[..., 3:] > 0)
    alpha = tf.cond(has_alpha, lambda: image[..., 3:], _opaque)
    return _plain(colors)._replace(alpha=alpha)


def _decode_gif(encoded: tf.Tensor) -> _Stored:
    """Decodes the first frame, with the transparent entry of its palette made white: TensorFlow leaves it black."""
    size = tf.strings.length(encoded)

    def at(position: tf.Tensor, count: int) -> tf.Tensor:
        start = tf.minimum(position, size)
        return tf.cast(
            tf.io.decode_raw(tf.strings.substr(encoded, start, count), tf.uint8, fixed_length=count), tf.int32
        )

    def after_palette(start: tf.Tensor, flags: tf.Tensor) -> tf.Tensor:
        has_one = tf.bitwise.bitwise_and(flags, 128) > 0
        return start + tf.where(has_one, 3 * tf.bitwise.left_shift(2, tf.bitwise.bitwise_and(flags, 7)), 0)

    def is_before_frame(position: tf.Tensor) -> tf.Tensor:
        return (position < size) & tf.not_equal(at(position, 1)[0], 0x2C)

    def skip(position: tf.Tensor, in_block: tf.Tensor, control: tf.Tensor) -> list[tf.Tensor]:
        """From an extension into its sub-blocks, and from each to the next."""
        first, label, length = tf.unstack(at(position, 3))
        flags = at(position + 3, 1)[0]
        begins = ~in_block & tf.equal(first, 0x21)
        is_control = begins & tf.equal(label, 0xF9) & tf.equal(length, 4) & (flags % 2 > 0)
        step = tf.where(begins, 2, 1 + tf.where(in_block, first, 0))
        in_block = begins | in_block & (first > 0)
        return [tf.minimum(position + step, size), in_block, tf.where(is_control, position, control)]

    screen = at(tf.constant(6), 5)
    first_block = after_palette(tf.constant(13), screen[4])
    position, _, control = tf.while_loop(
        lambda position, in_block, _: in_block | is_before_frame(position),
        skip,
        [tf.minimum(first_block, size), tf.constant(False), tf.constant(0)],
        maximum_iterations=_MAX_GIF_BLOCKS,
    )
    frame = at(position, 10)
    left, top, width, height = (frame[number] + 256 * frame[number + 1] for number in (1, 3, 5, 7))
    covers = tf.equal(left, 0) & tf.equal(top, 0)
    covers &= (width >= screen[0] + 256 * screen[1]) & (height >= screen[2] + 256 * screen[3])

    def without_transparency() -> tf.Tensor:
        has_palette = tf.bitwise.bitwise_and(frame[9], 128) > 0
        start = tf.where(has_palette, position + 10, 13)
        end = after_palette(start, tf.where(has_palette, frame[9], screen[4]))
        entry = start + 3 * at(control + 6, 1)[0]
        flags = tf.cast(tf.bitwise.bitwise_and(at(control + 3, 1), 0xFE), tf.uint8)
        cleared = _replaced(encoded, control + 3, _text(flags))
        return tf.cond(entry < end, lambda: _replaced(cleared, entry, tf.constant(b"\xff\xff\xff")), lambda: cleared)

    opaque = tf.cond(control > 0, without_transparency, lambda: encoded)
    image = tf.io.decode_image(opaque, channels=3, expand_animations=False)
    return _plain(_checked(image, covers, "GIF whose first frame does not cover it: save that frame as PNG"))


def _replaced(text: tf.Tensor, position: tf.Tensor, new: tf.Tensor) -> tf.Tensor:
    end = position + tf.strings.length(new)
    return tf.strings.join([tf.strings.substr(text, 0, position), new, tf.strings.substr(text, end, -1)])


def _text(one_byte: tf.Tensor) -> tf.Tensor:
    """[1] uint8 as a string of one byte."""
    return tf.gather(tf.constant([bytes([value]) for value in range(256)]), tf.cast(one_byte[0], tf.int32))


def _as_meant(stored: _Stored) -> tf.Tensor:
    """Converts to sRGB, lays over white, and turns upright: [h, w, 3] uint8."""
    colors, alpha, is_gray, metadata = stored
    no_fault = tf.equal(metadata.fault, "")
    icc = _checked(metadata.icc, no_fault, "save the image as a plain JPEG or PNG in sRGB; it is a", metadata.fault)
    has_profile = tf.strings.length(icc) > 0
    colors = tf.cond(has_profile, lambda: image_colors.to_srgb(colors, icc, is_gray), lambda: colors)
    opaque = tf.equal(tf.size(alpha), 0)
    colors = tf.cond(opaque, lambda: colors, lambda: _over_white(tf.concat([colors, alpha], axis=-1)))
    orientation = image_metadata.orientation(metadata)
    return tf.cond(orientation > 1, lambda: _upright(colors, orientation), lambda: colors)


def _bmp_palette(encoded: tf.Tensor, indices: tf.Tensor) -> tf.Tensor:
    """Looks up [h, w, 1] palette indices, which TensorFlow's decoder takes for grey levels."""
    header_size = tf.io.decode_raw(tf.strings.substr(encoded, 14, 4), tf.int32)[0]
    start = tf.clip_by_value(header_size, 0, tf.strings.length(encoded) - 14) + 14
    blue_green_red = tf.io.decode_raw(tf.strings.substr(encoded, start, 4 * 256), tf.uint8, fixed_length=4 * 256)
    palette = tf.reverse(tf.reshape(blue_green_red, (256, 4))[:, :3], axis=[1])
    return tf.gather(palette, tf.cast(indices[..., 0], tf.int32))


def _decode_webp(encoded: tf.Tensor) -> _Stored:
    # TensorFlow 2.21 writes past its buffer when it decodes an animation: such a file must never reach it. The flag
    # that its decoder goes by is bit 1 of the byte after the header of the VP8X chunk (RFC 9649, extended file format).
    start = tf.minimum(12, tf.strings.length(encoded))
    chunk = tf.io.decode_raw(tf.strings.substr(encoded, start, 9), tf.uint8, fixed_length=9)
    extended = tf.reduce_all(tf.equal(chunk[:4], list(b"VP8X")))
    animated = extended & tf.not_equal(tf.bitwise.bitwise_and(chunk[8], 2), 0)
    still = _checked(encoded, ~animated, "animated WebP cannot be decoded: save its first frame as a picture")
    image = tf.io.decode_image(still, channels=0, expand_animations=False)
    image.set_shape((None, None, None))
    has_alpha = tf.equal(tf.shape(image)[2], 4)
    alpha = tf.cond(has_alpha, lambda: image[..., 3:], _opaque)
    metadata = image_metadata.of_webp(_after(image, encoded))
    return _Stored(image[..., :3], alpha, tf.constant(False), metadata)


def _refuse(encoded: tf.Tensor) -> _Stored:
    # The bytes themselves stay out of the message: Python fails on one that is not UTF-8.
    size = tf.strings.length(encoded)
    message = "bytes that are no JPEG, PNG, BMP, GIF or WebP picture; their number:"
    return _plain(_checked(tf.zeros((1, 1, 3), tf.uint8), tf.constant(False), message, size))


def _over_white(image: tf.Tensor) -> tf.Tensor:
    """Composites [h, w, 4] uint8 over white: round(c * a / 255 + 255 - a), in integers that fit 16 bits."""
    image = tf.cast(image, tf.uint16)
    colour, alpha = image[..., :3], image[..., 3:]
    scaled = colour * alpha + 255 * (255 - alpha) + 128
    # (x + x // 256) // 256 is x / 255 for 16-bit x; the 128 above makes it round.
    return tf.cast(tf.bitwise.right_shift(scaled + tf.bitwise.right_shift(scaled, 8), 8), tf.uint8)


def _upright(image: tf.Tensor, orientation: tf.Tensor) -> tf.Tensor:
    """Undoes EXIF orientation 2..8 (CIPA DC-008, section 4.6.4, tag 274)."""

    def among(*values: int) -> tf.Tensor:
        return tf.reduce_any(tf.equal(orientation, values))

    image = tf.cond(orientation >= 5, lambda: tf.transpose(image, (1, 0, 2)), lambda: image)
    image = tf.cond(among(2, 3, 6, 7), lambda: tf.reverse(image, axis=[1]), lambda: image)
    return tf.cond(among(3, 4, 7, 8), lambda: tf.reverse(image, axis=[0]), lambda: image)

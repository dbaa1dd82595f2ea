"""The one preprocessing of pixels: encoded picture in, square uint8 RGB out, in TensorFlow ops only.

Transform, the training input and the SavedModel's signatures all call these functions, so they cannot differ. Only what
a graph can hold is used: no Python runs when a picture is decoded.

    pixels = decode_and_resize(encoded, size=224, mode="crop")  # [N] string -> [N, 224, 224, 3] uint8
"""

import tensorflow as tf

MODES = ("crop", "pad", "stretch")

_JPEG, _PNG, _BMP, _GIF, _WEBP = b"\xff\xd8", b"\x89P", b"BM", b"GI", b"RI"
# Tables, not application data, end the walk to EXIF sooner in any real file; this bounds it in a hostile one.
_MAX_SEGMENTS = 64
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
    """Decodes one picture to upright RGB; the content decides the format.

    * JPEG: accurate integer DCT and smooth chroma upsampling, as Pillow's: the pixels are equal. EXIF orientation is
      applied. CMYK differs from Pillow by at most 1 (TensorFlow truncates where Pillow rounds), provided that the
      file has Adobe's marker: without it TensorFlow takes 0 for white, Pillow still 255.
    * PNG, still WebP: alpha is composited over white, to the bit as Pillow's `alpha_composite` does it. Of 16 bits
      the high byte counts.
    * BMP: 8 bits (palette or grey), 24 and 32 bits, whose fourth channel is ignored.
    * GIF: the first frame. Transparent pixels come out black: TensorFlow's decoder does not tell them.

    Colour profiles are ignored; orientation is read from JPEG alone.

    Args:
      encoded: scalar string.

    Returns:
      [height, width, 3] uint8.

    Raises:
      tf.errors.InvalidArgumentError: when run, if the content is empty, broken, animated WebP, or of no known format.
    """
    magic = tf.strings.substr(encoded, 0, 2)
    image = tf.case(
        [
            (tf.equal(magic, _JPEG), lambda: _decode_jpeg(encoded)),
            (tf.equal(magic, _PNG), lambda: _decode_png(encoded)),
            (tf.equal(magic, _BMP), lambda: _decode_bmp(encoded)),
            (tf.equal(magic, _GIF), lambda: tf.io.decode_image(encoded, channels=3, expand_animations=False)),
            (tf.equal(magic, _WEBP), lambda: _decode_webp(encoded)),
        ],
        default=lambda: _refuse(encoded),
    )
    return tf.ensure_shape(image, (None, None, 3))


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


def _decode_jpeg(encoded: tf.Tensor) -> tf.Tensor:
    image = tf.io.decode_jpeg(encoded, channels=3, dct_method="INTEGER_ACCURATE")
    orientation = _exif_orientation(encoded)
    return tf.cond(orientation > 1, lambda: _upright(image, orientation), lambda: image)


def _decode_png(encoded: tf.Tensor) -> tf.Tensor:
    image = tf.io.decode_png(encoded, channels=4)
    with tf.control_dependencies([image]):  # A broken file shall fail in the decoder, which says why.
        depth = tf.cast(tf.io.decode_raw(tf.strings.substr(encoded, 24, 1), tf.uint8)[0], tf.int32)
    # Below 8 bits a channel, TensorFlow fills a missing alpha with the largest sample (1, 3 or 15) instead of 255.
    filler = tf.cast(tf.bitwise.left_shift(1, tf.minimum(depth, 8)) - 1, tf.uint8)
    opaque = tf.reduce_all(tf.equal(image[..., 3], filler))
    return tf.cond(opaque, lambda: image[..., :3], lambda: _over_white(image))


def _decode_bmp(encoded: tf.Tensor) -> tf.Tensor:
    image = tf.io.decode_bmp(encoded)
    image.set_shape((None, None, None))
    return tf.cond(
        tf.equal(tf.shape(image)[-1], 1),
        lambda: _bmp_palette(encoded, image),
        lambda: image[..., :3],
    )


def _bmp_palette(encoded: tf.Tensor, indices: tf.Tensor) -> tf.Tensor:
    """Looks up [h, w, 1] palette indices, which TensorFlow's decoder takes for grey levels."""
    header_size = tf.io.decode_raw(tf.strings.substr(encoded, 14, 4), tf.int32)[0]
    start = tf.clip_by_value(header_size, 0, tf.strings.length(encoded) - 14) + 14
    blue_green_red = tf.io.decode_raw(tf.strings.substr(encoded, start, 4 * 256), tf.uint8, fixed_length=4 * 256)
    palette = tf.reverse(tf.reshape(blue_green_red, (256, 4))[:, :3], axis=[1])
    return tf.gather(palette, tf.cast(indices[..., 0], tf.int32))


def _decode_webp(encoded: tf.Tensor) -> tf.Tensor:
    # TensorFlow 2.21 writes past its buffer when it decodes an animation: such a file must never reach it. The flag
    # that its decoder goes by is bit 1 of the byte after the header of the VP8X chunk (RFC 9649, extended file format).
    start = tf.minimum(12, tf.strings.length(encoded))
    chunk = tf.io.decode_raw(tf.strings.substr(encoded, start, 9), tf.uint8, fixed_length=9)
    extended = tf.reduce_all(tf.equal(chunk[:4], list(b"VP8X")))
    animated = extended & tf.not_equal(tf.bitwise.bitwise_and(chunk[8], 2), 0)
    still = tf.debugging.Assert(~animated, ["animated WebP cannot be decoded: save its first frame as a picture"])
    # None in eager mode, where the assertion has been made by now.
    with tf.control_dependencies([still] if still is not None else []):
        image = tf.io.decode_image(encoded, channels=0, expand_animations=False)
    image.set_shape((None, None, None))
    return tf.cond(tf.equal(tf.shape(image)[2], 4), lambda: _over_white(image), lambda: image)


def _refuse(encoded: tf.Tensor) -> tf.Tensor:
    # The bytes themselves stay out of the message: Python fails on one that is not UTF-8.
    size = tf.strings.length(encoded)
    failed = tf.debugging.Assert(False, ["bytes that are no JPEG, PNG, BMP, GIF or WebP picture; their number:", size])
    with tf.control_dependencies([failed]):
        return tf.zeros((1, 1, 3), tf.uint8)


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


def _exif_orientation(jpeg: tf.Tensor) -> tf.Tensor:
    """Walks the application segments (ISO 10918-1, annex B) to EXIF; scalar int64, 1 where it is missing or broken."""
    size = tf.strings.length(jpeg)

    def at(position: tf.Tensor) -> tf.Tensor:
        """The 10 bytes from `position` on: marker, length, and the start of the content; zeros past the end."""
        return tf.cast(tf.io.decode_raw(tf.strings.substr(jpeg, position, 10), tf.uint8, fixed_length=10), tf.int32)

    def length(head: tf.Tensor) -> tf.Tensor:
        return 256 * head[2] + head[3]

    def is_exif(head: tf.Tensor) -> tf.Tensor:
        return tf.reduce_all(tf.equal(tf.gather(head, (0, 1, 4, 5, 6, 7, 8, 9)), list(b"\xff\xe1Exif\0\0")))

    def goes_on(_: tf.Tensor, head: tf.Tensor) -> tf.Tensor:
        marker = head[1]
        application_or_comment = ((marker >= 0xE0) & (marker <= 0xEF)) | tf.equal(marker, 0xFE)
        return tf.equal(head[0], 0xFF) & application_or_comment & ~is_exif(head)

    def skip(position: tf.Tensor, head: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        position = tf.minimum(position + 2 + length(head), size)
        return position, at(position)

    first = tf.minimum(2, size)
    position, head = tf.while_loop(goes_on, skip, (first, at(first)), maximum_iterations=_MAX_SEGMENTS)
    return tf.cond(
        is_exif(head),
        lambda: _tiff_orientation(
            tf.strings.substr(jpeg, tf.minimum(position + 10, size), tf.maximum(length(head) - 8, 0))
        ),
        lambda: tf.constant(1, tf.int64),
    )


def _tiff_orientation(tiff: tf.Tensor) -> tf.Tensor:
    """Orientation in the first directory of TIFF data (TIFF 6.0, section 2); scalar int64 in 1..8."""
    # Offsets in a broken file point anywhere: whatever lies past the end reads as 0.
    data = tf.concat([tf.cast(tf.io.decode_raw(tiff, tf.uint8), tf.int64), [0]], axis=0)
    end = tf.size(data, out_type=tf.int64) - 1
    magic = tf.strings.substr(tiff, 0, 4)
    little_endian = tf.equal(magic, b"II*\0")

    def byte(at: tf.Tensor) -> tf.Tensor:
        return tf.gather(data, tf.minimum(at, end))

    def u16(at: tf.Tensor) -> tf.Tensor:
        low, high = byte(at), byte(at + 1)
        return tf.where(little_endian, low + 256 * high, 256 * low + high)

    def u32(at: tf.Tensor) -> tf.Tensor:
        low, high = u16(at), u16(at + 2)
        return tf.where(little_endian, low + 65536 * high, 65536 * low + high)

    directory = u32(tf.constant(4, tf.int64))
    entries = directory + 2 + 12 * tf.range(u16(directory))
    tag, kind, count, value = u16(entries), u16(entries + 2), u32(entries + 4), u16(entries + 8)
    is_orientation = tf.equal(tag, 274) & tf.equal(kind, 3) & tf.equal(count, 1) & (value >= 1) & (value <= 8)
    known_order = little_endian | tf.equal(magic, b"MM\0*")
    # Without any such entry the maximum over nothing is the smallest int64.
    found = tf.reduce_max(tf.where(is_orientation & known_order, value, 1))
    return tf.maximum(found, 1)

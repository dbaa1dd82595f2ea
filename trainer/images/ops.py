"""The one preprocessing of pixels: encoded image in, square uint8 RGB out, in TensorFlow ops only.

Transform, the training input and the SavedModel's signatures all call these functions, so they cannot differ. Only what
a graph can hold is used: no Python runs when an image is decoded.

    pixels = decode_and_resize(encoded, size=224, mode="crop")  # [N] string -> [N, 224, 224, 3] uint8
"""

import functools

import tensorflow as tf

from trainer.images import formats
from trainer.images.colors import convert_to_srgb
from trainer.images.metadata import find_orientation

MODES = ("crop", "pad", "stretch")

# Images in work at a time: more only hold memory.
_PARALLEL = 8


class Decoder(tf.Module):
    """`decode_and_resize` for one size and mode, as a graph that SavedModels hold."""

    def __init__(self, size: int, mode: str) -> None:
        """Builds the graph."""
        super().__init__(name="decoder")
        function = tf.function(
            lambda encoded: decode_and_resize(encoded, size, mode),
            input_signature=[tf.TensorSpec([None], tf.string, name="encoded")],
            autograph=False,
        )
        # A concrete function is saved as it is; `function` would be traced once more for each SavedModel.
        self.decode = function.get_concrete_function()
        """[N] string -> [N, size, size, 3] uint8 RGB."""


@functools.cache
def build_decoder(size: int, mode: str) -> Decoder:
    """Returns the same object each time: tf.Transform traces `preprocessing_fn` nine times, and all call one graph."""
    return Decoder(size, mode)


@tf.function(autograph=False, reduce_retracing=True)
def decode_and_resize(encoded: tf.Tensor, size: int, mode: str) -> tf.Tensor:
    """Decodes and resizes a batch of images, each of its own format and size.

    Args:
      encoded: [N] string, N >= 0: images in the formats of `decode`.
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
    """Decodes one image to upright sRGB; the content decides the format.

    The pixels are those of `atelier.images.decode`, or the image is rejected.

    * JPEG: accurate integer DCT and smooth chroma upsampling, as Pillow's: the pixels are equal. CMYK differs from
      Pillow by at most 1 (TensorFlow truncates where Pillow rounds); without Adobe's marker it is rejected, since
      TensorFlow takes 0 for white and Pillow 255.
    * PNG, still WebP: alpha is composited over white, to the bit as Pillow's `alpha_composite` does it. Of 16 bits
      the 8 highest of those in use count, as in `atelier.decoding.sample_depth`.
    * BMP: 8 bits (palette or gray), 24 and 32 bits; of the latter the fourth channel is alpha where masks say so, and
      it is not 0 everywhere.
    * GIF: the first frame; transparent pixels are white.

    Orientation is taken from EXIF, else from XMP, in JPEG, PNG and WebP. A color profile is converted to sRGB within 2
    levels of LittleCMS, if it is three curves and a matrix or one gray curve; see `trainer.images.colors`.

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
            (tf.equal(magic, formats.JPEG), lambda: formats.decode_jpeg(encoded)),
            (tf.equal(magic, formats.PNG), lambda: formats.decode_png(encoded)),
            (tf.equal(magic, formats.BMP), lambda: formats.decode_bmp(encoded)),
            (tf.equal(magic, formats.GIF), lambda: formats.decode_gif(encoded)),
            (tf.equal(magic, formats.WEBP), lambda: formats.decode_webp(encoded)),
        ],
        default=lambda: formats.reject(encoded),
    )
    return tf.ensure_shape(_apply_metadata(formats.StoredImage(*stored)), (None, None, 3))


def resize(image: tf.Tensor, size: int, mode: str) -> tf.Tensor:
    """Resizes to a square: bilinear, antialiased when shrinking, rounded half to even once.

    `crop` takes the centered square first and resizes only that: it is the cheapest, and no pixel from outside the
    square leaks into its border. Where one side is odd and the other even, the extra pixel is cut at bottom or right.

    Args:
      image: [height, width, 3] uint8.
      size: side of the result in pixels.
      mode: `crop` (the shorter side becomes `size`, the rest is cut evenly), `pad` (the longer side becomes `size`,
        centered on black), or `stretch` (the aspect is lost).

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


def _apply_metadata(stored: formats.StoredImage) -> tf.Tensor:
    """Converts to sRGB, composites over white, and turns upright: [h, w, 3] uint8."""
    colors, alpha, is_gray, metadata = stored
    no_fault = tf.equal(metadata.fault, "")
    icc = formats.require(
        metadata.icc, no_fault, "save the image as a plain JPEG or PNG in sRGB; it is a", metadata.fault
    )
    has_profile = tf.strings.length(icc) > 0
    colors = tf.cond(has_profile, lambda: convert_to_srgb(colors, icc, is_gray), lambda: colors)
    opaque = tf.equal(tf.size(alpha), 0)
    colors = tf.cond(opaque, lambda: colors, lambda: _composite_over_white(tf.concat([colors, alpha], axis=-1)))
    orientation = find_orientation(metadata)
    return tf.cond(orientation > 1, lambda: _rotate_upright(colors, orientation), lambda: colors)


def _composite_over_white(image: tf.Tensor) -> tf.Tensor:
    """Composites [h, w, 4] uint8 over white: round(c * a / 255 + 255 - a), in integers that fit 16 bits."""
    image = tf.cast(image, tf.uint16)
    color, alpha = image[..., :3], image[..., 3:]
    scaled = color * alpha + 255 * (255 - alpha) + 128
    # (x + x // 256) // 256 is x / 255 for 16-bit x; the 128 above makes it round.
    return tf.cast(tf.bitwise.right_shift(scaled + tf.bitwise.right_shift(scaled, 8), 8), tf.uint8)


def _rotate_upright(image: tf.Tensor, orientation: tf.Tensor) -> tf.Tensor:
    """Undoes EXIF orientation 2..8 (CIPA DC-008, section 4.6.4, tag 274)."""

    def is_among(*values: int) -> tf.Tensor:
        return tf.reduce_any(tf.equal(orientation, values))

    image = tf.cond(orientation >= 5, lambda: tf.transpose(image, (1, 0, 2)), lambda: image)
    image = tf.cond(is_among(2, 3, 6, 7), lambda: tf.reverse(image, axis=[1]), lambda: image)
    return tf.cond(is_among(3, 4, 7, 8), lambda: tf.reverse(image, axis=[0]), lambda: image)

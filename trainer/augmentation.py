"""Random changes to training images, in stateless TensorFlow ops: the same seed gives the same pixels anywhere.

The geometry is Keras' ImageDataGenerator recipe (`apply_affine_transform` in keras/src/legacy/preprocessing/image.py)
plus random-resized-crop (Szegedy et al., "Going Deeper with Convolutions", section 6), all in one matrix, so that the
image is interpolated once. Only Transform and the training input may call this module.

    seed = derive_seed(encoded, copy=1)
    varied = augment(pixels, seed, settings)
"""

import math
from collections.abc import Mapping

import tensorflow as tf

from trainer.transform_settings import Augmentation

GEOMETRY = ("rotation", "width_shift", "height_shift", "shear", "zoom", "horizontal_flip")
COLOR = ("brightness", "contrast", "saturation", "hue")
"""Keys of the section `augmentation`; `crop_area` is about geometry, too, and off at 1."""

_MAX_ASPECT = 4 / 3


def augment(image: tf.Tensor, seed: tf.Tensor, settings: Augmentation) -> tf.Tensor:
    """Changes one image at random: geometry with nearest fill, then color; rounded once at the end.

    Args:
      image: [height, width, 3] uint8 RGB.
      seed: [2] int32 or int64; equal seeds give equal pixels.
      settings: see `draw`.

    Returns:
      [height, width, 3] uint8. The very same pixels where every setting is off.
    """
    params = draw(seed, settings)
    pixels = tf.cast(image, tf.float32)
    if any(getattr(settings, key) for key in GEOMETRY) or settings.crop_area < 1:
        pixels = _warp(pixels, params)
    if any(getattr(settings, key) for key in COLOR):
        pixels = _jitter(pixels, params, settings)
    return tf.ensure_shape(tf.cast(tf.round(pixels), tf.uint8), image.shape)


def scale_ranges(settings: Augmentation, strength: float) -> Augmentation:
    """Returns `settings` with all ranges `strength` (0 to 1) as wide; at 0 nothing changes an image but a flip.

    The crop's smallest area is as much nearer to the whole.
    """
    ranges = {key: getattr(settings, key) * strength for key in (*GEOMETRY, *COLOR) if key != "horizontal_flip"}
    return settings.model_copy(update={**ranges, "crop_area": 1 - strength * (1 - settings.crop_area)})


def derive_seed(encoded: tf.Tensor, copy: int | tf.Tensor) -> tf.Tensor:
    """Derives the seed of an image's `copy`-th variant: the same in every run, whatever the order, worker or machine.

    The first half is the content's FarmHash fingerprint (`tf.strings.to_hash_bucket_fast`, which TensorFlow promises
    never to change), the second half the number of the copy. Equal files get equal variants.

    Args:
      encoded: scalar string.
      copy: number of the variant.

    Returns:
      [2] int64.
    """
    fingerprint = tf.strings.to_hash_bucket_fast(encoded, num_buckets=2**63 - 1)
    return tf.stack([fingerprint, tf.cast(copy, tf.int64)])


def draw(seed: tf.Tensor, settings: Augmentation) -> dict[str, tf.Tensor]:
    """Draws the random parameters of one variant.

    Every parameter has its own place in one draw: turning a setting on or off leaves the others as they were.

    Args:
      seed: [2] int32 or int64.
      settings: the ranges.

    Returns:
      Scalars, float32 unless said otherwise: `rotation` and `shear` in degrees, `shift_x` and `shift_y` as fractions of
      width and height, `zoom_x` and `zoom_y` (above 1 shows more of the scene), `flip` (bool); `crop_width`,
      `crop_height`, `crop_left`, `crop_top` as fractions of the image; `brightness` (added, of a range of 1),
      `contrast` and `saturation` (factors), `hue` (added, of a circle of 1).
    """
    # Philox by name: "auto" may pick another algorithm on another device, and with it other images.
    uniform = iter(tf.unstack(tf.random.stateless_uniform([15], seed, alg="philox")))

    def draw_around(center: float, spread: float) -> tf.Tensor:
        return center + (2 * next(uniform) - 1) * spread

    return {
        "rotation": draw_around(0, settings.rotation),
        "shift_x": draw_around(0, settings.width_shift),
        "shift_y": draw_around(0, settings.height_shift),
        "shear": draw_around(0, settings.shear),
        "zoom_x": draw_around(1, settings.zoom),
        "zoom_y": draw_around(1, settings.zoom),
        "flip": (next(uniform) < 0.5) & settings.horizontal_flip,
        **_draw_crop(settings.crop_area, [next(uniform) for _ in range(4)]),
        "brightness": draw_around(0, settings.brightness),
        "contrast": draw_around(1, settings.contrast),
        "saturation": draw_around(1, settings.saturation),
        "hue": draw_around(0, settings.hue),
    }


def compose_affine_matrix(
    params: Mapping[str, tf.Tensor], height: int | tf.Tensor, width: int | tf.Tensor
) -> tf.Tensor:
    """Composes the geometry into one matrix from output to input coordinates.

    Coordinates are (x, y, 1), y pointing down, in pixels whose centers are whole numbers. Read from the output back to
    the input: flip, crop, then about the center zoom, shear, shift, rotation: Keras' order and formulas. (Keras'
    generator draws the shift along x from `height_shift_range`; here width means x.)

    Args:
      params: as from `draw`.
      height: of the image in pixels.
      width: of the image in pixels.

    Returns:
      [3, 3] float32.
    """
    height, width = tf.cast(height, tf.float32), tf.cast(width, tf.float32)
    center_x, center_y = (width - 1) / 2, (height - 1) / 2
    theta, shear = (params[key] * (math.pi / 180) for key in ("rotation", "shear"))
    crop_width, crop_height = params["crop_width"], params["crop_height"]
    mirror = tf.where(params["flip"], -1.0, 1.0)
    factors = (
        _build_matrix(1.0, 0.0, center_x, 0.0, 1.0, center_y),
        _build_matrix(tf.cos(theta), -tf.sin(theta), 0.0, tf.sin(theta), tf.cos(theta), 0.0),
        _build_matrix(1.0, 0.0, params["shift_x"] * width, 0.0, 1.0, params["shift_y"] * height),
        _build_matrix(1.0, -tf.sin(shear), 0.0, 0.0, tf.cos(shear), 0.0),
        _build_matrix(params["zoom_x"], 0.0, 0.0, 0.0, params["zoom_y"], 0.0),
        _build_matrix(1.0, 0.0, -center_x, 0.0, 1.0, -center_y),
        # A crop maps pixel edges to pixel edges; centers lie half a pixel inside them.
        _build_matrix(
            *(crop_width, 0.0, params["crop_left"] * width + (crop_width - 1) / 2),
            *(0.0, crop_height, params["crop_top"] * height + (crop_height - 1) / 2),
        ),
        _build_matrix(mirror, 0.0, (1 - mirror) * center_x, 0.0, 1.0, 0.0),
    )
    product = factors[0]
    for factor in factors[1:]:
        product = tf.matmul(product, factor)
    return product


def _draw_crop(min_area: float, uniform: list[tf.Tensor]) -> dict[str, tf.Tensor]:
    """Area share from U[min_area, 1]; aspect, relative to the image's own, log-uniform in 3/4..4/3 where it fits.

    A window of share `area` fits if its aspect lies in area..1/area, so that no draw is ever rejected.
    """
    area = 1 - uniform[0] * (1 - min_area)
    limit = tf.minimum(math.log(_MAX_ASPECT), -tf.math.log(area))
    aspect = tf.exp((2 * uniform[1] - 1) * limit)
    width, height = tf.minimum(tf.sqrt(area * aspect), 1), tf.minimum(tf.sqrt(area / aspect), 1)
    return {
        "crop_width": width,
        "crop_height": height,
        "crop_left": uniform[2] * (1 - width),
        "crop_top": uniform[3] * (1 - height),
    }


def _build_matrix(*upper_rows: float | tf.Tensor) -> tf.Tensor:
    return tf.reshape(tf.stack([*upper_rows, 0.0, 0.0, 1.0]), (3, 3))


def _warp(pixels: tf.Tensor, params: Mapping[str, tf.Tensor]) -> tf.Tensor:
    shape = tf.shape(pixels)[:2]
    matrix = compose_affine_matrix(params, shape[0], shape[1])
    warped = tf.raw_ops.ImageProjectiveTransformV3(
        images=pixels[tf.newaxis],
        transforms=tf.reshape(matrix, (1, 9))[:, :8],
        output_shape=shape,
        interpolation="BILINEAR",
        fill_mode="NEAREST",
        fill_value=0.0,
    )
    return warped[0]


def _jitter(pixels: tf.Tensor, params: Mapping[str, tf.Tensor], settings: Augmentation) -> tf.Tensor:
    """Brightness, contrast, saturation, hue, as `tf.image.stateless_random_*` define them; float pixels in 0..255."""
    pixels = pixels / 255
    if settings.brightness:
        pixels = tf.image.adjust_brightness(pixels, params["brightness"])
    if settings.contrast:
        pixels = tf.image.adjust_contrast(pixels, params["contrast"])
    # Hue and saturation are defined for colors inside the cube only.
    pixels = tf.clip_by_value(pixels, 0, 1)
    if settings.saturation:
        pixels = tf.image.adjust_saturation(pixels, params["saturation"])
    if settings.hue:
        pixels = tf.image.adjust_hue(pixels, params["hue"])
    return tf.clip_by_value(pixels, 0, 1) * 255

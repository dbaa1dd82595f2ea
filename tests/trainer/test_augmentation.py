"""Augmentation, against NumPy, SciPy, Pillow, colorsys, and Keras' own apply_affine_transform."""

import colorsys

import numpy as np
import pytest
import scipy.ndimage
from PIL import Image

from tests.deferred import deferred_imports
from tests.trainer.image_kinds import draw_scene
from trainer.settings import Augmentation

with deferred_imports():
    import tensorflow as tf
    from keras.src.legacy.preprocessing.image import apply_affine_transform

    from trainer import augmentation

RECIPE = Augmentation()
OFF = Augmentation(rotation=0, width_shift=0, height_shift=0, shear=0, zoom=0, horizontal_flip=False, crop_area=1)
EVERYTHING = Augmentation(crop_area=0.4, brightness=0.2, contrast=0.3, saturation=0.5, hue=0.1)
GEOMETRY_ONLY = Augmentation(shear=20.0, crop_area=0.4)

STILL = {"rotation": 0, "shift_x": 0, "shift_y": 0, "shear": 0, "zoom_x": 1, "zoom_y": 1}
WHOLE = {"crop_width": 1, "crop_height": 1, "crop_left": 0, "crop_top": 0}
SAME_COLOR = {"brightness": 0, "contrast": 1, "saturation": 1, "hue": 0}


@pytest.fixture(scope="module")
def image():
    return np.asarray(draw_scene(61, 40))


@pytest.fixture(scope="module")
def square():
    return np.asarray(draw_scene(48, 48))


def augment(image, seed, settings):
    return augmentation.augment(tf.constant(image), tf.constant(seed, tf.int64), settings).numpy()


def augment_with(monkeypatch, image, settings=RECIPE, **params):
    """`augment` with these parameters instead of drawn ones."""
    chosen = STILL | WHOLE | SAME_COLOR | params
    tensors = {key: tf.constant(value, tf.float32) for key, value in chosen.items()}
    tensors["flip"] = tf.constant(params.get("flip", False))
    monkeypatch.setattr(augmentation, "draw", lambda *_: tensors)
    return augment(image, [0, 0], settings)


def draw_numbers(seed, settings):
    drawn = augmentation.draw(tf.constant(seed, tf.int64), settings)
    return {key: value.numpy() for key, value in drawn.items()}


def compute_matrix(p, height, width):
    """Output to input, (x, y, 1): Keras' rotation, shift, shear and zoom about the center, after crop and flip."""
    theta, shear = np.deg2rad(p["rotation"]), np.deg2rad(p["shear"])
    rotation = np.array([[np.cos(theta), -np.sin(theta), 0], [np.sin(theta), np.cos(theta), 0], [0, 0, 1]])
    shift = np.array([[1, 0, p["shift_x"] * width], [0, 1, p["shift_y"] * height], [0, 0, 1]])
    shearing = np.array([[1, -np.sin(shear), 0], [0, np.cos(shear), 0], [0, 0, 1]])
    zoom = np.diag([p["zoom_x"], p["zoom_y"], 1])
    to_center = np.array([[1, 0, width / 2 - 0.5], [0, 1, height / 2 - 0.5], [0, 0, 1]])
    keras_matrix = to_center @ rotation @ shift @ shearing @ zoom @ np.linalg.inv(to_center)
    # From pixel indices to edges (+ 1/2), the window, and back.
    half = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
    window = np.array(
        [
            [p["crop_width"], 0, p["crop_left"] * width],
            [0, p["crop_height"], p["crop_top"] * height],
            [0, 0, 1],
        ]
    )
    flip = np.array([[-1, 0, width - 1], [0, 1, 0], [0, 0, 1]]) if p["flip"] else np.eye(3)
    return keras_matrix @ np.linalg.inv(half) @ window @ half @ flip


def warp_by_scipy(image, matrix):
    swap = np.array([[0, 1, 0], [1, 0, 0], [0, 0, 1]])
    rows_first = swap @ matrix @ swap
    channels = [
        scipy.ndimage.affine_transform(c, rows_first[:2, :2], rows_first[:2, 2], order=1, mode="nearest")
        for c in np.moveaxis(image.astype(float), -1, 0)
    ]
    return np.stack(channels, axis=-1)


# Geometry


@pytest.mark.parametrize("seed", range(12))
def test_geometry_is_the_matrix_and_one_interpolation(image, seed):
    params = draw_numbers([seed, 7], GEOMETRY_ONLY)
    matrix = compute_matrix(params, *image.shape[:2])
    np.testing.assert_allclose(augmentation.compose_affine_matrix(params, *image.shape[:2]), matrix, atol=2e-5)
    want = warp_by_scipy(image, matrix)
    assert abs(augment(image, [seed, 7], GEOMETRY_ONLY) - want).max() <= 0.6  # rounding, and float32 coordinates


@pytest.mark.parametrize("seed", range(4))
def test_geometry_is_keras(square, seed):
    settings = Augmentation(horizontal_flip=False, shear=15.0)
    p = draw_numbers([seed, 1], settings)
    side = square.shape[0]
    want = apply_affine_transform(
        square.astype(np.float64),
        theta=p["rotation"],
        # Keras' tx moves along x in this function.
        tx=p["shift_x"] * side,
        ty=p["shift_y"] * side,
        shear=p["shear"],
        zx=p["zoom_x"],
        zy=p["zoom_y"],
        row_axis=0,
        col_axis=1,
        channel_axis=2,
    )
    assert abs(augment(square, [seed, 1], settings) - want).max() <= 0.6


@pytest.mark.parametrize("side", [47, 48])
def test_quarter_turns_are_exact(monkeypatch, side):
    image = np.asarray(draw_scene(side, side))
    np.testing.assert_array_equal(augment_with(monkeypatch, image, rotation=90), np.rot90(image))
    np.testing.assert_array_equal(augment_with(monkeypatch, image, rotation=-90), np.rot90(image, -1))
    np.testing.assert_array_equal(augment_with(monkeypatch, image, rotation=180), np.rot90(image, 2))


def test_flip_is_exact(monkeypatch, image):
    np.testing.assert_array_equal(augment_with(monkeypatch, image, flip=True), image[:, ::-1])


def test_whole_pixel_shifts_repeat_the_border(monkeypatch, image):
    height, width = image.shape[:2]
    shifted = augment_with(monkeypatch, image, shift_x=3 / width, shift_y=-2 / height)
    want = np.pad(image, ((2, 0), (0, 3), (0, 0)), mode="edge")[:-2, 3:]
    np.testing.assert_array_equal(shifted, want)


def test_crop_is_pillows_extent(monkeypatch, image):
    height, width = image.shape[:2]
    window = {"crop_left": 0.25, "crop_top": 0.1, "crop_width": 0.5, "crop_height": 0.7}
    box = (0.25 * width, 0.1 * height, 0.75 * width, 0.8 * height)
    extent = Image.fromarray(image).transform((width, height), Image.Transform.EXTENT, box, Image.Resampling.BILINEAR)
    assert abs(augment_with(monkeypatch, image, **window).astype(int) - np.asarray(extent)).max() <= 1


# Color


def test_brightness_and_contrast_by_hand(monkeypatch, image):
    settings = OFF.model_copy(update={"brightness": 0.5, "contrast": 0.5})
    got = augment_with(monkeypatch, image, settings, brightness=0.1, contrast=1.4)
    lighter = image / 255 + 0.1
    mean = lighter.mean(axis=(0, 1))
    want = np.clip((lighter - mean) * 1.4 + mean, 0, 1) * 255
    assert abs(got - want).max() <= 0.5 + 1e-3


def test_saturation_and_hue_by_colorsys(monkeypatch, image):
    settings = OFF.model_copy(update={"saturation": 0.5, "hue": 0.5})
    got = augment_with(monkeypatch, image, settings, saturation=0.6, hue=0.15)
    for y, x in ((0, 0), (5, 50), (20, 30), (39, 60), (16, 42)):
        hue, saturation, value = colorsys.rgb_to_hsv(*image[y, x] / 255)
        want = np.multiply(colorsys.hsv_to_rgb((hue + 0.15) % 1, saturation * 0.6, value), 255)
        assert abs(got[y, x] - want).max() <= 0.5 + 1e-2


@pytest.mark.parametrize("seed", range(5))
def test_extremes_stay_within_bytes(seed):
    checks = (np.indices((16, 16)).sum(axis=0) % 2 * 255).astype(np.uint8)[..., None].repeat(3, -1)
    settings = OFF.model_copy(update={"brightness": 1.0, "contrast": 1.0, "saturation": 1.0, "hue": 0.5})
    image = augment(checks, [seed, 0], settings)
    # White stays at least as light as black in every channel: an overflow would wrap round.
    assert (image[0, 1] >= image[0, 0]).all()


# What is drawn


@pytest.fixture(scope="module")
def drawn():
    seeds = tf.stack([tf.range(2000, dtype=tf.int64) * 7919, tf.ones(2000, tf.int64)], axis=1)
    signature = {key: tf.TensorSpec((), value.dtype) for key, value in augmentation.draw(seeds[0], EVERYTHING).items()}
    draws = tf.function(
        lambda: tf.map_fn(lambda s: augmentation.draw(s, EVERYTHING), seeds, fn_output_signature=signature)
    )
    return {key: value.numpy() for key, value in draws().items()}


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [
        ("rotation", -40, 40),
        ("shift_x", -0.2, 0.2),
        ("shift_y", -0.2, 0.2),
        ("shear", -0.2, 0.2),
        ("zoom_x", 0.8, 1.2),
        ("zoom_y", 0.8, 1.2),
        ("brightness", -0.2, 0.2),
        ("contrast", 0.7, 1.3),
        ("saturation", 0.5, 1.5),
        ("hue", -0.1, 0.1),
    ],
)
def test_uniform_over_its_range(drawn, name, low, high):
    values = drawn[name]
    spread = high - low
    assert values.min() >= low - 1e-6
    assert values.max() <= high + 1e-6
    assert np.ptp(values) > 0.98 * spread
    # The mean of 2000 uniform numbers: within five standard errors.
    assert abs(values.mean() - (low + high) / 2) < 5 * spread / np.sqrt(12 * len(values))


def test_flips_half_of_the_time(drawn):
    assert abs(drawn["flip"].mean() - 0.5) < 5 * 0.5 / np.sqrt(2000)


def test_parameters_are_independent(drawn):
    names = [name for name in drawn if not name.startswith("crop")]
    correlations = np.corrcoef([drawn[name].astype(float) for name in names]) - np.eye(len(names))
    assert abs(correlations).max() < 5 / np.sqrt(2000)


def test_crop_windows_fit_and_keep_their_share(drawn):
    left, top, width, height = (drawn[f"crop_{side}"] for side in ("left", "top", "width", "height"))
    assert min(left.min(), top.min()) >= 0
    assert (left + width).max() <= 1 + 1e-6
    assert (top + height).max() <= 1 + 1e-6
    area, aspect = width * height, np.log(width / height)
    assert area.min() >= 0.4 - 1e-5
    assert abs(area.mean() - 0.7) < 5 * 0.6 / np.sqrt(12 * 2000)
    assert abs(aspect).max() <= np.log(4 / 3) + 1e-5
    assert abs(aspect.mean()) < 5 * np.log(4 / 3) / np.sqrt(3 * 2000)


def test_one_setting_leaves_the_other_draws_alone():
    for key in ("rotation", "zoom", "horizontal_flip", "crop_area", "hue"):
        without = EVERYTHING.model_copy(update={key: getattr(OFF, key)})
        before, after = draw_numbers([5, 5], EVERYTHING), draw_numbers([5, 5], without)
        changed = {name for name in before if before[name] != after[name]}
        belongs = {"zoom": {"zoom_x", "zoom_y"}, "horizontal_flip": {"flip"}}
        belongs["crop_area"] = {f"crop_{side}" for side in ("left", "top", "width", "height")}
        assert changed <= belongs.get(key, {key})


# Repeatability


@pytest.mark.parametrize("seed", range(3))
def test_everything_off_gives_the_very_same_pixels(image, seed):
    np.testing.assert_array_equal(augment(image, [seed, seed], OFF), image)
    # The same through the interpolation, which runs if anything is on.
    half_off = OFF.model_copy(update={"horizontal_flip": True})
    np.testing.assert_array_equal(
        augment(image, [seed, seed], half_off),
        image[:, ::-1] if draw_numbers([seed, seed], half_off)["flip"] else image,
    )


def test_same_seed_same_pixels_other_copy_other_pixels(square):
    seeds = [augmentation.derive_seed(tf.constant(b"an image"), copy) for copy in (0, 1, 0)]
    first, second, again = (augment(square, seed, EVERYTHING) for seed in seeds)
    np.testing.assert_array_equal(first, again)
    assert abs(first.astype(int) - second).mean() > 5


@pytest.mark.slow
def test_eager_graph_and_batch_agree(square):
    seeds = tf.constant([[1, 2], [3, 4], [5, 6]], tf.int64)
    images = tf.stack([square, square[::-1], square[:, ::-1]])

    @tf.function
    def augment_batch(images, seeds):
        return tf.map_fn(
            lambda pair: augmentation.augment(pair[0], pair[1], EVERYTHING),
            (images, seeds),
            fn_output_signature=tf.TensorSpec((48, 48, 3), tf.uint8),
        )

    together = augment_batch(images, seeds).numpy().astype(int)
    one_by_one = np.stack([augment(image, seed, EVERYTHING) for image, seed in zip(images, seeds, strict=True)])
    # A compiler may fuse two roundings of float32 into one: at an exact half that is one gray level.
    assert abs(together - one_by_one).max() <= 1
    assert (together == one_by_one).mean() > 0.999


def test_seed_comes_from_content_and_never_changes():
    def derive_seed(content, copy):
        return augmentation.derive_seed(tf.constant(content), copy).numpy().tolist()

    assert derive_seed(b"a", 3) == derive_seed(b"a", 3)
    assert derive_seed(b"a", 3)[0] != derive_seed(b"b", 3)[0]
    assert [derive_seed(b"a", copy)[1] for copy in (0, 1, 63)] == [0, 1, 63]
    # FarmHash fingerprint of b"a", modulo 2**63 - 1. Stored variants of earlier runs depend on it.
    assert derive_seed(b"a", 0)[0] == 12917804110809363939 % (2**63 - 1)


@pytest.mark.slow
def test_only_stateless_ops_and_no_python():
    signature = [tf.TensorSpec((32, 32, 3), tf.uint8), tf.TensorSpec((), tf.string)]

    @tf.function(input_signature=signature)
    def make_variant(image, encoded):
        return augmentation.augment(image, augmentation.derive_seed(encoded, 1), EVERYTHING)

    graph = make_variant.get_concrete_function().graph
    kinds = {op.type for op in graph.get_operations()}
    assert "ImageProjectiveTransformV3" in kinds
    assert "StatelessRandomUniformV2" in kinds
    assert all(kind.startswith("Stateless") for kind in kinds if "Random" in kind)
    assert not [op.type for op in graph.get_operations() if op.op_def.is_stateful and op.type != "Placeholder"]


# Settings


def test_every_key_is_about_geometry_or_color_but_the_crop_and_the_number_of_copies():
    assert set(Augmentation.model_fields) == {*augmentation.GEOMETRY, *augmentation.COLOR, "crop_area", "copies"}


def test_scaled_ranges_by_hand():
    settings = Augmentation(rotation=40, zoom=0.2, brightness=0.3, crop_area=0.6, copies=3)
    half = augmentation.scale_ranges(settings, 0.5)
    assert (half.rotation, half.zoom, half.brightness, half.crop_area) == (20, 0.1, 0.15, 0.8)
    assert (half.horizontal_flip, half.copies) == (True, 3)
    assert augmentation.scale_ranges(settings, 1.0) == settings
    image = tf.constant(np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8))
    still = augmentation.scale_ranges(settings, 0.0).model_copy(update={"horizontal_flip": False})
    np.testing.assert_array_equal(augmentation.augment(image, [1, 2], still), image)

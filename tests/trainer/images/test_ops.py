"""The one preprocessing, against Pillow (decoding) and a NumPy triangle filter (resizing)."""

import functools
import io
import struct

import numpy as np
import pytest
from PIL import Image

from tests.deferred import deferred_imports
from tests.trainer import image_kinds
from tests.trainer.image_kinds import IMAGES

with deferred_imports():
    import tensorflow as tf

    from trainer.images import lossless, ops


@functools.cache
def trace_decoder():
    return tf.function(ops.decode, input_signature=[tf.TensorSpec([], tf.string)], autograph=False)


def decode(encoded):
    return trace_decoder()(encoded)


# Decoding


@pytest.mark.slow
@pytest.mark.parametrize("kind", IMAGES)
def test_decodes_as_pillow_does(kind):
    want = image_kinds.compute_expected(IMAGES[kind]).astype(int)
    got = decode(IMAGES[kind]).numpy()
    assert got.dtype == np.uint8
    assert got.shape == want.shape
    assert abs(got - want).max() <= (image_kinds.TOLERANCE if kind in image_kinds.INEXACT else 0)


@pytest.mark.slow
def test_cmyk_noise_differs_from_pillow_by_rounding_only():
    inks = np.random.default_rng(1).integers(0, 256, (64, 64, 4)).astype(np.uint8)
    stream = io.BytesIO()
    Image.fromarray(inks, "CMYK").save(stream, "JPEG", quality=95)
    difference = decode(stream.getvalue()).numpy().astype(int) - image_kinds.compute_expected(stream.getvalue())
    assert 0 < abs(difference).max() <= image_kinds.TOLERANCE


def test_orientation_moves_the_mark_of_the_upper_left_corner():
    # CIPA DC-008, tag 274: where row 0 and column 0 of the stored image are to be shown.
    corners = {1: "top left", 2: "top right", 3: "bottom right", 4: "bottom left"}
    corners |= {5: "top left", 6: "top right", 7: "bottom right", 8: "bottom left"}
    for orientation, corner in corners.items():
        image = decode(IMAGES[f"jpeg_orientation_{orientation}"]).numpy().astype(int)
        vertical, horizontal = corner.split()
        pixel = image[2 if vertical == "top" else -3, 2 if horizontal == "left" else -3]
        assert abs(pixel - (20, 30, 200)).max() < 40, orientation
        assert (image.shape[0] > image.shape[1]) == (orientation >= 5)


def build_exif(byte_order=b"II", magic=42, directory=8, entries=1, tag=274, kind=3, count=1, value=6):
    endian = "<" if byte_order == b"II" else ">"
    entry = struct.pack(endian + "HHIHH", tag, kind, count, value, 0)
    header = byte_order + struct.pack(endian + "HI", magic, directory)
    return b"Exif\0\0" + header + struct.pack(endian + "H", entries) + entry


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(build_exif(value=0), id="orientation 0"),
        pytest.param(build_exif(value=9), id="orientation 9"),
        pytest.param(build_exif(kind=2), id="wrong type"),
        pytest.param(build_exif(count=2), id="wrong count"),
        pytest.param(build_exif(tag=275), id="other tag"),
        pytest.param(build_exif(magic=43), id="not TIFF"),
        pytest.param(build_exif(byte_order=b"XX"), id="no byte order"),
        pytest.param(build_exif(entries=0), id="no entries"),
        pytest.param(build_exif(directory=2**32 - 1), id="directory past the end"),
        pytest.param(build_exif(byte_order=b"MM", directory=2**31), id="directory past the end, big-endian"),
        pytest.param(build_exif()[:-6], id="cut inside the entry"),
        pytest.param(build_exif()[:12], id="cut inside the header"),
        pytest.param(b"Exif\0\0", id="empty"),
        pytest.param(b"Exif\0", id="half a name"),
        pytest.param(b"", id="nothing"),
    ],
)
def test_broken_exif_means_upright(content):
    encoded = image_kinds.build_jpeg((0xE1, content))
    assert decode(encoded).shape == (30, 41, 3)


def test_more_entries_promised_than_there_are():
    encoded = image_kinds.build_jpeg((0xE1, build_exif(entries=65535)))
    assert decode(encoded).shape == (41, 30, 3)


def test_an_orientation_of_another_whole_number_type():
    for block in (build_exif(kind=4), build_exif(kind=1), build_exif(kind=4, byte_order=b"MM", value=0, count=1)):
        turned = (41, 30, 3) if b"II" in block else (30, 41, 3)
        assert decode(image_kinds.build_jpeg((0xE1, block))).shape == turned


def test_exif_with_random_bytes_never_fails():
    random = np.random.default_rng(2)
    for _ in range(100):
        content = bytearray(build_exif())
        for position in random.integers(6, len(content), 3):
            content[position] = random.integers(256)
        assert sorted(decode(image_kinds.build_jpeg((0xE1, bytes(content)))).shape) == [3, 30, 41]


def test_exif_in_a_comment_or_after_a_broken_length_is_not_found():
    comment = image_kinds.build_jpeg((0xFE, build_exif()), (0xE2, build_exif()))
    assert decode(comment).shape == (30, 41, 3)
    # Behind 70 other segments it is; further than the bound of the walk, nobody can say.
    many = image_kinds.build_jpeg(*[(0xE5, b"x")] * 70, (0xE1, build_exif()))
    assert decode(many).shape == (41, 30, 3)
    with pytest.raises(tf.errors.InvalidArgumentError, match="more than 512 segments"):
        decode(image_kinds.build_jpeg(*[(0xE5, b"x")] * 600, (0xE1, build_exif())))


def test_alpha_rounds_as_pillow_for_every_color_and_alpha():
    color, alpha = (a.astype(np.uint8) for a in np.meshgrid(np.arange(256), np.arange(256)))
    stream = io.BytesIO()
    rgba = Image.fromarray(np.stack([color, color[::-1], color, alpha], axis=-1))
    rgba.save(stream, "PNG", compress_level=1)
    white = Image.new("RGBA", rgba.size, "white")
    want = np.asarray(Image.alpha_composite(white, rgba).convert("RGB"))
    np.testing.assert_array_equal(decode(stream.getvalue()), want)


@pytest.mark.parametrize(
    ("encoded", "message"),
    [
        (b"", "no JPEG, PNG, BMP, GIF or WebP"),
        (b"\xff", "no JPEG, PNG, BMP, GIF or WebP"),
        (b"hello, world", "no JPEG, PNG, BMP, GIF or WebP"),
        (image_kinds.ANIMATED_WEBP, "animated WebP"),
        (IMAGES["jpeg"][:200], "Invalid JPEG"),
        (b"\xff\xd8", "Unknown image file format"),
        (IMAGES["png"][:200], "Invalid PNG"),
        (b"\x89P", "Unknown image file format"),
        (IMAGES["bmp"][:200], "Input size should match"),
        (IMAGES["bmp_palette"][:20], "Incomplete bmp"),
        (IMAGES["gif"][:50], "Invalid GIF"),
        (IMAGES["webp"][:100], "Failed to decode WebP"),
        (b"RIFF", "Unknown image file format"),
    ],
)
def test_what_cannot_be_decoded_says_why(encoded, message):
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        decode(encoded)
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        ops.decode(tf.constant(encoded))


# Resizing


def compute_triangle_weights(source: int, target: int, offset: float, length: float) -> np.ndarray:
    """[target, source] weights of a triangle filter, as wide as the shrinking factor, over `length` from `offset`."""
    scale = length / target
    radius = max(scale, 1.0)
    centers = offset + (np.arange(target) + 0.5) * scale
    weights = np.maximum(0, 1 - abs(centers[:, None] - (np.arange(source) + 0.5)) / radius)
    return weights / weights.sum(axis=1, keepdims=True)


def resample(image: np.ndarray, height: int, width: int) -> np.ndarray:
    rows = compute_triangle_weights(image.shape[0], height, 0, image.shape[0])
    columns = compute_triangle_weights(image.shape[1], width, 0, image.shape[1])
    return np.einsum("ih,hwc,jw->ijc", rows, image.astype(float), columns, optimize=True)


def resize_by_hand(image: np.ndarray, size: int, mode: str) -> np.ndarray:
    height, width = image.shape[:2]
    if mode == "crop":
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        return resample(image[top : top + side, left : left + side], size, size)
    if mode == "pad":
        ratio = size / max(height, width)
        inner = [max(1, int(np.floor(side * ratio + 0.5))) for side in (height, width)]
        canvas = np.zeros((size, size, 3))
        top, left = (size - inner[0]) // 2, (size - inner[1]) // 2
        canvas[top : top + inner[0], left : left + inner[1]] = resample(image, *inner)
        return canvas
    return resample(image, size, size)


@pytest.mark.parametrize("mode", ["crop", "pad", "stretch"])
@pytest.mark.parametrize("kind", ["png", "png_one_pixel", "jpeg_tiny", "jpeg_tall", "jpeg_wide", "jpeg_large"])
def test_resizes_as_a_triangle_filter(kind, mode):
    image = image_kinds.compute_expected(IMAGES[kind])
    for size in (24, 96):
        got = ops.resize(tf.constant(image), size, mode)
        assert got.dtype == tf.uint8
        assert got.shape == (size, size, 3)
        # Within the rounding to whole levels, and float32's own error.
        assert abs(got.numpy() - resize_by_hand(image, size, mode)).max() <= 0.5 + 1e-3


def test_right_size_stays_as_it_is():
    image = np.random.default_rng(3).integers(0, 256, (32, 32, 3)).astype(np.uint8)
    for mode in ops.MODES:
        np.testing.assert_array_equal(ops.resize(tf.constant(image), 32, mode), image)


def test_halves_round_to_even():
    # Two pixels to one: means 0.5, 1.5 and 2.5.
    image = tf.constant([[[0, 1, 2]], [[1, 2, 3]]], tf.uint8)
    np.testing.assert_array_equal(ops.resize(image, 1, "stretch"), [[[0, 2, 2]]])


def test_crop_and_pad_by_hand():
    rows = tf.constant(np.arange(1, 6, dtype=np.uint8)[:, None, None].repeat(2, 1).repeat(3, 2))  # 5 high, 2 wide
    np.testing.assert_array_equal(ops.resize(rows, 2, "crop")[..., 0], [[2, 2], [3, 3]])
    np.testing.assert_array_equal(ops.resize(rows, 5, "pad")[..., 0], [[0, n, n, 0, 0] for n in range(1, 6)])


def test_unknown_mode_is_refused():
    with pytest.raises(ValueError, match="'squeeze': expected one of crop, pad, stretch"):
        ops.resize(tf.zeros((4, 4, 3), tf.uint8), 4, "squeeze")


# Batches


@pytest.fixture(scope="module")
def batch():
    return tf.constant(list(IMAGES.values()))


def trace_preprocessing(mode):
    return tf.function(
        lambda encoded: ops.decode_and_resize(encoded, 48, mode),
        input_signature=[tf.TensorSpec([None], tf.string)],
    )


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["crop", "pad", "stretch"])
def test_batch_is_its_images_one_by_one(batch, mode):
    together = trace_preprocessing(mode)(batch)
    assert together.shape == (len(IMAGES), 48, 48, 3)
    for got, encoded in zip(together, batch, strict=True):
        np.testing.assert_array_equal(got, ops.resize(decode(encoded), 48, mode))


@pytest.mark.slow
def test_empty_batch():
    assert trace_preprocessing("crop")(tf.constant([], tf.string)).shape == (0, 48, 48, 3)
    assert lossless.encode_batch(tf.zeros((0, 48, 48, 3), tf.uint8)).shape == (0,)
    assert lossless.decode_batch(tf.constant([], tf.string), 48).shape == (0, 48, 48, 3)


@pytest.mark.slow
def test_static_shape_is_known_to_what_follows():
    assert trace_preprocessing("pad").get_concrete_function().output_shapes.as_list() == [None, 48, 48, 3]


@pytest.mark.slow
def test_survives_saving(batch, tmp_path):
    module = tf.Module()
    module.preprocess = trace_preprocessing("crop")
    tf.saved_model.save(module, tmp_path)
    loaded = tf.saved_model.load(tmp_path)
    np.testing.assert_array_equal(loaded.preprocess(batch), module.preprocess(batch))


@pytest.mark.slow
def test_nothing_random_and_no_python_in_the_graph():
    graph_def = trace_preprocessing("crop").get_concrete_function().graph.as_graph_def()
    nodes = [*graph_def.node, *(node for function in graph_def.library.function for node in function.node_def)]
    kinds = {node.op for node in nodes}
    assert "ScaleAndTranslate" in kinds
    assert not [kind for kind in kinds if "PyFunc" in kind or "Random" in kind]


# Lossless storage


@pytest.mark.slow
def test_lossless_gives_back_every_pixel(batch):
    images = trace_preprocessing("crop")(batch)
    noise = tf.constant(np.random.default_rng(4).integers(0, 256, (2, 48, 48, 3)), tf.uint8)
    images = tf.concat([images, noise], axis=0)
    packed = lossless.encode_batch(images)
    np.testing.assert_array_equal(lossless.decode_batch(packed, 48), images)
    np.testing.assert_array_equal(lossless.decode(lossless.encode(noise[0]), 48), noise[0])


def test_lossless_is_a_png_of_differences_to_green():
    image = tf.constant([[[10, 200, 30]]], tf.uint8)
    stored = np.asarray(Image.open(io.BytesIO(lossless.encode(image).numpy())))
    np.testing.assert_array_equal(stored, [[[10 - 200 + 256, 200, 30 - 200 + 256]]])


def test_photos_take_an_eighth_of_float32_on_average():
    from skimage import data

    size, shares = 224, []
    for photo in (data.chelsea(), data.coffee(), data.astronaut(), data.rocket()):
        packed = lossless.encode(ops.resize(tf.constant(photo), size, "crop"))
        shares.append(len(packed.numpy()) / (size * size * 3 * 4))
    assert np.mean(shares) <= 1 / 8


def test_stored_image_of_another_size_is_refused():
    packed = lossless.encode(tf.zeros((8, 8, 3), tf.uint8))
    with pytest.raises((tf.errors.InvalidArgumentError, ValueError), match="not compatible"):
        lossless.decode(packed, 9)

"""The pixels that the page gives the model are those that Python gives it."""

import base64
import io
import struct

import pytest

from atelier.preprocessing import Preprocessing
from tests.deferred import deferred_imports
from tests.serving.web.conftest import encode
from tests.trainer.image_kinds import IMAGES, build_16_bit_png

with deferred_imports():
    import numpy as np
    import tensorflow as tf
    from PIL import Image

    from serving.client import preparation
    from serving.client.preparation import Preparation
    from trainer.images import ops

pytestmark = pytest.mark.slow

PREPARE = """async ([encoded, preprocessing]) => {
  const { decode } = await import("/pixels/decode.js");
  const { prepare } = await import("/pixels/prepare.js");
  const bytes = Uint8Array.from(atob(encoded), (letter) => letter.charCodeAt(0));
  const pixels = prepare(await decode(new Blob([bytes]), preprocessing.max_pixels), preprocessing);
  return btoa(String.fromCharCode(...pixels));
}"""


@pytest.fixture(scope="module")
def page(browser, address):
    page = browser.new_page()
    page.goto(address("float"))
    return page


def draw(width, height):
    """Soft shapes under noise, so that every step of the preparation has something to get wrong."""
    random = np.random.default_rng(width * height)
    coarse = random.integers(0, 256, (max(2, height // 9), max(2, width // 9), 3), np.uint8)
    soft = np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)).astype(int)
    pixels = np.clip(soft + random.integers(-25, 25, soft.shape), 0, 255).astype(np.uint8)
    return Image.fromarray(pixels)


def save(image, kind, **options):
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def turn(image, orientation):
    exif = image.getexif()
    exif[274] = orientation
    return exif


def preprocess_with_python(encoded, told):
    prepared = preparation.prepare(encoded, Preparation.from_model(told)).encoded
    return ops.decode_and_resize(tf.constant([prepared]), told.size, told.resize).numpy()[0]


def preprocess_in_page(page, encoded, told):
    found = page.evaluate(PREPARE, [encode(encoded), told.model_dump()])
    return np.frombuffer(base64.b64decode(found), np.uint8).reshape(told.size, told.size, 3)


def measure_difference(page, encoded, **settings):
    told = Preprocessing(size=48, resize="crop", store_size=96).model_copy(update=settings)
    return np.abs(preprocess_in_page(page, encoded, told).astype(int) - preprocess_with_python(encoded, told)).max()


@pytest.mark.parametrize("mode", ["crop", "pad", "stretch"])
@pytest.mark.parametrize("store_size", [96, 512, None])
@pytest.mark.parametrize("size", [(320, 201), (37, 250), (1, 1), (625, 450)])
def test_a_photograph_has_the_same_pixels(page, size, store_size, mode):
    encoded = save(draw(*size), "JPEG", quality=90)
    assert measure_difference(page, encoded, store_size=store_size, resize=mode) == 0


DIFFERING = {"jpeg_cmyk", "jpeg_display_p3", "jpeg_srgb_profile", "png_display_p3_alpha", "webp_alpha"}
BOUND = 8
"""Levels: profiles are converted otherwise than by LittleCMS, CMYK and transparency are rounded, and JPEG makes more of
it."""


@pytest.mark.parametrize("kind", sorted(IMAGES))
def test_each_kind_of_image_has_the_same_pixels(page, kind):
    found = measure_difference(page, IMAGES[kind], size=50, resize="stretch", store_size=700)
    assert found <= (BOUND if kind in DIFFERING else 0)


def make_deep_gray(bits):
    """A photograph whose gray samples use so many of the 16 bits."""
    gray = np.asarray(draw(120, 80).convert("L")).astype(np.uint16)
    return Image.fromarray((gray << (bits - 8)) + np.arange(120, dtype=np.uint16) % (1 << (bits - 8)))


@pytest.mark.parametrize("bits", [9, 10, 13, 16])
def test_the_filters_of_a_deep_png_are_undone(page, bits):
    encoded = save(make_deep_gray(bits), "PNG")
    assert measure_difference(page, encoded, store_size=512) == 0


@pytest.mark.parametrize("color_type", [0, 2])
def test_the_color_of_a_deep_png_that_is_transparent_is_white(page, color_type):
    samples = np.zeros((20, 24, 3 if color_type else 1), np.uint16)
    samples[:, ::2] = 40_000
    key = struct.pack(f">{samples.shape[2]}H", *samples[0, 0])
    encoded = build_16_bit_png(color_type, samples, (b"tRNS", key), (b"sBIT", bytes(samples.shape[2] * [16])))
    assert measure_difference(page, encoded, size=24, resize="crop", store_size=None) == 0
    assert preprocess_in_page(page, encoded, Preprocessing(size=24, resize="stretch", store_size=96)).max() == 255


def test_a_deep_png_is_turned_and_one_that_ends_early_is_damaged(page):
    image = make_deep_gray(16)
    encoded = save(image, "PNG", exif=turn(image, 6))
    assert measure_difference(page, encoded, store_size=512) == 0
    for cut in (encoded[: len(encoded) // 2], encoded.replace(b"IEND", b"tEXt")):
        with pytest.raises(Exception, match="The image is damaged or not complete"):
            measure_difference(page, cut)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: save(draw(40, 30).convert("CMYK"), "JPEG", icc_profile=b"printer"), "The image is CMYK"),
        (lambda: save(draw(40, 30).convert("CMYK"), "JPEG").replace(b"Adobe", b"other"), "The image is CMYK"),
        (
            lambda: IMAGES["png_16_bit"][:28] + b"\x01" + IMAGES["png_16_bit"][29:],
            "The image has 16 bits a channel and is interlaced",
        ),
        (
            lambda: build_16_bit_png(2, np.ones((9, 9, 3), np.uint16), (b"iCCP", b"P3\0\0")),
            "The image has 16 bits a channel and a color profile",
        ),
    ],
)
def test_what_browsers_read_otherwise_is_refused(page, make, words):
    with pytest.raises(Exception, match=words):
        measure_difference(page, make())


@pytest.mark.parametrize("kind", ["PNG", "BMP", "WEBP", "GIF"])
def test_each_format_has_the_same_pixels_when_it_is_scaled_down(page, kind):
    image = draw(301, 203)
    assert measure_difference(page, save(image.quantize(64) if kind == "GIF" else image, kind)) == 0


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_turned_image_has_the_same_pixels(page, kind, orientation):
    image = draw(120, 80)
    assert measure_difference(page, save(image, kind, exif=turn(image, orientation)), store_size=512) == 0


@pytest.mark.parametrize("quality", [30, 75, 100])
def test_other_qualities_have_the_same_pixels(page, quality):
    assert measure_difference(page, save(draw(250, 120), "PNG"), jpeg_quality=quality) == 0


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "The file is empty."),
        (b"remember the milk", "This is not an image that the page can read (JPEG, PNG, WebP, GIF and BMP)."),
        (b"\xff\xd8\xff", "This is not an image that the page can read"),
        (b"\0\0\0\x18ftypheic" + b"\0" * 50, "This is HEIC, AVIF or a video. Save the image as JPEG, PNG or WebP."),
    ],
)
def test_what_is_no_image_is_told(page, content, words):
    with pytest.raises(Exception, match=words.replace("(", r"\(").replace(")", r"\)")):
        preprocess_in_page(page, content, Preprocessing(size=48, resize="crop", store_size=96))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "WEBP"])
def test_a_damaged_image_is_told(page, kind):
    encoded = save(draw(120, 80), kind)
    with pytest.raises(Exception, match="The image is damaged or not complete"):
        preprocess_in_page(page, encoded[: len(encoded) // 2], Preprocessing(size=48, resize="crop", store_size=96))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP", "WEBP"])
def test_a_large_image_is_rejected_before_it_is_decoded(page, kind):
    told = Preprocessing(size=48, resize="crop", store_size=96, max_pixels=9599)
    with pytest.raises(Exception, match="The image has 120 × 80 pixels; the model takes at most 9599"):
        preprocess_in_page(page, save(draw(120, 80), kind), told)

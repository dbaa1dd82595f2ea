"""Sizes of images."""

import numpy as np
import pytest

from components.style_renderer.engine import canvas
from tests.components.style_renderer import soft_noise


@pytest.mark.parametrize(
    ("shape", "size", "expected"),
    [
        ((300, 400, 3), 200, (150, 200)),
        ((400, 300), 800, (800, 600)),
        ((64, 64, 3), 64, (64, 64)),
        ((32, 2000, 3), 500, (8, 500)),
        ((32, 20000, 3), 100, (1, 100)),  # not 0
    ],
)
def test_the_longer_side_gets_the_size(shape, size, expected):
    assert canvas.compute_sides(shape, size) == expected


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_scaling_keeps_type_and_range_and_means(dtype):
    image = soft_noise.make_image(1, 60, 90).astype(dtype)
    smaller = canvas.resize(image, 30, 45)
    assert (smaller.shape, smaller.dtype) == ((30, 45, 3), dtype)
    # Lanczos' filter of half the size against the mean of four: alike but where it sharpens.
    blocks = image.astype(float).reshape(30, 2, 45, 2, 3).mean(axis=(1, 3))
    assert np.abs(smaller - blocks).mean() < 4
    hard = np.where(soft_noise.make_image(2, 16, 16) > 127, 255, 0).astype(dtype)
    larger = canvas.resize(hard, 64, 64)
    assert (larger.min(), larger.max()) == (0, 255)


def test_the_same_size_is_the_same_image():
    image = soft_noise.make_image(1, 60, 90)
    assert canvas.resize(image, 60, 90) is image


def test_both_types_are_scaled_alike():
    image = soft_noise.make_image(3, 50, 70)
    exact = canvas.resize(image.astype(np.float32), 20, 28)
    # uint8 is rounded, and cut to 0..255, across and down: twice.
    difference = np.abs(canvas.resize(image, 20, 28) - exact)
    assert difference.max() < 2
    assert difference.mean() < 0.5


def test_memory_maps_are_images_too(tmp_path):
    image = soft_noise.make_image(4, 40, 56)
    mapped = np.memmap(tmp_path / "image.u8", np.uint8, "w+", shape=image.shape)
    mapped[:] = image
    np.testing.assert_array_equal(canvas.resize(mapped, 20, 28), canvas.resize(image, 20, 28))
    np.testing.assert_array_equal(canvas.pad(mapped, 16), canvas.pad(image, 16))


def test_padding_repeats_the_last_row_and_column():
    image = soft_noise.make_image(5, 33, 47)
    padded = canvas.pad(image, 16)
    assert (padded.shape, padded.dtype) == ((48, 48, 3), np.uint8)
    np.testing.assert_array_equal(padded[:33, :47], image)
    np.testing.assert_array_equal(padded[33:, :47], np.broadcast_to(image[-1:], (15, 47, 3)))
    np.testing.assert_array_equal(padded[:33, 47], image[:, -1])
    np.testing.assert_array_equal(canvas.pad(padded, 16), padded)


def test_cropping_leaves_multiples_and_fills_up_what_is_below_one():
    image = soft_noise.make_image(6, 33, 47)
    np.testing.assert_array_equal(canvas.crop(image, 16), image[:32, :32])
    np.testing.assert_array_equal(canvas.crop(image[:32, :32], 16), image[:32, :32])
    narrow = canvas.crop(image[:5], 16)
    assert narrow.shape == (16, 48, 3)
    np.testing.assert_array_equal(narrow[:5, :47], image[:5])

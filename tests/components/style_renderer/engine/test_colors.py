"""Keeping the content's colors."""

import numpy as np
from PIL import Image

from components.style_renderer.engine import colors
from tests.components.style_renderer import soft_noise

LUMA = np.array([0.299, 0.587, 0.114])  # Rec. 601


def compute_moments(image):
    pixels = image.reshape(-1, 3).astype(np.float64)
    return pixels.mean(axis=0), np.cov(pixels.T)


def test_brightness_is_the_rendering_s_and_chroma_the_content_s():
    rendering, content = (soft_noise.make_image(seed, 40, 50, 90, 166) for seed in (1, 2))  # in gamut whatever the mix
    found = colors.keep_content_colors(rendering, content)
    assert (found.shape, found.dtype) == (content.shape, np.uint8)
    np.testing.assert_allclose(found @ LUMA, rendering @ LUMA, atol=2)
    for channel in (0, 2):  # red and blue less the luma: the chroma but for a factor
        np.testing.assert_allclose(
            found[..., channel] - found @ LUMA, content[..., channel] - content @ LUMA, atol=3
        )  # rounded to whole numbers in YCbCr and in RGB


def test_gray_contents_give_gray_images():
    gray = np.repeat(soft_noise.make_image(3, 32, 32)[..., :1], 3, axis=2)
    found = colors.keep_content_colors(soft_noise.make_image(4, 32, 32), gray).astype(int)
    assert np.ptp(found, axis=2).max() <= 1


def test_a_recolored_style_has_the_content_s_mean_and_covariance():
    style, content = soft_noise.make_image(5, 48, 40, 60, 200), soft_noise.make_image(6, 64, 32, 100, 150)
    content = np.clip(content @ np.array([[1, 0.3, 0], [0, 0.8, -0.2], [0.1, 0, 0.6]]), 0, 255).astype(np.uint8)
    found = colors.match_colors(style, content)
    assert (found.shape, found.dtype) == (style.shape, np.float32)
    assert found.min() > 0
    assert found.max() < 255  # or cutting would have changed the moments
    (mean, covariance), (wanted_mean, wanted_covariance) = compute_moments(found), compute_moments(content)
    np.testing.assert_allclose(mean, wanted_mean, atol=1e-2)
    np.testing.assert_allclose(covariance, wanted_covariance, atol=1e-3 * np.abs(wanted_covariance).max())
    # It is the style still: brighter where that is brighter.
    assert np.corrcoef((found @ LUMA).ravel(), (style @ LUMA).ravel())[0, 1] > 0.8


def test_a_style_like_the_content_stays_what_it_is():
    style = soft_noise.make_image(7, 32, 48, 20, 230)
    np.testing.assert_allclose(colors.match_colors(style, style), style, atol=1e-2)


def test_images_of_one_color_have_nothing_to_divide_by():
    plain = np.full((32, 32, 3), (200, 30, 90), np.uint8)
    style = soft_noise.make_image(8, 32, 32)
    onto_plain = colors.match_colors(style, plain)
    np.testing.assert_allclose(onto_plain, plain, atol=1)
    of_plain = colors.match_colors(plain, style)
    np.testing.assert_allclose(of_plain, np.broadcast_to(compute_moments(style)[0], plain.shape), atol=1)


def test_a_memory_map_is_a_content_too(tmp_path):
    style, content = soft_noise.make_image(9, 32, 32), soft_noise.make_image(10, 40, 32)
    mapped = np.memmap(tmp_path / "content.u8", np.uint8, "w+", shape=content.shape)
    mapped[:] = content
    np.testing.assert_array_equal(colors.match_colors(style, mapped), colors.match_colors(style, content))
    by_pillow = np.asarray(Image.fromarray(style).convert("L")).astype(int)
    narrow = colors.keep_content_colors(style, np.full_like(style, 128))
    assert np.abs(narrow[..., 0] - by_pillow).max() <= 2


def test_a_content_of_one_pixel_gives_the_style_its_color():
    style = soft_noise.make_image(7, 30, 20, 60, 200)
    found = colors.match_colors(style, np.array([[[10, 120, 230]]], np.uint8))
    assert np.abs(found - (10, 120, 230)).max() < 1
    assert np.isfinite(colors.match_colors(np.array([[[1, 2, 3]]], np.uint8), style)).all()

"""The network against NumPy: shapes, strength, blends, borders."""

import numpy as np
import pytest
from PIL import Image

from atelier.files import packaged
from tests.components.stylizer import tiny
from tests.deferred import deferred_imports

with deferred_imports():
    import keras

    from components.stylizer import network, resizing
    from components.stylizer.stylizer import load_base


@pytest.fixture
def random():
    return np.random.default_rng(3)


@pytest.fixture(scope="module")
def model():
    """Two channels a layer, random rows: nothing is the identity."""
    return tiny.build_network(3)


def restyle(model, image, style, strength):
    return model.predict_on_batch(
        {"image": image, "style": np.asarray(style, np.float32), "strength": np.asarray(strength, np.float32)}
    )


@pytest.mark.parametrize("size", [(16, 16), (4, 12), (36, 20)])
def test_any_size_comes_out_as_it_went_in(model, random, size):
    image = random.integers(0, 256, (2, *size, 3), np.uint8)
    found = restyle(model, image, np.eye(3)[:2], [1, 0.5])
    assert found.shape == image.shape
    assert found.dtype == np.float32
    assert (found >= 0).all()
    assert (found <= 255).all()


def test_strength_0_is_the_image_and_more_is_further_away(model, random):
    image = np.repeat(random.integers(0, 256, (1, 16, 16, 3), np.uint8), 4, axis=0)
    found = restyle(model, image, np.repeat(np.eye(3)[:1], 4, 0), [0, 0.3, 0.6, 1])
    away = np.abs(found - image).mean((1, 2, 3))
    assert away[0] < 1e-3
    assert (np.diff(away) > 1).all()


def test_images_of_a_batch_do_not_see_each_other(model, random):
    image = random.integers(0, 256, (3, 16, 16, 3), np.uint8)
    style, strength = np.eye(3), [1, 0.7, 0.4]
    together = restyle(model, image, style, strength)
    for number in range(3):
        one = slice(number, number + 1)
        alone = restyle(model, image[one], style[one], strength[one])
        np.testing.assert_allclose(together[one], alone, atol=1e-2)


def test_a_blend_of_styles_has_the_blend_of_their_rows(random):
    layer = network.ConditionalNormalization()
    features = random.normal(2, 3, (2, 5, 6, 4)).astype(np.float32)
    mix = np.array([[0.25, 0.75, 0.0], [0.0, 0.5, 0.5]], np.float32)
    layer.build([features.shape, mix.shape])
    scale, offset = random.normal(1, 1, (2, 3, 4))
    layer.scale.assign(scale)
    layer.offset.assign(offset)
    exact = features.astype(np.float64)
    mean, variance = exact.mean((1, 2), keepdims=True), exact.var((1, 2), keepdims=True)
    expected = (exact - mean) / np.sqrt(variance + 1e-3) * (mix @ scale)[:, None, None] + (mix @ offset)[:, None, None]
    np.testing.assert_allclose(layer([features, mix]), expected, rtol=1e-4, atol=1e-4)


def test_the_strength_is_shared_among_styles_and_the_rest_is_no_style():
    found = network.Mix()([np.array([[0.25, 0.75]], np.float32), np.array([0.8], np.float32)])
    np.testing.assert_allclose(found, [[0.2, 0.6, 0.2]], rtol=1e-6)


def test_padding_repeats_the_border(random):
    image = random.normal(size=(1, 3, 5, 2)).astype(np.float32)
    for pixels in (1, 2, 3, 4):
        expected = np.pad(image, ((0, 0), (pixels, pixels), (pixels, pixels), (0, 0)), mode="edge")
        np.testing.assert_array_equal(resizing.BorderPadding(pixels)(image), expected)


def test_upsampling_is_the_same_where_the_size_is_open(random):
    image = random.normal(size=(2, 5, 7, 3)).astype(np.float32)
    fixed, open_size = (keras.Input((*size, 3)) for size in ((5, 7), (None, None)))
    known, unknown = (keras.Model(x, resizing.Upsampling()(x)) for x in (fixed, open_size))
    unknown.predict_on_batch(image[:, :4])  # a second size makes the graph open
    np.testing.assert_allclose(unknown.predict_on_batch(image), known.predict_on_batch(image), atol=1e-6)


def test_grain_is_noise_and_the_same_at_any_size():
    large = np.asarray(network.Grain()(np.zeros((1, 90, 160, 2), np.float32)))[0, :, :, 2:]
    small = np.asarray(network.Grain()(np.zeros((1, 30, 20, 2), np.float32)))[0, :, :, 2:]
    np.testing.assert_array_equal(large[:30, :20], small)
    np.testing.assert_allclose([large.mean(), large.var()], [0, 1], atol=0.05)
    flat = large.reshape(-1, 4)
    assert np.abs(np.corrcoef(flat.T) - np.eye(4)).max() < 0.05
    assert np.abs(np.corrcoef(large[:, 67:, 0].ravel(), large[:, :-67, 0].ravel())[0, 1]) < 0.6  # one table repeats


def test_a_flat_image_without_grain_stays_flat(monkeypatch):
    """Zeros around it would draw a frame; on another network it was 25 gray levels."""
    monkeypatch.setattr(network, "_GRAIN", tuple(np.zeros_like(table) for table in network._GRAIN))
    model = network.build(2, channels=(3, 4, 5), blocks=2)
    found = restyle(model, np.full((1, 24, 16, 3), 77, np.uint8), [[1, 0]], [1])
    assert np.abs(found - 77).max() > 1
    assert np.ptp(found, axis=(1, 2)).max() < 1e-3


@pytest.mark.slow
def test_the_base_network_draws_no_frame():
    """The two outermost pixels are about as bright as those behind them, in every style."""
    stylizer = load_base()
    photograph = Image.open(packaged.find("skimage", "data/chelsea.png")).convert("RGB").resize((192, 128))
    for style in stylizer.styles:
        found = stylizer.stylize(np.asarray(photograph), {style: 1}).astype(float)
        jump = np.abs(measure_ring(found, 0, 2) - measure_ring(found, 3, 8)).max()
        assert jump < 20, style


def measure_ring(image, start, end):
    """The mean color of the pixels that are `start` to `end` pixels away from the border."""
    outer = np.pad(np.ones([side - 2 * start for side in image.shape[:2]]), start)
    inner = np.pad(np.ones([side - 2 * end for side in image.shape[:2]]), end)
    return image[outer > inner].mean(0)

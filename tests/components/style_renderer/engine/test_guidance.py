"""Regions: guided Gram matrices against NumPy, in tiles as in one piece, and each style in its place."""

import numpy as np
import pytest

from components.style_renderer.engine.settings import Settings
from tests.components.style_renderer import soft_noise
from tests.deferred import deferred_imports

with deferred_imports():
    import tensorflow as tf

    from components.style_renderer.engine import guidance, losses, memory, objective
    from components.style_renderer.engine.callbacks import Controls
    from components.style_renderer.engine.guidance import Region
    from components.style_renderer.engine.objective import Weights
    from components.style_renderer.engine.render import render
    from components.style_renderer.engine.tiling import tiles
    from tests.components.style_renderer import double_precision

pytestmark = pytest.mark.slow

HEIGHT, WIDTH = 64, 96
RED = np.array([200, 30, 30], np.uint8)
A, B = np.zeros((2, 1), np.uint8)
BLUE = np.array([30, 30, 200], np.uint8)


@pytest.fixture(scope="module")
def loss():
    return objective.get_objective(Settings(), "float32")


@pytest.fixture(scope="module")
def images():
    """Image, content and two styles, each [1, H, W, 3] float32."""
    return [soft_noise.make_batch(seed, HEIGHT, WIDTH) for seed in range(4)]


def draw_halves(height=HEIGHT, width=WIDTH):
    """The left half, and a soft stripe at the top: they overlap, and leave a part free."""
    left, top = np.zeros((2, height, width), np.uint8)
    left[:, : width // 2] = 255
    top[: height // 4] = 102  # 0.4
    return [left, top]


def group_regions(masks):
    return guidance.group([(np.zeros((40, 40, 3), np.uint8), 1.0)] * len(masks), masks)


def test_a_guided_gram_is_the_one_worked_out_by_hand():
    features = np.array([[[[1, 2], [3, 4]], [[5, 6], [7, 8]]]], np.float32)
    masks = np.array([[[1, 0], [0, 0]], [[0, 0.5], [1, 0]]], np.float32)[..., np.newaxis]
    # The first is [1, 2] alone. The second: ([1.5, 2] and [5, 6]) / (0.25 + 1).
    second = np.array([[1.5 * 1.5 + 25, 1.5 * 2 + 30], [33, 4 + 36]]) / 1.25
    found = losses.guided_gram(tf.constant(features), tf.constant(masks))
    np.testing.assert_allclose(found, np.array([[[1, 2], [2, 4]], second]), rtol=1e-6)


def test_a_mask_of_ones_is_no_mask(loss, images):
    image, content, style, _ = (tf.constant(each) for each in images)
    arguments = (image, loss.compute_contents(content), loss.compute_grams(style), tf.constant([1.0, 30.0, 6e-4]))
    whole = guidance.scale(
        group_regions([np.full((7, 5), 255, np.uint8)]),
        (HEIGHT, WIDTH),
        (HEIGHT, WIDTH),
        loss.network,
        loss.style_layers,
    )
    found, slope = loss.evaluate_guided(*arguments, whole.tensors, tf.constant(whole.shares))
    expected, expected_slope = loss.evaluate(*arguments)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert np.abs(slope - expected_slope).max() < 1e-5 * np.abs(expected_slope).max()


def test_masks_are_scaled_to_each_layer(loss):
    """Blocks of 32 pixels stay what they are at a stride of 8: far from their edges, values are the mask's own."""
    mask = np.kron(np.array([[255, 0, 51]], np.uint8), np.ones((64, 32), np.uint8))
    guides = guidance.scale(group_regions([mask]), (64, 96), (64, 96), loss.network, loss.style_layers)
    for name, layer in zip(loss.style_layers, guides.layers, strict=True):
        stride = loss.network.strides[name]
        assert layer.shape == (1, 64 // stride, 96 // stride, 1)
        middles = layer[0, :, [16 // stride, 48 // stride, 80 // stride], 0]
        if stride <= 8:
            np.testing.assert_allclose(middles, np.repeat([[1], [0], [0.2]], 64 // stride, axis=1), atol=1e-6)
        assert layer.mean() == pytest.approx(0.4, abs=0.02)
    np.testing.assert_allclose(guides.shares, [(1 + 0.04) / 3], rtol=1e-6)


def test_a_mask_lies_on_the_image_and_not_on_what_is_padded(loss):
    """An image 34 px high is padded to 48: its lower half begins at 17, and the padding is as the last row."""
    mask = np.repeat([[0], [255]], 10, axis=1).astype(np.uint8).repeat(17, axis=0)
    (layer, *_) = guidance.scale(group_regions([mask]), (34, 10), (48, 16), loss.network, ["stem_activation"]).layers
    np.testing.assert_allclose(layer[0, :, 3, 0], np.r_[np.zeros(8), 0.5, np.ones(15)], atol=1e-6)


def test_no_speck_vanishes(loss):
    mask = np.zeros((3000, 4000), np.uint8)
    mask[1499, 1777] = 1
    guides = guidance.scale(group_regions([mask]), (48, 64), (48, 64), loss.network, loss.style_layers)
    for layer in guides.layers:
        assert np.square(layer).sum() > 0


def test_losses_are_those_composed_in_numpy(loss, images):
    image, content, *styles = images
    masks = draw_halves()
    exact = double_precision.build_network(loss.network.model)
    here, there = (double_precision.compute_features(exact, each) for each in (image, content))
    painted = [double_precision.compute_features(exact, style) for style in styles]
    guides = guidance.scale(group_regions(masks), (HEIGHT, WIDTH), (HEIGHT, WIDTH), loss.network, loss.style_layers)
    style = 0.0
    for number, mask in enumerate(masks):
        layers = []
        for name, layer in zip(loss.style_layers, guides.layers, strict=True):
            guided = here[name] * layer[number].astype(np.float64)
            positions = guided.reshape(-1, guided.shape[-1])
            found = positions.T @ positions / np.square(layer[number].astype(np.float64)).sum()
            layers.append(np.square(found - double_precision.compute_gram(painted[number][name])).mean())
        style += np.square(mask / 255).mean() * np.average(layers, weights=loss.layer_weights)
    content_term = np.mean([np.square(here[name] - there[name]).mean() for name in loss.content_layers])

    grams = [
        tf.concat(pair, 0) for pair in zip(*(loss.compute_grams(tf.constant(each)) for each in styles), strict=True)
    ]
    found, slope = loss.evaluate_guided(
        tf.constant(image),
        loss.compute_contents(tf.constant(content)),
        grams,
        tf.constant([0.0, 1.0, 0.0]),
        guides.tensors,
        tf.constant(guides.shares),
    )
    np.testing.assert_allclose(found[1:3], [content_term, style], rtol=2e-5)
    # The lower right is in no region, and out of sight of both: nothing pulls there.
    reach = loss.network.radius
    assert reach > HEIGHT  # of the deepest layer; the first layers see some pixels only
    assert np.abs(slope[0, : HEIGHT // 4]).mean() > 2 * np.abs(slope[0, 3 * HEIGHT // 4 :, 3 * WIDTH // 4 :]).mean()


def test_in_tiles_it_is_as_in_one_piece(loss):
    height, width, tile = 160, 208, 96  # the last tiles are smaller
    image, content, *styles = (soft_noise.make_batch(seed, height, width) for seed in range(4))
    sides = (height, width)
    guides = guidance.scale(group_regions(draw_halves(height, width)), sides, sides, loss.network, loss.style_layers)
    contents = loss.compute_contents(tf.constant(content))
    grams = [
        tf.concat(pair, 0) for pair in zip(*(loss.compute_grams(tf.constant(each)) for each in styles), strict=True)
    ]
    weights = Weights(1.0, 30.0, 6e-4)
    expected, slope = loss.evaluate_guided(
        tf.constant(image),
        contents,
        grams,
        tf.constant(weights, tf.float32),
        guides.tensors,
        tf.constant(guides.shares),
    )
    tiled = tiles.TiledObjective(loss, height, width, tile, guides)
    tiled.set_content(content[0])
    gradient = np.full((height, width, 3), np.nan, np.float32)
    found = tiled.evaluate(image[0], grams, weights, gradient)
    np.testing.assert_allclose(found, expected, rtol=2e-5)
    slope = slope.numpy()[0]
    assert np.abs(gradient - slope).max() < 1e-4 * np.abs(slope).max()


def render_regions(masks, styles=2, content=None, callback=None, **changes):
    content = np.full((64, 96, 3), 120, np.uint8) if content is None else content
    noise = soft_noise.make_image(9, 64, 64, low=0, high=60)
    images = [np.clip(noise.astype(int) + color, 0, 255).astype(np.uint8) for color in (RED, BLUE)]
    changes.setdefault("scales", [{"size": 64, "iterations": 8}, {"size": 96, "iterations": 20}])
    settings = Settings(**changes)
    return render(content, [(image, 1.0) for image in images[:styles]], settings, masks=masks, callback=callback)


def test_two_styles_go_to_two_regions_and_the_rest_stays():
    content = soft_noise.make_image(3, 64, 96, low=90, high=150)
    left, right = np.zeros((2, 64, 96), np.uint8)
    left[:, :32], right[:, 64:] = 255, 255
    image = render_regions([left, right], content=content).image.astype(int)
    redness = (image[..., 0] - image[..., 2]).mean(axis=0)
    assert redness[:28].mean() > 60
    assert redness[68:].mean() < -60
    np.testing.assert_array_equal(image[:, 34:62], content[:, 34:62])


def test_tiles_paint_what_one_piece_paints(monkeypatch):
    content = soft_noise.make_image(3, 64, 96)
    few = {"scales": [{"size": 96, "iterations": 4}], "optimizer": "adam", "learning_rate": 6.0}
    whole = render_regions(draw_halves(), content=content, **few).image.astype(int)
    monkeypatch.setattr(memory, "choose_tile", lambda *_: 48)
    tiled = render_regions(draw_halves(), content=content, **few).image.astype(int)
    change = np.abs(whole - content).mean()
    assert change > 5
    assert np.abs(whole - tiled).mean() < 0.02 * change


def test_equal_masks_blend():
    whole = np.full((10, 10), 255, np.uint8)
    (region,) = guidance.group([(A, 3.0), (B, 1.0)], [whole, whole.copy()])
    assert region.styles == [(A, 3.0), (B, 1.0)]
    assert isinstance(region, Region)
    few = {"scales": [{"size": 96, "iterations": 3}]}
    np.testing.assert_allclose(
        render_regions([whole, whole], **few).losses["total"], render_regions([], **few).losses["total"], rtol=1e-3
    )


def test_with_nothing_of_a_style_its_region_stays():
    masks = draw_halves()
    assert [region.styles for region in guidance.group([(A, 1.0), (B, 0.0)], masks)] == [[(A, 1.0)]]


@pytest.mark.parametrize(
    ("masks", "message"),
    [
        ([np.zeros((4, 4), np.uint8)] * 2, "mask 0 is 0 everywhere"),
        ([np.ones((4, 4), np.uint8)], "1 masks for 2 styles"),
        ([np.ones((4, 4), np.uint8), np.ones((4, 4, 3), np.uint8)], "mask 1 is uint8 of shape"),
        ([np.ones((4, 4)), np.ones((4, 4))], "mask 0 is float64"),
    ],
)
def test_what_is_no_mask_is_named(masks, message):
    with pytest.raises(ValueError, match=message):
        render_regions(masks)


def test_weights_that_the_callback_returns_hold_from_then_on():
    seen = []

    def return_weights(at):
        seen.append(at.losses.get("total", 0) - at.losses.get("content", 0))
        return Controls(style_weight=0.0, tv_weight=0.0) if (at.scale, at.iteration) == (1, 10) else None

    rendering = render_regions([], callback=return_weights)
    assert seen[9 + 10] > 1
    assert seen[-1] == pytest.approx(0, abs=1e-5)
    assert rendering.losses["total"] == pytest.approx(rendering.losses["content"], rel=1e-5)


@pytest.mark.parametrize("wanted", [{"style_weight": -1.0}, {"tv_weight": float("nan")}, {"strength": 2.0}])
def test_controls_out_of_range_are_an_error(wanted):
    with pytest.raises(ValueError, match="the callback returned the"):
        render_regions([], callback=lambda _: Controls(**wanted))

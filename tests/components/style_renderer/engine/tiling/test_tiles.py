"""An image in tiles has the loss and the gradient that it has in one piece."""

import numpy as np
import pytest

from components.style_renderer.engine.settings import Settings
from tests.components.style_renderer import soft_noise
from tests.deferred import deferred_imports

with deferred_imports():
    import tensorflow as tf

    from components.style_renderer.engine import objective, optimizers
    from components.style_renderer.engine.objective import Losses, Weights
    from components.style_renderer.engine.tiling import tiled_adam, tiles

SMALL_TILES = [("efficientnet_lite0", 192, 256, 64), ("vgg19", 128, 160, 64)]
ODD_LAYOUTS = [
    ("efficientnet_lite0", 208, 272, 96),  # the last tiles are 16 high, 80 wide
    ("efficientnet_lite0", 16, 336, 48),
    ("efficientnet_lite0", 64, 48, 1024),  # one tile
    ("vgg19", 112, 16, 32),
]


def build_loss(name):
    return objective.get_objective(
        Settings(network=name, weights="random" if name == "vgg19" else "imagenet"), "float32"
    )


def assert_equal_in_tiles(name, height, width, tile):
    loss = build_loss(name)
    image, content, style = (soft_noise.make_batch(seed, height, width) for seed in range(3))
    contents, grams = loss.compute_contents(tf.constant(content)), loss.compute_grams(tf.constant(style))
    terms, _ = loss.evaluate(tf.constant(image), contents, grams, tf.constant([0.0, 0.0, 0.0]))
    weights = Weights(*(share / term for share, term in zip((1.0, 2.0, 0.5), terms.numpy()[1:], strict=True)))
    expected, slope = loss.evaluate(tf.constant(image), contents, grams, tf.constant(weights, tf.float32))

    tiled = tiles.TiledObjective(loss, height, width, tile)
    assert len(tiled.tiles) == -(-height // tile) * -(-width // tile)
    tiled.set_content(content[0])
    gradient = np.full((height, width, 3), np.nan, np.float32)
    found = tiled.evaluate(image[0], grams, weights, gradient)

    # What float32 leaves of sums in another order: some 1e-6. A halo that is too narrow shows as 3e-3 and more.
    np.testing.assert_allclose(found, expected, rtol=2e-5)
    slope = slope.numpy()[0]
    assert np.abs(gradient - slope).max() < 1e-4 * np.abs(slope).max()


@pytest.mark.slow
@pytest.mark.parametrize(("name", "height", "width", "tile"), SMALL_TILES)
def test_loss_and_gradient_are_those_of_one_piece(name, height, width, tile):
    assert_equal_in_tiles(name, height, width, tile)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "height", "width", "tile"), ODD_LAYOUTS)
def test_layouts_whose_last_tiles_are_smaller(name, height, width, tile):
    assert_equal_in_tiles(name, height, width, tile)


@pytest.mark.slow
def test_every_pixel_is_owned_once_and_seen_with_all_that_it_takes():
    loss = build_loss("efficientnet_lite0")
    tiled = tiles.TiledObjective(loss, 400, 304, 64)
    owners = np.zeros((400, 304), int)
    for tile in tiled.tiles:
        top, left, bottom, right = tile.core
        owners[tile.rows, tile.columns][top:bottom, left:right] += 1
        for begin, end, side, before, after in (
            (tile.rows.start, tile.rows.stop, 400, top, tile.rows.stop - tile.rows.start - bottom),
            (tile.columns.start, tile.columns.stop, 304, left, tile.columns.stop - tile.columns.start - right),
        ):
            assert begin % loss.network.stride == end % loss.network.stride == 0
            assert before >= loss.network.radius or begin == 0
            assert after >= loss.network.radius or end == side
    np.testing.assert_array_equal(owners, 1)


@pytest.mark.slow
def test_a_few_steps_in_tiles_are_keras_adam_in_one_piece():
    """`optimizers.run_adam` on `Objective` goes the same way, but for rounding, which Adam's steps enlarge."""
    loss = build_loss("efficientnet_lite0")
    image, content, style = (soft_noise.make_batch(seed, 96, 80) for seed in range(3))
    contents, grams = loss.compute_contents(tf.constant(content)), loss.compute_grams(tf.constant(style))
    weights = Weights(1.0, 30.0, 1e-3)

    def evaluate(batch):
        found, gradient = loss.evaluate(tf.constant(batch), contents, grams, tf.constant(weights, tf.float32))
        return float(found[0]), gradient.numpy()

    expected = optimizers.run_adam(evaluate, image, 4, lambda _: False, learning_rate=3.0)[0]
    kept: list[Losses] = []
    seen = []

    def notify(image):
        seen.append(np.array(image))
        return False

    found, seam = tiled_adam.minimize(
        loss,
        content[0],
        image[0],
        grams,
        lambda: weights,
        4,
        3.0,
        48,
        kept.append,
        notify,
    )
    assert len(kept) == len(seen) == 4
    assert kept[1].total == pytest.approx(evaluate(seen[0][np.newaxis])[0], rel=2e-5)
    np.testing.assert_array_equal(seen[-1], found)
    assert type(found) is np.ndarray  # not in a file
    assert np.abs(found - expected).mean() < 0.01 * np.abs(found - image[0]).mean()
    assert 0.5 < seam < 1.5


@pytest.mark.slow
def test_a_change_begins_anew():
    loss = build_loss("efficientnet_lite0")
    image, content, style = (soft_noise.make_batch(seed, 48, 64)[0] for seed in range(3))
    grams = loss.compute_grams(tf.constant(style[np.newaxis]))

    def minimize(start, iterations, notify):
        rest = (lambda: Weights(1.0, 30.0, 0.0), iterations, 3.0, 48, lambda _: None, notify)
        return tiled_adam.minimize(loss, content, start, grams, *rest)[0]

    seen = []

    def notify(image):
        seen.append(np.array(image))
        return len(seen) == 2

    changed = minimize(image, 4, notify)
    np.testing.assert_array_equal(minimize(seen[1], 2, lambda _: False), changed)
    assert not np.array_equal(minimize(image, 4, lambda _: False), changed)


def test_seam_score_is_one_where_nothing_shows():
    # 16 borders of 1000 differences each: the mean of them is within a few percent.
    smooth = soft_noise.make_image(1, 1024, 1024)
    assert tiles.measure_seams(smooth, 64) == pytest.approx(1, abs=0.1)
    assert tiles.measure_seams(smooth.astype(np.float32), 64) == pytest.approx(tiles.measure_seams(smooth, 64))
    assert tiles.measure_seams(np.full((128, 128, 3), 7, np.uint8), 64) == 0


@pytest.mark.parametrize("across", [True, False])
def test_seam_score_sees_steps_at_the_borders(across):
    image = soft_noise.make_image(1, 512, 512, 60, 200).astype(np.float32)
    brighter = (np.arange(512) // 64 % 2)[:, np.newaxis] * 20.0
    stepped = image + (brighter if across else brighter.T)[..., np.newaxis]
    assert tiles.measure_seams(stepped, 64) > 1.5
    moved = np.roll(stepped, 13, axis=0 if across else 1)
    assert tiles.measure_seams(moved, 64) < 1.2


def test_an_image_of_one_tile_has_no_seams():
    assert tiles.measure_seams(soft_noise.make_image(1, 64, 48), 64) == 1.0

"""Loss and gradient of an image against NumPy and against finite differences in float64."""

import numpy as np
import pytest

from components.style_renderer.engine.settings import Settings
from tests.deferred import deferred_imports

with deferred_imports():
    import tensorflow as tf

    from components.style_renderer.engine import objective
    from components.style_renderer.engine.objective import Weights
    from tests.components.style_renderer import double_precision, soft_noise

pytestmark = pytest.mark.slow

HEIGHT, WIDTH = 48, 64


@pytest.fixture(scope="module", params=["efficientnet_lite0", "vgg19"])
def loss(request):
    weights = "random" if request.param == "vgg19" else "imagenet"
    return objective.get_objective(Settings(network=request.param, weights=weights), "float32")


@pytest.fixture(scope="module")
def exact(loss):
    return double_precision.build_network(loss.network.model)


@pytest.fixture(scope="module")
def images():
    """Image, content and style, each [1, H, W, 3] float32."""
    return [soft_noise.make_batch(seed, HEIGHT, WIDTH) for seed in range(3)]


def evaluate(loss, images, weights):
    image, content, style = (tf.constant(each) for each in images)
    found, gradient = loss.evaluate(
        image, loss.compute_contents(content), loss.compute_grams(style), tf.constant(weights)
    )
    return found.numpy(), gradient.numpy()


@pytest.fixture(scope="module")
def compute_exact_terms(loss, exact, images):
    """Content, style and variation loss of an image, in float64."""
    wanted = double_precision.compute_targets(exact, loss, *images[1:])
    return lambda image: double_precision.compute_terms(exact, loss, image, wanted)


@pytest.fixture(scope="module")
def balanced(compute_exact_terms, images):
    """Weights that give each of the three terms a share that no other hides."""
    return np.array([1.0, 2.0, 0.5]) / compute_exact_terms(images[0])


def test_losses_are_those_composed_in_numpy(loss, compute_exact_terms, images, balanced):
    expected = compute_exact_terms(images[0])
    found, _ = evaluate(loss, images, balanced.astype(np.float32))
    # float32 rounds features to some 1e-6 of themselves by the last layer, and losses are squares of differences.
    np.testing.assert_allclose(found[1:], expected, rtol=2e-5)
    np.testing.assert_allclose(found[0], balanced @ expected, rtol=2e-5)
    assert objective.Losses(*found)._fields == ("total", "content", "style", "tv")


@pytest.mark.parametrize("only", [(1, 1, 1), (1, 0, 0), (0, 1, 0), (0, 0, 1)])
def test_the_gradient_is_that_of_finite_differences(loss, compute_exact_terms, images, balanced, only):
    weights = balanced * only
    _, gradient = evaluate(loss, images, weights.astype(np.float32))
    image = images[0]
    random = np.random.default_rng(11)
    # So small that no kink of ReLU6 lies within, and float64 still leaves nine digits of the difference.
    step = 1e-6
    for _ in range(3):
        # Along the gradient in part: of a direction at right angles to it, nothing but rounding would be seen.
        direction = random.normal(size=image.shape) + gradient / gradient.std()
        up, down = (weights @ compute_exact_terms(image + sign * step * direction) for sign in (1, -1))
        expected = (up - down) / (2 * step)
        assert np.sum(gradient * direction, dtype=np.float64) == pytest.approx(expected, rel=2e-5)


def test_without_a_difference_there_is_no_loss(loss, images):
    found, gradient = evaluate(loss, [images[0]] * 3, np.array([1, 1, 0], np.float32))
    np.testing.assert_array_equal(found[:3], 0)
    np.testing.assert_array_equal(gradient, 0)


def test_style_targets_are_computed_once_and_never_of_an_enlarged_style(loss):
    style = soft_noise.make_image(5, 48, 40)
    targets = loss.compute_style_targets(style, 48)
    for found, wanted in zip(
        targets, loss.compute_grams(tf.constant(style[np.newaxis, :, :32], tf.float32)), strict=True
    ):
        np.testing.assert_array_equal(found, wanted)  # 40 cut to a multiple of the stride
    assert loss.compute_style_targets(style.copy(), 48) is targets
    assert loss.compute_style_targets(style, 500) is targets
    other = loss.compute_style_targets(style, 33)
    assert other is not targets
    assert not np.allclose(other[0], targets[0], rtol=1e-2)
    assert loss.compute_style_targets(np.ascontiguousarray(style[:, ::-1]), 48) is not targets


def test_a_style_below_the_stride_is_filled_up(loss):
    narrow = soft_noise.make_image(6, 4, 64)
    filled = np.concatenate([narrow, np.repeat(narrow[-1:], 12, axis=0)])
    expected = loss.compute_grams(tf.constant(filled[np.newaxis], tf.float32))
    for found, wanted in zip(loss.compute_style_targets(narrow, 64), expected, strict=True):
        np.testing.assert_array_equal(found, wanted)


def test_the_number_of_kept_targets_is_bounded(loss, monkeypatch):
    monkeypatch.setattr(objective, "_KEPT_TARGETS", 2)
    own = objective.Objective(
        loss.network, loss.content_layers, tuple(zip(loss.style_layers, loss.layer_weights, strict=True))
    )
    style = soft_noise.make_image(8, 64, 64)
    first = own.compute_style_targets(style, 32)
    for size in (48, 64):
        own.compute_style_targets(style, size)
    assert len(own._targets) == 2
    again = own.compute_style_targets(style, 32)
    assert again is not first
    np.testing.assert_array_equal(again[0], first[0])


def test_strength_scales_style_and_variation_alone():
    weights = Weights(content=3.0, style=8.0, tv=0.5)
    assert weights.with_strength(1.0) == weights
    assert weights.with_strength(0.0) == Weights(3.0, 0.0, 0.0)
    half = weights.with_strength(0.5)
    assert half.content == 3.0
    assert 0 < half.style < 8.0
    assert half.style / 8.0 == half.tv / 0.5


def test_settings_choose_layers_and_an_objective_is_made_once(loss):
    with pytest.raises(ValueError, match="block2a_bn: no layer of efficientnet_lite0"):  # it is folded away
        Settings(style_layers={"stem_activation": 2.0, "block2a_bn": 1.0})
    settings = Settings(
        style_layers={"stem_activation": 2.0, "block1a_activation": 1.0}, content_layers=("block1a_activation",)
    )
    chosen = objective.get_objective(settings, "float32")
    assert chosen.content_layers == ("block1a_activation",)
    assert (chosen.style_layers, chosen.layer_weights) == (("stem_activation", "block1a_activation"), (2.0, 1.0))
    assert objective.get_objective(settings.model_copy(update={"strength": 0.5}), "float32") is chosen

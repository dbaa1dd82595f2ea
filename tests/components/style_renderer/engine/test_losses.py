"""The losses against NumPy, on random input and a batch of two."""

import functools

import numpy as np
import pytest

from tests.deferred import deferred_imports

with deferred_imports():
    import tensorflow as tf

    from components.style_renderer.engine import losses

# float32 sums of some thousand values of mixed size: a few units of 6e-8 each, far below this.
assert_close = functools.partial(np.testing.assert_allclose, rtol=2e-5, atol=1e-6)


@pytest.fixture
def random():
    return np.random.default_rng(7)


def compute_gram(features):
    positions = features.astype(np.float64).reshape(len(features), -1, features.shape[-1])
    return np.einsum("npi,npj->nij", positions, positions) / positions.shape[1]


def test_gram_is_the_mean_product_of_channels(random):
    features = random.normal(2, 3, (2, 5, 7, 4)).astype(np.float32)
    found = losses.gram(tf.constant(features)).numpy()
    assert found.shape == (2, 4, 4)
    assert_close(found, compute_gram(features))
    assert_close(losses.gram_sum(tf.constant(features)), 35 * compute_gram(features))


def test_gram_by_hand():
    features = tf.constant([[[[1.0, 2.0], [3.0, -1.0]]]])  # two positions, two channels
    np.testing.assert_array_equal(losses.gram(features), [[[5.0, -0.5], [-0.5, 2.5]]])


def test_content_is_the_mean_squared_difference_of_each_image(random):
    found, wanted = random.normal(0, 2, (2, 2, 6, 5, 3)).astype(np.float32)
    expected = np.square(found.astype(np.float64) - wanted).mean((1, 2, 3))
    assert_close(losses.content_loss(tf.constant(found), tf.constant(wanted)), expected)


@pytest.mark.parametrize("per_image", [True, False])
def test_style_is_the_weighted_mean_over_layers(random, per_image):
    channels, weights = (3, 5, 8), (0.2, 3.0, 1.3)
    grams = [random.normal(0, 4, (2, c, c)).astype(np.float32) for c in channels]
    targets = [random.normal(0, 4, (2, c, c)[0 if per_image else 1 :]).astype(np.float32) for c in channels]
    layers = [np.square(g.astype(np.float64) - t).mean((1, 2)) for g, t in zip(grams, targets, strict=True)]
    expected = np.average(layers, axis=0, weights=weights)
    found = losses.style_loss([tf.constant(g) for g in grams], [tf.constant(t) for t in targets], weights)
    assert found.shape == (2,)
    assert_close(found, expected)


def test_total_variation_is_the_mean_squared_step(random):
    image = random.uniform(0, 255, (2, 6, 9, 3)).astype(np.float32)
    exact = image.astype(np.float64)
    expected = np.square(np.diff(exact, axis=1)).sum((1, 2, 3)) + np.square(np.diff(exact, axis=2)).sum((1, 2, 3))
    assert_close(losses.total_variation_sum(tf.constant(image)), expected)
    assert_close(losses.total_variation(tf.constant(image)), expected / (6 * 9 * 3))
    assert losses.total_variation(tf.fill([1, 4, 4, 3], 9.0))[0] == 0

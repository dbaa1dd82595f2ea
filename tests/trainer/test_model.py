"""The classifier's three views."""

import numpy as np
import pytest

from tests.deferred import deferred_imports
from trainer import backbones

with deferred_imports():
    import keras

    from trainer.model import build_classifier

pytestmark = pytest.mark.slow

PIXELS = np.random.default_rng(0).uniform(0, 255, (5, 32, 32, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def classifier():
    keras.utils.set_random_seed(0)
    return build_classifier(backbones.build("efficientnet_lite0", 32, weights="none"), class_count=3, dropout=0.5)


def test_model_is_head_on_features(classifier):
    features = classifier.features(PIXELS)
    assert features.shape == (5, 1280)
    np.testing.assert_allclose(classifier.model(PIXELS), classifier.head(features), atol=1e-6)


def test_probabilities_by_hand(classifier):
    features = np.asarray(classifier.features(PIXELS), np.float64)
    kernel, bias = classifier.head.get_weights()
    exponentials = np.exp(features @ kernel + bias)
    want = exponentials / exponentials.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(classifier.model(PIXELS), want, atol=1e-5)


def test_features_are_the_means_of_the_map(classifier):
    backbone = keras.Model(classifier.model.input, classifier.model.get_layer("top_activation").output)
    np.testing.assert_allclose(
        classifier.features(PIXELS), np.mean(backbone(PIXELS), axis=(1, 2)), rtol=1e-4, atol=1e-5
    )


def test_what_the_head_learns_the_model_knows(classifier):
    classifier.head.set_weights([np.zeros((1280, 3)), np.log([0.5, 0.3, 0.2])])
    np.testing.assert_allclose(classifier.model(PIXELS), np.tile([0.5, 0.3, 0.2], (5, 1)), atol=1e-6)


def test_dropout_only_while_training(classifier):
    assert classifier.head.get_layer("head_dropout") is classifier.model.get_layer("head_dropout")
    ones = np.ones((1, 1280), np.float32)
    # Weights that all differ: with equal ones, two draws that drop equally many units would look the same.
    weights = [np.linspace(-0.1, 0.1, 1280 * 3, dtype=np.float32).reshape(1280, 3), np.zeros(3)]
    classifier.head.set_weights(weights)
    still = [classifier.head(ones, training=False).numpy().tolist() for _ in range(2)]
    drawn = [classifier.head(ones, training=True).numpy().tolist() for _ in range(2)]
    assert still[0] == still[1]
    assert drawn[0] != drawn[1]


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_probabilities_stay_float32_under_mixed_precision(policy):
    keras.config.set_dtype_policy(policy)
    mixed = build_classifier(backbones.build("efficientnet_lite0", 32, weights="none"), class_count=3, dropout=0.2)
    assert mixed.features.output.dtype == policy.removeprefix("mixed_")
    assert mixed.model.output.dtype == mixed.head.output.dtype == "float32"
    assert {weight.dtype for weight in mixed.model.weights} == {"float32"}

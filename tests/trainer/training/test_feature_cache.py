"""Features computed once: equal to what the network gives, and found again."""

import subprocess
import sys

import numpy as np
import pytest

from tests.deferred import deferred_imports

with deferred_imports():
    import keras
    import tensorflow as tf

    from trainer.training import feature_cache
    from trainer.training.feature_cache import FeatureCache

CLASSES = 4
PIXELS = np.random.default_rng(0).uniform(0, 255, (23, 8, 8, 3)).astype(np.float32)
LABELS = np.random.default_rng(1).integers(0, CLASSES, 23)


@pytest.fixture(scope="module")
def extractor():
    keras.utils.set_random_seed(0)
    return keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(5, 3), keras.layers.GlobalAveragePooling2D()])


class Passes:
    """Batches that count how often they are gone through."""

    def __init__(self, count=23):
        self.count, self.begun = count, 0

    def __iter__(self):
        self.begun += 1
        for start in range(0, self.count, 5):
            end = min(start + 5, self.count)
            yield tf.constant(PIXELS[start:end]), tf.constant(LABELS[start:end])


def compute(extractor, passes, directory, name):
    return feature_cache.compute(feature_cache.freeze_weights(extractor), passes, directory, name)


def compute_by_hand(extractor):
    """The convolution and the mean, in NumPy."""
    kernel, bias = extractor.get_weights()
    windows = np.lib.stride_tricks.sliding_window_view(PIXELS.astype(np.float64), (3, 3), axis=(1, 2))
    return (np.einsum("nyxcij,ijco->nyxo", windows, kernel) + bias).mean(axis=(1, 2))


def test_equals_direct_extraction_in_the_order_of_the_batches(extractor, tmp_path):
    features, labels = compute(extractor, Passes(), tmp_path / "new", "train")
    assert features.dtype == np.float32
    np.testing.assert_allclose(features, compute_by_hand(extractor), rtol=1e-4, atol=1e-3)
    np.testing.assert_array_equal(labels, LABELS)


def test_features_stay_on_disk(extractor, tmp_path):
    features, _ = compute(extractor, Passes(), tmp_path, "train")
    assert isinstance(features, np.memmap)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["train.npy", "train_labels.npy"]


def test_one_pass_and_never_again(extractor, tmp_path):
    passes = Passes()
    first = compute(extractor, passes, tmp_path, "train")

    def raise_error(_):
        raise AssertionError

    second = feature_cache.compute(raise_error, passes, tmp_path, "train")
    assert passes.begun == 1
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one, other)


def test_splits_are_kept_apart(extractor, tmp_path):
    compute(extractor, Passes(), tmp_path, "train")
    features, labels = compute(extractor, Passes(7), tmp_path, "eval")
    assert (len(features), len(labels)) == (7, 7)


@pytest.mark.parametrize("leftover", ["train.raw", "train.npy"])
def test_what_a_killed_run_left_is_computed_again(extractor, tmp_path, leftover):
    want = compute(extractor, Passes(), tmp_path / "whole", "train")
    (tmp_path / leftover).write_bytes(b"\x93NUMPY and then nothing" * 100)
    passes = Passes()
    features, labels = compute(extractor, passes, tmp_path, "train")
    assert passes.begun == 1
    np.testing.assert_array_equal(features, want[0])
    np.testing.assert_array_equal(labels, want[1])


def test_a_run_killed_on_the_way_leaves_nothing_that_looks_whole(extractor, tmp_path):
    class Killed(Passes):
        def __iter__(self):
            yield from list(super().__iter__())[:2]
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        compute(extractor, Killed(), tmp_path, "train")
    features, _ = compute(extractor, Passes(), tmp_path, "train")
    np.testing.assert_allclose(features, compute_by_hand(extractor), rtol=1e-4, atol=1e-3)


def test_an_empty_split_is_named(extractor, tmp_path):
    with pytest.raises(ValueError, match="eval: the split holds no examples"):
        compute(extractor, Passes(0), tmp_path, "eval")


def test_batch_normalization_folded_into_convolutions_changes_nothing(tmp_path):
    """Constant weights have it folded; mean, variance, scale and offset differ from channel to channel here."""
    keras.utils.set_random_seed(0)
    normalization = keras.layers.BatchNormalization(epsilon=1e-3)
    layers = [keras.layers.Conv2D(5, 3), normalization, keras.layers.ReLU(6.0), keras.layers.GlobalAveragePooling2D()]
    network = keras.Sequential([keras.Input((8, 8, 3)), *layers])
    gamma, beta, mean, variance = np.random.default_rng(2).uniform(0.5, 2, (4, 5))
    normalization.set_weights([gamma, beta, 50 * mean, 900 * variance])
    features, _ = compute(network, Passes(), tmp_path, "train")

    kernel, bias = layers[0].get_weights()
    windows = np.lib.stride_tricks.sliding_window_view(PIXELS.astype(np.float64), (3, 3), axis=(1, 2))
    convolved = np.einsum("nyxcij,ijco->nyxo", windows, kernel) + bias
    normal = gamma * (convolved - 50 * mean) / np.sqrt(900 * variance + 1e-3) + beta
    np.testing.assert_allclose(features, np.clip(normal, 0, 6).mean(axis=(1, 2)), rtol=1e-4, atol=1e-4)


@pytest.mark.slow
def test_two_devices_compute_each_image_once(tmp_path):
    """Keras' own `predict_on_batch` gives every device the whole batch, and every image twice."""
    code = f"""
import keras, numpy as np, tensorflow as tf
from pathlib import Path
from trainer.training import feature_cache
cpu, = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
pixels = np.random.default_rng(0).uniform(0, 255, (6, 8, 8, 3)).astype(np.float32)
with tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]).scope():
    model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(5, 3), keras.layers.GlobalMaxPooling2D()])
    batches = tf.data.Dataset.from_tensor_slices((pixels, np.arange(6))).batch(4)
    extract = feature_cache.freeze_weights(model)
    features, labels = feature_cache.compute(extract, batches, Path({str(tmp_path)!r}), "train")
np.testing.assert_array_equal(labels, range(6))
np.testing.assert_allclose(features, model(pixels), rtol=1e-5)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_mixed_precision_is_kept_as_float32(tmp_path):
    keras.config.set_dtype_policy("mixed_bfloat16")
    keras.utils.set_random_seed(0)
    half = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(5, 3), keras.layers.GlobalAveragePooling2D()])
    features, _ = compute(half, Passes(), tmp_path, "train")
    assert features.dtype == np.float32
    # bfloat16 has 8 bits: a relative error of 2^-8 in each of some 27 terms.
    want = compute_by_hand(half)
    assert abs(features - want).max() < 0.03 * abs(want).max()
    assert abs(features - want).max() > 0


# Batches of kept features


FEATURES = np.arange(23 * 3, dtype=np.float32).reshape(23, 3)


def list_rows(cache):
    """Which images an epoch has, batch by batch."""
    return [(features[:, 0] / 3).astype(int).tolist() for features, _ in (cache[at] for at in range(len(cache)))]


def test_batches_without_a_seed_by_hand():
    cache = FeatureCache(FEATURES, LABELS, CLASSES, batch_size=10, seed=None)
    assert len(cache) == 3
    for _ in range(2):
        assert list_rows(cache) == [list(range(10)), list(range(10, 20)), [20, 21, 22]]
        cache.on_epoch_end()
    features, one_hot = cache[2]
    np.testing.assert_array_equal(features, FEATURES[20:])
    want = np.zeros((3, CLASSES), np.float32)
    want[range(3), LABELS[20:]] = 1
    np.testing.assert_array_equal(one_hot, want)
    assert features.dtype == one_hot.dtype == np.float32


def test_epochs_are_shuffled_and_whole():
    def three_epochs(seed):
        cache = FeatureCache(FEATURES, LABELS, CLASSES, batch_size=10, seed=seed)
        seen = []
        for _ in range(3):
            seen.append(list_rows(cache))
            cache.on_epoch_end()
        return seen

    epochs = three_epochs(4)
    for batches in epochs:
        assert [len(batch) for batch in batches] == [10, 10, 3]
        assert sorted(row for batch in batches for row in batch) == list(range(23))
    assert len({str(batches) for batches in epochs}) == 3
    assert three_epochs(4) == epochs
    assert three_epochs(5) != epochs


def test_features_and_labels_stay_together():
    cache = FeatureCache(FEATURES, LABELS, CLASSES, batch_size=6, seed=0)
    for at in range(len(cache)):
        features, one_hot = cache[at]
        picked = (features[:, 0] / 3).astype(int)
        np.testing.assert_array_equal(features, FEATURES[picked])
        np.testing.assert_array_equal(one_hot.argmax(axis=1), LABELS[picked])


def test_keras_draws_a_new_order_in_every_epoch():
    cache = FeatureCache(FEATURES, LABELS, CLASSES, batch_size=23, seed=0)
    seen = []

    class Seen(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            seen.append(cache._order.tolist())

    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(CLASSES, activation="softmax")])
    model.compile(loss="categorical_crossentropy")
    model.fit(cache, epochs=3, verbose=0, callbacks=[Seen()])
    assert len({tuple(order) for order in seen}) == 3

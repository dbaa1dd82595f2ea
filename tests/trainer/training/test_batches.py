"""Batches of pixels: what is in them, in which order, and what flipping does."""

import numpy as np
import pytest

from tests.deferred import deferred_imports
from tests.trainer.tiny_classes import SIZE, TRAIN_COUNTS
from trainer.settings import Augmentation

with deferred_imports():
    import tensorflow as tf

    from trainer.training.batches import read_batches, read_channel_statistics

pytestmark = pytest.mark.slow

COUNT = sum(TRAIN_COUNTS)


@pytest.fixture(scope="module")
def make_batches(transformed):
    accessor = transformed.build_fn_args().data_accessor

    def make(split="train", **options):
        options = {"size": SIZE, "batch_size": 16} | options
        return read_batches(transformed.list_files(split), accessor, transformed.output, **options)

    return make


def read_epoch(dataset):
    """Pixels and labels of one pass."""
    pixels, labels = zip(*dataset.as_numpy_iterator(), strict=True)
    return np.concatenate(pixels), np.concatenate(labels)


def locate(pixels, among):
    """Where in `among` each image lies, as it is or mirrored."""
    at = {one.tobytes(): n for n, one in enumerate(among)} | {one[:, ::-1].tobytes(): n for n, one in enumerate(among)}
    return [at[one.tobytes()] for one in pixels]


@pytest.fixture(scope="module")
def stored(transformed):
    return transformed.read_pixels("train").astype(np.float32)


def test_without_a_seed_everything_comes_in_the_order_of_the_file(make_batches, transformed, stored):
    dataset = make_batches()
    assert [len(labels) for _, labels in dataset] == [16, 16, 8]
    for _ in range(2):
        pixels, labels = read_epoch(dataset)
        assert pixels.dtype == np.float32
        assert labels.dtype == np.int64
        np.testing.assert_array_equal(pixels, stored)
        assert labels.tolist() == transformed.read_labels("train")


def test_shapes_are_known_to_the_model(make_batches):
    pixels, labels = make_batches(flip=True, seed=0).element_spec
    assert pixels.shape.as_list() == [None, SIZE, SIZE, 3]
    assert labels.shape.as_list() == [None]


def test_every_epoch_is_another_order_of_the_same_examples(make_batches, transformed, stored):
    dataset = make_batches(seed=3)
    labels_at = np.array(transformed.read_labels("train"))
    orders = []
    for _ in range(3):
        pixels, labels = read_epoch(dataset)
        orders.append(locate(pixels, stored))
        assert sorted(orders[-1]) == list(range(COUNT))
        np.testing.assert_array_equal(labels, labels_at[orders[-1]])
    assert len({tuple(order) for order in [*orders, range(COUNT)]}) == 4


@pytest.mark.parametrize("flip", [False, True])
def test_the_same_seed_gives_the_same_epochs_and_another_does_not(make_batches, flip):
    def read_two_epochs(seed):
        dataset = make_batches(seed=seed, flip=flip, batch_size=4)
        return np.stack([read_epoch(dataset)[0] for _ in range(2)])

    first = read_two_epochs(5)
    np.testing.assert_array_equal(first, read_two_epochs(5))
    assert (first != read_two_epochs(6)).any()


def test_flipping_mirrors_about_half_and_changes_nothing_else(make_batches, stored):
    dataset = make_batches(seed=1, flip=True)
    mirrored = []
    for _ in range(5):
        pixels, _ = read_epoch(dataset)
        order = locate(pixels, stored)  # fails for an image that is neither as stored nor mirrored
        assert sorted(order) == list(range(COUNT))
        flips = np.empty(COUNT, bool)
        flips[order] = [(one != stored[at]).any() for one, at in zip(pixels, order, strict=True)]
        mirrored.append(flips)
    # 200 fair draws: within five standard deviations of 0.5.
    assert abs(np.mean(mirrored) - 0.5) < 5 * 0.5 / np.sqrt(5 * COUNT)
    assert len({flips.tobytes() for flips in mirrored}) == 5


def test_varied_images_are_new_in_every_epoch_the_same_for_a_seed_and_keep_their_labels(
    make_batches, transformed, stored
):
    settings = Augmentation(
        rotation=0, width_shift=0, height_shift=0, shear=0, zoom=0, brightness=0.2, horizontal_flip=False
    )

    def read_epochs(seed, count=2):
        dataset = make_batches(seed=seed, augment=settings)
        return [read_epoch(dataset) for _ in range(count)]

    first, again, other = read_epochs(5), read_epochs(5), read_epochs(6)
    for one, same in zip(first, again, strict=True):
        np.testing.assert_array_equal(one[0], same[0])
    assert (first[0][0] != other[0][0]).any()
    # Brightness alone is one number an image: it moves the mean, within a fifth of the range, and not the labels.
    means = np.sort(stored.mean((1, 2, 3)))
    for pixels, labels in first:
        assert pixels.dtype == np.float32
        assert sorted(labels.tolist()) == sorted(transformed.read_labels("train"))
        assert abs(np.sort(pixels.mean((1, 2, 3))) - means).max() <= 0.2 * 255
        # The lightest channel is what the label says, before and after.
        np.testing.assert_array_equal(pixels.mean((1, 2)).argmax(1), labels)
    assert (np.sort(first[0][0].mean((1, 2, 3))) != np.sort(first[1][0].mean((1, 2, 3)))).any()


def test_nothing_is_flipped_unless_asked_for(make_batches, stored):
    pixels, _ = read_epoch(make_batches(seed=1))
    np.testing.assert_array_equal(pixels, stored[locate(pixels, stored)])


def test_images_of_another_size_are_refused(make_batches):
    with pytest.raises(tf.errors.InvalidArgumentError, match="not compatible"):
        next(iter(make_batches(size=SIZE + 1)))


def test_channel_statistics_are_those_that_transform_measured(transformed, stored):
    accessor = transformed.build_fn_args().data_accessor
    mean, variance = read_channel_statistics(transformed.list_files("train"), accessor, transformed.output)
    np.testing.assert_allclose(mean, stored.mean(axis=(0, 1, 2), dtype=np.float64), rtol=1e-6)
    np.testing.assert_allclose(variance, stored.var(axis=(0, 1, 2), dtype=np.float64), rtol=1e-6)


def test_an_empty_training_split_is_named(transformed, tmp_path):
    with tf.io.TFRecordWriter(str(tmp_path / "none.gz"), "GZIP"):
        pass
    accessor = transformed.build_fn_args().data_accessor
    with pytest.raises(ValueError, match=r"none\.gz: the training split holds no examples"):
        read_channel_statistics([str(tmp_path / "none.gz")], accessor, transformed.output)

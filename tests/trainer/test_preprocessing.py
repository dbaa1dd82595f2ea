"""What Transform stores: against the raw records, NumPy, and the one preprocessing of pixels."""

from pathlib import Path

import numpy as np
import pytest

from atelier import tfrecord
from tests.deferred import deferred_imports
from tests.trainer.tiny_classes import SIZE

with deferred_imports():
    import tensorflow as tf

    from tests.trainer import tiny_data
    from tests.trainer.tiny_data import read_value
    from trainer import features, preprocessing
    from trainer.images import ops

pytestmark = pytest.mark.slow


def read_raw_values(transformed, split, key):
    return [read_value(tf.train.Example.FromString(record), key) for record in transformed.raw[split]]


# Images


@pytest.mark.parametrize("split", ["train", "eval", "golden"])
def test_stored_form_decodes_to_the_very_pixels_of_the_one_preprocessing(transformed, split):
    encoded = read_raw_values(transformed, split, "image/encoded")
    want = ops.decode_and_resize(tf.constant(encoded), SIZE, "crop")
    np.testing.assert_array_equal(transformed.read_pixels(split), want)


def test_only_the_four_features_are_stored(transformed):
    names = {features.IMAGE, features.LABEL, features.PIXEL_MEAN, features.PIXEL_VARIANCE}
    assert set(transformed.output.transformed_feature_spec()) == names
    assert {name for row in transformed.read_rows("eval") for name in row.features.feature} == names


def test_stored_images_are_smaller_than_their_float32_pixels(transformed):
    # Noise, and 48 pixels a side: the eighth that photos reach is tested with ops.
    stored = [len(read_value(row, features.IMAGE)) for row in transformed.read_rows("train")]
    assert max(stored) < SIZE**2 * 3 * 4 / 3


# Statistics


def read_statistics(transformed, split):
    rows = transformed.read_rows(split)
    return [
        np.unique([row.features.feature[name].float_list.value for row in rows], axis=0)
        for name in (features.PIXEL_MEAN, features.PIXEL_VARIANCE)
    ]


def test_mean_and_variance_are_those_of_the_training_split(transformed):
    pixels = transformed.read_pixels("train").astype(np.float64)
    for split in ("train", "eval", "golden"):
        mean, variance = read_statistics(transformed, split)
        # One value for all rows.
        np.testing.assert_allclose(mean, [pixels.mean(axis=(0, 1, 2))], rtol=1e-6)
        np.testing.assert_allclose(variance, [pixels.var(axis=(0, 1, 2))], rtol=1e-6)
    # Of no other split: its own are far from them.
    assert abs(transformed.read_pixels("golden").mean(axis=(0, 1, 2)) - mean[0]).min() > 5


# Labels


@pytest.mark.parametrize("split", ["train", "eval", "golden"])
def test_integer_labels_stay_as_they_are(transformed, split):
    assert transformed.read_labels(split) == read_raw_values(transformed, split, "image/class/label")


def test_training_labels_are_counted(transformed):
    file = transformed.output.vocabulary_file_by_name(features.LABEL_COUNTS)
    assert sorted(Path(file).read_text().splitlines()) == ["12 1", "20 0", "8 2"]


def test_texts_get_ids_by_frequency_and_unknown_ones_none(text_transformed):
    assert text_transformed.output.vocabulary_by_name(features.LABEL_VOCABULARY) == [b"big cat", "Käfer".encode()]
    assert text_transformed.read_labels("train") == [1, 0, 0, 1, 0]
    # A text that is not in the training split, and no text at all.
    assert text_transformed.read_labels("eval") == [1, -1, -1]


def test_texts_that_are_known_have_ids_in_that_order(tmp_path):
    names = ("Käfer", "dog", "big cat")
    raw = {
        "train": [make_example(number, text) for number, text in enumerate(["big cat", "big cat", "Käfer"])],
        "eval": [make_example(number, text) for number, text in enumerate(["dog", "cow", "big cat"])],
    }
    schema = 'feature { name: "photo" type: BYTES } feature { name: "kind" type: BYTES }'
    made = tiny_data.transform(tmp_path, raw, schema, image_key="photo", label_key="kind", class_names=names)
    assert made.read_labels("train") == [2, 2, 0]
    assert made.read_labels("eval") == [1, -1, 2]
    # The table is part of what is exported, as a vocabulary's file is.
    holder = tf.Module()
    holder.layer = made.output.transform_features_layer()
    holder.ids = tf.function(
        lambda texts, photos: holder.layer({"kind": texts, "photo": photos})[features.LABEL],
        input_signature=[tf.SparseTensorSpec([None, 1], tf.string)] * 2,
    )
    tf.saved_model.save(holder, str(tmp_path / "saved"))
    served = tf.saved_model.load(str(tmp_path / "saved"))
    texts = tf.sparse.from_dense(tf.constant([["big cat"], ["Käfer"]]))
    photos = tf.sparse.from_dense(tf.constant([[tiny_data.draw_image(0, 0)], [tiny_data.draw_image(1, 1)]]))
    assert served.ids(texts, photos).numpy().tolist() == [2, 0]


def make_example(number, text):
    return tfrecord.serialize_example({"photo": tiny_data.draw_image(number % 3, number), "kind": text})


def test_sparse_features_and_padding(text_transformed):
    """A schema without shapes makes sparse tensors of all features."""
    assert {type(spec) for spec in text_transformed.output.raw_feature_spec().values()} == {tf.io.VarLenFeature}
    encoded = read_raw_values(text_transformed, "train", "photo")
    padded, cropped = (ops.decode_and_resize(tf.constant(encoded), SIZE, m) for m in ("pad", "crop"))
    np.testing.assert_array_equal(text_transformed.read_pixels("train"), padded)
    assert (padded.numpy() != cropped.numpy()).any()


# Shapes that a schema can give to one value


def make_ragged_and_sparse(rows, dtype):
    ragged = tf.ragged.constant(rows, dtype)
    return [ragged, ragged.to_sparse()]


@pytest.mark.parametrize("kind", [0, 1], ids=["ragged", "sparse"])
def test_missing_values_keep_their_rows(kind):
    assert preprocessing._flatten_column(
        make_ragged_and_sparse([[5], [], [7], []], tf.int64)[kind]
    ).numpy().tolist() == [
        5,
        -1,
        7,
        -1,
    ]
    texts = preprocessing._flatten_column(make_ragged_and_sparse([[], ["a"]], tf.string)[kind])
    assert texts.numpy().tolist() == [b"", b"a"]
    # What a request without labels looks like.
    assert preprocessing._flatten_column(make_ragged_and_sparse([[], [], []], tf.int64)[kind]).numpy().tolist() == [
        -1,
        -1,
        -1,
    ]


@pytest.mark.parametrize("kind", [0, 1], ids=["ragged", "sparse"])
def test_two_values_in_a_row_are_refused(kind):
    with pytest.raises(tf.errors.InvalidArgumentError, match="out of bounds"):
        preprocessing._flatten_column(make_ragged_and_sparse([[5], [6, 7]], tf.int64)[kind])


@pytest.mark.parametrize("shape", [[3], [3, 1]])
def test_dense_values_are_taken_with_and_without_a_dimension(shape):
    assert preprocessing._flatten_column(tf.reshape(tf.constant([4, 5, 6]), shape)).numpy().tolist() == [4, 5, 6]

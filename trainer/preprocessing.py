"""`preprocessing_fn` of the Transform component: what every image goes through, in every split.

Nothing random is here: augmented variants of training images are made from this function's
output (`components/transform`), so that no augmentation op can reach the graph that is served.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf
import tensorflow_transform as tft

from trainer import features
from trainer.images import lossless, ops
from trainer.transform_settings import TransformConfig


def preprocessing_fn(inputs: dict[str, Any], custom_config: Mapping[str, Any] | str) -> dict[str, tf.Tensor]:
    """Decodes, orients and resizes the images, gives labels their ids, and measures the pixels.

    Args:
      inputs: raw features; the image is [N] or [N, 1] encoded bytes, the label int64 or string.
      custom_config: the fields of `TransformConfig`, or their JSON.

    Returns:
      The features named in `trainer.features`, each with N rows.
    """
    config = TransformConfig.parse(custom_config)
    encoded = _flatten_column(inputs[config.image_key])
    label = _flatten_column(inputs[config.label_key])
    # Tracked, so that the export finds it in Transform's SavedModel: the model serves the graph that made its data.
    decoder = tft.make_and_track_object(lambda: ops.build_decoder(config.size, config.resize), name=features.DECODER)
    pixels = tf.ensure_shape(decoder.decode(encoded), [None, config.size, config.size, 3])
    mean, variance = _compute_channel_statistics(pixels)
    tft.vocabulary(label, store_frequency=True, vocab_filename=features.LABEL_COUNTS)
    if label.dtype == tf.string:
        if config.class_names:
            label = _look_up_ids(label, config.class_names)
        else:
            label = tft.compute_and_apply_vocabulary(label, vocab_filename=features.LABEL_VOCABULARY)
    rows = tf.shape(encoded)[0]
    return {
        features.IMAGE: lossless.encode_batch(pixels),
        features.LABEL: label,
        features.PIXEL_MEAN: tf.tile(mean[tf.newaxis], [rows, 1]),
        features.PIXEL_VARIANCE: tf.tile(variance[tf.newaxis], [rows, 1]),
    }


def _flatten_column(feature: tf.Tensor | tf.SparseTensor | tf.RaggedTensor) -> tf.Tensor:
    """One value a row, whatever the schema made of its shape: -1 or "" for none, an error for two."""
    if isinstance(feature, tf.RaggedTensor):
        feature = feature.to_sparse()
    if isinstance(feature, tf.SparseTensor):
        one_each = tf.SparseTensor(feature.indices, feature.values, [feature.dense_shape[0], 1])
        feature = tf.sparse.to_dense(one_each, default_value="" if feature.dtype == tf.string else -1)
    return tf.reshape(feature, [-1])


def _look_up_ids(label: tf.Tensor, names: Sequence[str]) -> tf.Tensor:
    """[N] string -> [N] int64: the positions in `names`, -1 for what is not there."""

    def build_table() -> tf.lookup.StaticHashTable:
        ids = tf.range(len(names), dtype=tf.int64)
        return tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer(tf.constant(names), ids), -1)

    return tft.make_and_track_object(build_table, name="class_ids").lookup(label)


def _compute_channel_statistics(pixels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Mean and variance by channel over all pixels of the training split.

    All images have the same size here, so the mean of their means is the mean of the pixels, and
    the variance is E[x^2] - E[x]^2; only 6 numbers an image go through Beam.
    """
    values = tf.cast(pixels, tf.float64)  # float32 loses the difference of the two large terms
    by_image = tf.reduce_mean(values, axis=[1, 2])
    square_by_image = tf.reduce_mean(tf.square(values), axis=[1, 2])
    mean = tft.mean(by_image, reduce_instance_dims=False, name="pixel_mean")
    mean_square = tft.mean(square_by_image, reduce_instance_dims=False, name="pixel_mean_square")
    variance = tf.maximum(mean_square - tf.square(mean), 0.0)
    return tf.ensure_shape(tf.cast(mean, tf.float32), [3]), tf.ensure_shape(tf.cast(variance, tf.float32), [3])

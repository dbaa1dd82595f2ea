"""From transformed examples to batches of pixels."""

from collections.abc import Sequence

import tensorflow as tf
import tensorflow_transform as tft
from tfx.components.trainer.fn_args_utils import DataAccessor
from tfx_bsl.public import tfxio

from trainer import augmentation, features
from trainer.images import lossless
from trainer.transform_settings import Augmentation


def read_batches(
    files: Sequence[str],
    data_accessor: DataAccessor,
    transform_output: tft.TFTransformOutput,
    *,
    size: int,
    batch_size: int,
    seed: int | None = None,
    flip: bool = False,
    augment: Augmentation | None = None,
) -> tf.data.Dataset:
    """Reads transformed examples once, in batches.

    Args:
      files: patterns of transformed TFRecords.
      data_accessor: TFX's reader of these files.
      transform_output: tells their schema.
      size: side of the stored images in pixels.
      batch_size: the last batch holds what is left.
      seed: shuffles the examples, differently in every epoch; None keeps the order of the files.
      flip: mirrors half of the images at random; for training data only.
      augment: varies every image at random, within these ranges; for training data only.

    Returns:
      Batches of (pixels [N, size, size, 3] float32 in 0..255, label [N] int64).
    """
    dataset = data_accessor.tf_dataset_factory(
        list(files),
        tfxio.TensorFlowDatasetOptions(
            batch_size=batch_size,
            num_epochs=1,
            shuffle=seed is not None,
            shuffle_seed=seed,
            label_key=features.LABEL,
        ),
        transform_output.transformed_metadata.schema,
    )

    def decode(row: dict[str, tf.Tensor], label: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        encoded = tf.reshape(row[features.IMAGE], [-1])
        return tf.cast(lossless.decode_batch(encoded, size), tf.float32), tf.reshape(label, [-1])

    dataset = dataset.map(decode, num_parallel_calls=tf.data.AUTOTUNE)
    if flip:
        dataset = _flip(dataset, seed)
    if augment:
        dataset = _vary(dataset, seed, augment)
    return dataset.prefetch(tf.data.AUTOTUNE)


def read_channel_statistics(
    files: Sequence[str], data_accessor: DataAccessor, transform_output: tft.TFTransformOutput
) -> tuple[list[float], list[float]]:
    """Reads the training split's mean and variance by channel (0-255), as Transform measured them.

    Raises:
      ValueError: the split is empty.
    """
    dataset = data_accessor.tf_dataset_factory(
        list(files),
        tfxio.TensorFlowDatasetOptions(batch_size=1, num_epochs=1, shuffle=False),
        transform_output.transformed_metadata.schema,
    )
    row = next(iter(dataset), None)
    if row is None:
        raise ValueError(f"{', '.join(files)}: the training split holds no examples")
    return row[features.PIXEL_MEAN][0].numpy().tolist(), row[features.PIXEL_VARIANCE][0].numpy().tolist()


def _flip(dataset: tf.data.Dataset, seed: int | None) -> tf.data.Dataset:
    """Mirrors half of the images, others in every epoch; the same ones whenever the seed is the same."""
    return _attach_numbers(dataset, seed).map(
        lambda batch, number: (tf.image.stateless_random_flip_left_right(batch[0], number), batch[1]),
        num_parallel_calls=tf.data.AUTOTUNE,
    )


def _vary(dataset: tf.data.Dataset, seed: int | None, settings: Augmentation) -> tf.data.Dataset:
    """Varies each image, in another way in every epoch; in the same ways whenever the seed is the same."""

    def vary_batch(batch: tuple[tf.Tensor, tf.Tensor], number: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        pixels = tf.cast(batch[0], tf.uint8)
        seeds = tf.random.stateless_uniform([tf.shape(pixels)[0], 2], number, None, None, tf.int32, alg="philox")
        varied = tf.map_fn(
            lambda one: augmentation.augment(one[0], one[1], settings),
            (pixels, seeds),
            fn_output_signature=tf.TensorSpec(pixels.shape[1:], tf.uint8),
        )
        return tf.cast(varied, tf.float32), batch[1]

    return _attach_numbers(dataset, seed).map(vary_batch, num_parallel_calls=tf.data.AUTOTUNE)


def _attach_numbers(dataset: tf.data.Dataset, seed: int | None) -> tf.data.Dataset:
    """Each batch with two random numbers, new ones in every epoch.

    They come with the batches: a stateful op would hand them to whichever batch a thread decodes first.
    """
    numbers = tf.data.Dataset.random(seed=seed, rerandomize_each_iteration=True).batch(2)
    return tf.data.Dataset.zip(dataset, numbers)

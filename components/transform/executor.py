"""The work of Transform: TFX's, then augmentation of the training split."""

from collections.abc import Iterator
from typing import Any

import apache_beam as beam
import tensorflow as tf
from tfx import types
from tfx.components.transform import executor as tfx_transform
from tfx.types import artifact_utils

from atelier.layout import TRAIN
from trainer import augmentation, features
from trainer.images import lossless
from trainer.transform_settings import Augmentation, TransformConfig

AUGMENTED_PREFIX = "augmented"
"""Shards of augmented variants, beside TFX's own `transformed_examples-*` of the training split."""


class Executor(tfx_transform.Executor):
    """Transforms, then adds `augmentation.copies` variants of each training image to the training split.

    The variants are made from what Transform stored, beside its graph and not in it: whatever uses
    the graph (eval and test splits, the SavedModel, TFLite) cannot reach an augmentation op.
    """

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Runs TFX's Transform and the augmentation; see TFX's Transform for the arguments."""
        super().Do(input_dict, output_dict, exec_properties)
        config = TransformConfig.parse(exec_properties["custom_config"])
        if not config.augmentation.copies:
            return
        train = artifact_utils.get_split_uri(output_dict["transformed_examples"], TRAIN)
        with self._make_beam_pipeline() as pipeline:
            (
                pipeline
                | "Read" >> beam.io.ReadFromTFRecord(f"{train}/transformed_examples-*")
                | "Spread" >> beam.Reshuffle()
                | "Augment" >> beam.ParDo(Augment(config.augmentation, config.size))
                | "Write" >> beam.io.WriteToTFRecord(f"{train}/{AUGMENTED_PREFIX}", file_name_suffix=".gz")
            )


class Augment(beam.DoFn):
    """A transformed example -> `copies` transformed examples with a changed image and all else the same."""

    def __init__(self, settings: Augmentation, size: int) -> None:
        """Keeps the section `augmentation` of the configuration and the side of the images in pixels."""
        self._settings, self._size = settings, size

    def setup(self) -> None:
        """Traces the graph, once a worker process."""

        @tf.function(input_signature=[tf.TensorSpec([], tf.string), tf.TensorSpec([], tf.int64)])
        def make_variant(encoded: tf.Tensor, copy: tf.Tensor) -> tf.Tensor:
            pixels = lossless.decode(encoded, self._size)
            seed = augmentation.derive_seed(encoded, copy)
            return lossless.encode(augmentation.augment(pixels, seed, self._settings))

        self._make_variant = make_variant

    def process(self, record: bytes) -> Iterator[bytes]:
        """Yields the variants, in the order of their numbers."""
        example = tf.train.Example.FromString(record)
        image = example.features.feature[features.IMAGE].bytes_list
        encoded = image.value[0]
        for copy in range(self._settings.copies):
            image.value[0] = self._make_variant(encoded, tf.constant(copy, tf.int64)).numpy()
            yield example.SerializeToString()

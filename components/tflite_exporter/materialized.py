"""Predictions as tf.Examples: what an Evaluator over materialized predictions reads."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import tensorflow as tf

LABEL = "label"
SAVED_MODEL_PROBABILITIES = "saved_model_probabilities"


def name_probabilities(variant: str) -> str:
    """The feature with a TFLite variant's probabilities."""
    return f"{variant}_probabilities"


def name_agreement(variant: str) -> str:
    """The feature that is 1 where the variant and the SavedModel have the same most probable class, else 0."""
    return f"{variant}_agrees"


def write(split: Path, labels: np.ndarray, tflite: Mapping[str, np.ndarray], saved_model: np.ndarray) -> None:
    """Writes one tf.Example an image to the folder `split`.

    Args:
      split: is made.
      labels: [N] int64.
      tflite: [N, classes] probabilities by variant.
      saved_model: [N, classes] probabilities on the same images.
    """
    split.mkdir(parents=True)
    with tf.io.TFRecordWriter(str(split / "predictions.gz"), tf.io.TFRecordOptions("GZIP")) as writer:
        for label, theirs, *each in zip(labels, saved_model, *tflite.values(), strict=True):
            feature = {LABEL: _build_int_feature(label), SAVED_MODEL_PROBABILITIES: _build_float_feature(theirs)}
            for variant, ours in zip(tflite, each, strict=True):
                feature[name_probabilities(variant)] = _build_float_feature(ours)
                feature[name_agreement(variant)] = _build_int_feature(ours.argmax() == theirs.argmax())
            writer.write(tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString())


def _build_int_feature(value: int) -> tf.train.Feature:
    return tf.train.Feature(int64_list=tf.train.Int64List(value=[int(value)]))


def _build_float_feature(values: np.ndarray) -> tf.train.Feature:
    return tf.train.Feature(float_list=tf.train.FloatList(value=values))

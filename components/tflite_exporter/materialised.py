"""Predictions as tf.Examples: what an Evaluator over materialised predictions reads."""

from pathlib import Path

import numpy as np
import tensorflow as tf

LABEL = "label"
TFLITE_PROBABILITIES = "tflite_probabilities"
SAVED_MODEL_PROBABILITIES = "saved_model_probabilities"
AGREES = "agrees"
"""1 where both have the same most probable class, else 0."""


def write(split: Path, labels: np.ndarray, tflite: np.ndarray, saved_model: np.ndarray) -> None:
    """Writes one tf.Example a picture to the folder `split`.

    Args:
      split: is made.
      labels: [N] int64.
      tflite: [N, classes] probabilities.
      saved_model: [N, classes] probabilities on the same pictures.
    """
    split.mkdir(parents=True)
    with tf.io.TFRecordWriter(str(split / "predictions.gz"), tf.io.TFRecordOptions("GZIP")) as writer:
        for label, ours, theirs in zip(labels, tflite, saved_model, strict=True):
            feature = {
                LABEL: _ints(label),
                AGREES: _ints(ours.argmax() == theirs.argmax()),
                TFLITE_PROBABILITIES: _floats(ours),
                SAVED_MODEL_PROBABILITIES: _floats(theirs),
            }
            writer.write(tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString())


def _ints(value: int) -> tf.train.Feature:
    return tf.train.Feature(int64_list=tf.train.Int64List(value=[int(value)]))


def _floats(values: np.ndarray) -> tf.train.Feature:
    return tf.train.Feature(float_list=tf.train.FloatList(value=values))

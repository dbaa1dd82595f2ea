"""The work of TFLiteExporter."""

import json
import shutil
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from tfx import types
from tfx.components.util import model_utils
from tfx.types import artifact_utils
from tfx.utils import path_utils

from components.tflite_exporter import convert, materialised, measure, proof
from components.transform.executor import AUGMENTED_PREFIX
from trainer import export as trainer_export
from trainer import features, image_ops

CARD_FILE = "card.json"
"""Beside the pushed file: what goes in, how a picture becomes that, what comes out, and how well it did."""
MEASUREMENTS_FILE = "measurements.json"
SPLIT = "test"


class NotBlessedError(RuntimeError):
    """The SavedModel's gate refused the model, so nothing is exported from it."""


def export(
    model: types.Artifact,
    blessing: types.Artifact,
    transformed_examples: types.Artifact,
    tflite: types.Artifact,
    predictions: types.Artifact,
    *,
    size: int,
    resize: str,
    push: str,
    calibration_images: int,
) -> None:
    """Writes the artifacts that `TFLiteExporter` documents."""
    if not model_utils.is_model_blessed(blessing):
        raise NotBlessedError(f"the model in {model.uri} was refused by its gate: no TFLite file is made from it")
    classifier = keras.models.load_model(Path(model.uri) / trainer_export.KERAS_FILE)
    train = Path(artifact_utils.get_split_uri([transformed_examples], "train"))
    calibration = [
        pixels.numpy() for pixels, _ in _pictures(train, size).shuffle(2048, seed=0).take(calibration_images)
    ]
    test = _pictures(Path(artifact_utils.get_split_uri([transformed_examples], SPLIT)), size)
    saved_model = tf.saved_model.load(path_utils.serving_model_path(model.uri)).signatures["serving_pixels"]
    labels, reference = _reference(saved_model, test)

    variants = Path(tflite.uri) / "variants"
    variants.mkdir(parents=True)
    measurements = {}
    for variant in convert.VARIANTS:
        file = variants / f"{variant}.tflite"
        file.write_bytes(convert.convert(classifier, size, variant, calibration))
        if variant == "int8":
            proof.prove_int8(file)
        probabilities, measurements[variant] = measure.measure(file, test, labels, reference)
        if variant == push:
            materialised.write(Path(predictions.uri) / f"Split-{SPLIT}", labels, probabilities, reference)
    predictions.split_names = artifact_utils.encode_split_names([SPLIT])
    (Path(tflite.uri) / MEASUREMENTS_FILE).write_text(json.dumps(measurements, indent=1), encoding="utf-8")

    shipped = Path(path_utils.serving_model_dir(tflite.uri))
    shipped.mkdir()
    shutil.copy(variants / f"{push}.tflite", shipped / "model.tflite")
    labels_file = Path(path_utils.serving_model_path(model.uri), "assets.extra", trainer_export.LABELS_FILE)
    shutil.copy(labels_file, shipped / trainer_export.LABELS_FILE)
    card = measure.describe(shipped / "model.tflite")
    card |= {"resize": resize, "quantisation": push, "test": measurements[push]}
    (shipped / CARD_FILE).write_text(json.dumps(card, indent=1), encoding="utf-8")


def _pictures(split: Path, size: int) -> tf.data.Dataset:
    """(pixels [size, size, 3] uint8, label int64) of one split, without augmented variants, in the files' order."""
    files = sorted(str(file) for file in split.iterdir() if not file.name.startswith(AUGMENTED_PREFIX))
    spec = {
        features.IMAGE: tf.io.FixedLenFeature([], tf.string),
        features.LABEL: tf.io.FixedLenFeature([], tf.int64),
    }

    def parse(record: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        row = tf.io.parse_single_example(record, spec)
        return image_ops.decode_lossless(row[features.IMAGE], size), row[features.LABEL]

    return tf.data.TFRecordDataset(files, compression_type="GZIP").map(parse, num_parallel_calls=tf.data.AUTOTUNE)


def _reference(
    signature: tf.types.experimental.ConcreteFunction, test: tf.data.Dataset
) -> tuple[np.ndarray, np.ndarray]:
    """Labels [N] int64, and the SavedModel's probabilities [N, C] float32."""
    labels, probabilities = [], []
    for pixels, label in test.batch(32):
        labels.append(label.numpy())
        probabilities.append(signature(pixels=pixels)["probabilities"].numpy())
    return np.concatenate(labels), np.concatenate(probabilities)

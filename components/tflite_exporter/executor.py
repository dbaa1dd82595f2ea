"""The work of TFLiteExporter."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from tfx import types
from tfx.components.util import model_utils
from tfx.dsl.io import fileio
from tfx.types import artifact_utils
from tfx.utils import path_utils

from atelier import storage, strict_json
from atelier.errors import AtelierError
from atelier.labels import parse_labels
from atelier.layout import ASSETS_EXTRA, CARD_FILE, LABELS_FILE, PREPROCESSING_FILE, TEST, TFLITE_FILE, TRAIN
from atelier.preprocessing import Preprocessing, parse
from components.tflite_exporter import convert, materialized, measure, metadata, proof
from components.tflite_exporter.preferred import find_preferred_model
from components.tflite_exporter.refine import refine
from components.transform.executor import AUGMENTED_PREFIX
from trainer import export as trainer_export
from trainer import features

MEASUREMENTS_FILE = "measurements.json"


class NotBlessedError(AtelierError):
    """The SavedModel's gate rejected the model, so nothing is exported from it."""


def export(
    model: types.Artifact,
    blessing: types.Artifact,
    transformed_examples: types.Artifact,
    tflite: types.Artifact,
    predictions: types.Artifact,
    *,
    size: int,
    resize: str,
    push: Sequence[str],
    calibration_images: int,
) -> None:
    """Writes the artifacts that `TFLiteExporter` documents."""
    if not model_utils.is_model_blessed(blessing):
        raise NotBlessedError(f"the model in {model.uri} was rejected by its gate: no TFLite file is made from it")
    train = _read_images(artifact_utils.get_split_uri([transformed_examples], TRAIN), size)
    calibration = [pixels.numpy() for pixels, _ in train.shuffle(2048, seed=0).take(calibration_images)]
    test = _read_images(artifact_utils.get_split_uri([transformed_examples], TEST), size)
    predictions.split_names = artifact_utils.encode_split_names([TEST])
    with (
        storage.read_folder(model.uri) as trained,
        storage.write_folder(tflite.uri) as exported,
        storage.write_folder(predictions.uri) as predicted,
    ):
        classifier = keras.models.load_model(trained / trainer_export.KERAS_FILE)
        served = Path(path_utils.serving_model_path(str(trained)))
        labels, reference = _compute_reference(tf.saved_model.load(str(served)).signatures["serving_pixels"], test)
        preprocessing = parse((served / ASSETS_EXTRA / PREPROCESSING_FILE).read_bytes())
        variants = exported / "variants"
        variants.mkdir()
        frozen = convert.freeze(classifier, size)
        contents: dict[str, bytes] = {}
        measurements, preferred = {}, {}
        for variant in convert.VARIANTS:
            file = variants / f"{variant}.tflite"
            contents[variant] = convert.convert(frozen, variant, calibration)
            if variant == "int8":
                contents[variant] = refine(contents[variant], contents["float"], calibration)
            file.write_bytes(_attach_metadata(contents[variant], served / ASSETS_EXTRA, preprocessing))
            if variant == "int8":
                proof.prove_int8(file)
            probabilities, measurements[variant] = measure.measure(file, test, labels, reference)
            if variant in push:
                preferred[variant] = probabilities
        materialized.write(predicted / f"Split-{TEST}", labels, preferred, reference)
        (exported / MEASUREMENTS_FILE).write_text(strict_json.dumps(measurements, indent=1), encoding="utf-8")

        for variant in push:
            shipped = Path(path_utils.serving_model_dir(find_preferred_model(str(exported), variant)))
            shipped.mkdir(parents=True)
            shutil.copy(variants / f"{variant}.tflite", shipped / TFLITE_FILE)
            shutil.copy(served / ASSETS_EXTRA / LABELS_FILE, shipped / LABELS_FILE)
            card = measure.describe(shipped / TFLITE_FILE)
            card |= {"resize": resize, "quantisation": variant, "test": measurements[variant]}
            card["preprocessing"] = preprocessing.model_dump()
            (shipped / CARD_FILE).write_text(json.dumps(card, indent=1), encoding="utf-8")


def _attach_metadata(model: bytes, assets: Path, preprocessing: Preprocessing) -> bytes:
    """Adds what a client must know: the names of the classes, and how an image becomes the model's input."""
    names = {name: (assets / name).read_bytes() for name in (LABELS_FILE, PREPROCESSING_FILE)}
    size = preprocessing.size
    return metadata.attach_metadata(
        model,
        name="Image classifier",
        description=f"Gives an image a probability for each of {len(parse_labels(names[LABELS_FILE]))} classes. "
        "Trained by Atelier.",
        inputs=[
            metadata.Tensor(
                "image", f"RGB, {size} x {size} pixels. Resize: {preprocessing.resize}.", low=0, high=255, image=True
            )
        ],
        outputs=[metadata.Tensor("probabilities", "Of each class.", low=0, high=1, labels=LABELS_FILE)],
        files=names,
    )


def _read_images(split: str, size: int) -> tf.data.Dataset:
    """(pixels [size, size, 3] uint8, label int64) of one split, without augmented variants, in the files' order."""
    names = sorted(name for name in fileio.listdir(split) if not name.startswith(AUGMENTED_PREFIX))
    files = [f"{split}/{name}" for name in names]
    records = tf.data.TFRecordDataset(files, compression_type="GZIP")
    return records.map(lambda record: features.parse_transformed(record, size), num_parallel_calls=tf.data.AUTOTUNE)


def _compute_reference(
    signature: tf.types.experimental.ConcreteFunction, test: tf.data.Dataset
) -> tuple[np.ndarray, np.ndarray]:
    """Labels [N] int64, and the SavedModel's probabilities [N, C] float32."""
    labels, probabilities = [], []
    for pixels, label in test.batch(32):
        labels.append(label.numpy())
        probabilities.append(signature(pixels=pixels)["probabilities"].numpy())
    return np.concatenate(labels), np.concatenate(probabilities)

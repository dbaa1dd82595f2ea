"""Makes the reference of a version from held-out records of its training data.

This loads TensorFlow.
"""

import contextlib
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from atelier import preprocessing, tfrecord
from atelier.layout import ASSETS_EXTRA, PREPROCESSING_FILE
from serving.ab.image_statistics import NUMBERS, ImageStatistics, measure
from serving.ab.samples import shrink
from serving.client.errors import ServingError
from serving.client.preparation import Preparation, prepare
from serving.monitor.errors import MonitorError
from serving.monitor.features import FEATURES_SIGNATURE
from serving.monitor.reference import MAX_FEATURES, Reference
from serving.registry.comparison import read_records
from serving.registry.pushed_versions import PushedVersion
from serving.server.loaded_model import LoadedModel
from serving.server.status import StatusError

MAX_IMAGES = 5000
"""Of more records this many are drawn at random."""
_BATCH = 32
_SEED = 1


def make_reference(pushed: PushedVersion, records: Path, image_key: str) -> Reference:
    """Runs a version on records: their images, sent as a client sends them.

    Args:
      pushed: the version.
      records: folder of TFRecord files with raw tf.Examples.
      image_key: feature with the encoded image.

    Raises:
      AtelierError: the records cannot be read, none holds an image that can be used, or the version cannot answer.
    """
    try:
        with contextlib.closing(LoadedModel(pushed.folder)) as model:
            return _run(model, pushed, records, image_key)
    except StatusError as error:
        raise MonitorError(f"{pushed.folder}: {error}") from None


def _run(model: LoadedModel, pushed: PushedVersion, records: Path, image_key: str) -> Reference:
    statistics: list[ImageStatistics] = []
    labels: list[str] = []
    features: list[np.ndarray] = []
    images = _read_images(records, image_key, _read_preparation(pushed.folder))
    has_features = FEATURES_SIGNATURE in model.signatures
    while batch := list(itertools.islice(images, _BATCH)):
        statistics += [measure(image.encoded) for image in batch]
        found = model.run("serving_bytes", {"image_bytes": np.array([image.encoded for image in batch], object)})
        labels += [label.decode("utf-8", "replace") for label in found["label"]]
        if kept := [shrink(image.encoded) for image in batch if has_features and image.with_features]:
            features.append(model.run(FEATURES_SIGNATURE, {"image_bytes": np.array(kept, object)})["features"])
    if not labels:
        raise MonitorError(f"{records}: no record has an image in its feature {image_key}")
    classes = pushed.read_class_names() or sorted(set(labels))
    return Reference(
        version=pushed.number,
        classes=np.array(classes),
        class_counts=np.array([labels.count(name) for name in classes]),
        numbers=np.array([[getattr(each, name) for name in NUMBERS] for each in statistics], np.float32),
        formats=np.array([each.format for each in statistics]),
        features=np.concatenate(features or [np.zeros((0, 0))]).astype(np.float16),
    )


@dataclass(frozen=True)
class _Image:
    encoded: bytes
    with_features: bool


def _read_images(records: Path, image_key: str, preparation: Preparation) -> Iterator[_Image]:
    """Yields prepared images; what is no image was set aside by the run too.

    Records may be sorted by class, so both what is measured and what gets features is drawn.
    """
    count = sum(1 for _ in read_records(records))
    drawn = np.random.default_rng(_SEED).permutation(count).tolist()
    measured, with_features = set(drawn[:MAX_IMAGES]), set(drawn[:MAX_FEATURES])
    for number, record in enumerate(read_records(records)):
        encoded = tfrecord.read_first_bytes(record, image_key) if number in measured else None
        if encoded:
            try:
                yield _Image(prepare(encoded, preparation).encoded, number in with_features)
            except ServingError:
                continue


def _read_preparation(folder: Path) -> Preparation:
    file = folder / ASSETS_EXTRA / PREPROCESSING_FILE
    if not file.is_file():
        return Preparation()  # as a client prepares images for a version that does not tell it
    try:
        return Preparation.from_model(preprocessing.parse(file.read_bytes()))
    except preprocessing.PreprocessingError as error:
        raise MonitorError(f"{file}: {error}") from None

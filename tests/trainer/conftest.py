"""Made once a session: tiny data that went through Transform, and a classifier that was exported."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from atelier import tfrecord
from atelier.preprocessing import Preprocessing
from tests.deferred import deferred_imports
from tests.trainer.tiny_classes import CLASSES, SIZE

with deferred_imports():
    import keras
    import tensorflow as tf

    from components.tflite_exporter import convert
    from trainer import backbones, export
    from trainer.model import build_classifier


PREPROCESSING = Preprocessing(size=SIZE, resize="crop", store_size=96, max_pixels=1_000_000, jpeg_quality=90)


@dataclass(frozen=True)
class Exported:
    """What `export.export` wrote."""

    directory: Path
    loaded: Any
    """The SavedModel, as TensorFlow loads it."""

    def serve(self, signature: str, **inputs: object) -> dict[str, np.ndarray]:
        outputs = self.loaded.signatures[signature](**{key: tf.constant(value) for key, value in inputs.items()})
        return {key: value.numpy() for key, value in outputs.items()}


@pytest.fixture(scope="session")
def transformed(tmp_path_factory):
    """Ids as labels, the schema that ingest writes."""
    from tests.trainer import tiny_data

    return tiny_data.transform(tmp_path_factory.mktemp("transformed"), tiny_data.make_splits())


@pytest.fixture(scope="session")
def classifier():
    """EfficientNet-Lite0 with its real weights, so that different images get different probabilities."""
    keras.utils.set_random_seed(1)
    return build_classifier(backbones.build("efficientnet_lite0", SIZE), len(CLASSES), 0.2).model


@pytest.fixture(scope="session")
def exported(classifier, transformed, tmp_path_factory):
    directory = tmp_path_factory.mktemp("exported") / "Format-Serving"
    export.export(
        classifier,
        directory,
        class_names=CLASSES,
        transform_output=transformed.output,
        image_key="image/encoded",
        preprocessing=PREPROCESSING,
        sample=tf.constant(transformed.read_pixels("train")[:1], tf.float32),
        provenance={"data": "made up", "code": "1234"},
    )
    return Exported(directory, tf.saved_model.load(str(directory)))


@pytest.fixture(scope="session")
def text_transformed(tmp_path_factory):
    """Another maker's records: texts as labels, other keys, and a schema that knows no shapes."""
    from tests.trainer import tiny_data

    def make_record(number, text):
        values = {"photo": tiny_data.draw_image(number % 3, number)} | ({"kind": text} if text else {})
        return tfrecord.serialize_example(values)

    texts: dict[str, list[str | None]] = {
        "train": ["Käfer", "big cat", "big cat", "Käfer", "big cat"],
        "eval": ["Käfer", "dog", None],
    }
    raw = {split: [make_record(at, text) for at, text in enumerate(labels)] for split, labels in texts.items()}
    schema = 'feature { name: "photo" type: BYTES } feature { name: "kind" type: BYTES }'
    root = tmp_path_factory.mktemp("text_transformed")
    return tiny_data.transform(root, raw, schema, image_key="photo", label_key="kind", resize="pad")


@pytest.fixture(autouse=True)
def _float32_afterwards():
    """A training that fails leaves its policy behind."""
    yield
    keras.config.set_dtype_policy("float32")


@pytest.fixture(scope="session")
def float_tflite(classifier):
    return convert.convert(convert.freeze(classifier, SIZE), "float")

"""Data that the pipeline did not make, and data that it must not take."""

import io
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.e2e.conftest import run_pipeline

pytestmark = pytest.mark.slow


def write_records(file: Path, rows: Sequence[tuple[bytes, object]], image_key: str, label_key: str) -> None:
    import tensorflow as tf

    def feature(value: object) -> tf.train.Feature:
        if isinstance(value, bytes):
            return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))
        return tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))

    file.parent.mkdir(parents=True, exist_ok=True)
    with tf.io.TFRecordWriter(str(file)) as writer:
        for image, label in rows:
            features = {image_key: feature(image), label_key: feature(label)}
            writer.write(tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString())


def coloured(label: int, count: int, seed: int) -> list[bytes]:
    """PNG pictures of 32x32 pixels whose mean colour tells their class."""
    random = np.random.default_rng([label, seed])
    colour = np.array([label * 25, 255 - label * 25, (label % 3) * 100])
    pictures = []
    for _ in range(count):
        pixels = np.clip(colour + random.normal(0, 12, (32, 32, 3)), 0, 255).astype(np.uint8)
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "PNG")
        pictures.append(buffer.getvalue())
    return pictures


@pytest.mark.parametrize("text_labels", [False, True], ids=["int64 labels", "string labels"])
def test_records_of_another_maker_run_by_config_alone(
    tmp_path: Path, write_config: Callable[[str], Path], text_labels: bool
) -> None:
    """Some 128 training pictures of 10 classes, PNG 32x32, keys `image` and `label`, one set of files.

    What is learnt from so little says nothing: no gate asks for it here.
    """
    rows = [
        (picture, f"class {label}".encode() if text_labels else label)
        for label in range(10)
        for picture in coloured(label, 16, seed=0)
    ]
    order = np.random.default_rng(0).permutation(len(rows))
    write_records(tmp_path / "records" / "part.tfrecord", [rows[number] for number in order], "image", "label")
    config = write_config(
        f"""
        name: foreign
        data: {{source: {tmp_path}/records, image_key: image, label_key: label}}
        image: {{size: 32}}
        trainer: {{head_epochs: 2}}
        evaluator: {{min_accuracy: 0, max_accuracy_drop: 0.05, slices: [label]}}
        tflite: {{max_accuracy_drop: 1, max_slice_accuracy_drop: 1, max_disagreement: 1, calibration_images: 32}}
        """
    )
    run = run_pipeline(tmp_path / "output", "--config", config)
    assert run.code == 0, run.stderr
    assert sum(run.result["data"].values()) == 160
    assert 100 <= run.result["data"]["train"] <= 150  # 8 of 10 hash buckets
    labels = tmp_path / "output" / run.result["pushed"]["saved_model"] / "assets.extra" / "labels.txt"
    expected = {f"class {label}" if text_labels else str(label) for label in range(10)}
    assert set(labels.read_text().splitlines()) == expected


def test_label_out_of_its_domain_stops_the_run_before_transform(
    tmp_path: Path, write_config: Callable[[str], Path]
) -> None:
    folder = tmp_path / "records"
    for split in ("train", "eval", "test"):
        rows = [(picture, label) for label in (0, 1) for picture in coloured(label, 4, seed=1)]
        if split == "eval":
            rows.append((coloured(0, 1, seed=2)[0], 7))
        write_records(folder / split / "images-00000-of-00001.tfrecord", rows, "image/encoded", "image/class/label")
    (folder / "labels.txt").write_text("red\ngreen\n")
    (folder / "schema.pbtxt").write_text(
        """
        feature { name: "image/encoded" type: BYTES presence { min_fraction: 1 } shape {} }
        feature {
          name: "image/class/label" type: INT presence { min_fraction: 1 } shape {}
          int_domain { min: 0 max: 1 is_categorical: true }
        }
        """
    )
    config = write_config("name: anomaly\nevaluator: {min_accuracy: 0, max_accuracy_drop: 1}\n")
    run = run_pipeline(tmp_path / "output", "--config", config, "--data", folder)
    assert run.code == 1
    assert "Transform" not in run.result["nodes"]
    assert run.result["nodes"]["AnomalyGate"] == "failed"
    assert "eval: image/class/label: " in run.stderr
    assert "Traceback" not in run.stderr
    assert (tmp_path / "output" / "report.html").is_file()

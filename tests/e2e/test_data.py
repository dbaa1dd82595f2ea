"""Data that the pipeline did not make, and data that it must not take."""

import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.e2e.conftest import run_pipeline

pytestmark = pytest.mark.slow


def write_records(file: Path, rows: Sequence[Mapping[str, object]]) -> None:
    import tensorflow as tf

    def feature(value: object) -> tf.train.Feature:
        if isinstance(value, bytes):
            return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))
        return tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))

    file.parent.mkdir(parents=True, exist_ok=True)
    with tf.io.TFRecordWriter(str(file)) as writer:
        for row in rows:
            features = tf.train.Features(feature={key: feature(value) for key, value in row.items()})
            writer.write(tf.train.Example(features=features).SerializeToString())


def draw_images(label: int, count: int, seed: int) -> list[bytes]:
    """PNG images of 32x32 pixels whose mean color tells their class."""
    random = np.random.default_rng([label, seed])
    color = np.array([label * 25, 255 - label * 25, (label % 3) * 100])
    images = []
    for _ in range(count):
        pixels = np.clip(color + random.normal(0, 12, (32, 32, 3)), 0, 255).astype(np.uint8)
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "PNG")
        images.append(buffer.getvalue())
    return images


@pytest.mark.parametrize("text_labels", [False, True], ids=["int64 labels", "string labels"])
def test_records_of_another_maker_run_by_config_alone(
    tmp_path: Path, write_config: Callable[[str], Path], text_labels: bool
) -> None:
    """Some 128 training images of 10 classes, PNG 32x32, keys `image`, `label` and `kind`, one set of files.

    The names are against the alphabet: beside the ids, or in `labels.txt` where labels are names. One image is broken.
    What is learned from so little says nothing: no gate asks for it here.
    """
    names = [f"class {9 - label}" for label in range(10)]
    rows: list[dict[str, object]] = [
        {"image": image} | ({"label": names[label].encode()} if text_labels else {"label": label})
        for label in range(10)
        for image in draw_images(label, 16, seed=0)
    ]
    if text_labels:
        (tmp_path / "records").mkdir()
        (tmp_path / "records" / "labels.txt").write_text("".join(f"{name}\n" for name in names) + "\n")
    else:
        rows = [row | {"kind": names[int(str(row["label"]))].encode()} for row in rows]
    order = np.random.default_rng(0).permutation(len(rows))
    broken = rows[5] | {"image": draw_images(0, 1, seed=1)[0][:200]}
    write_records(tmp_path / "records" / "part.tfrecord", [*(rows[number] for number in order), broken])
    config = write_config(
        f"""
        name: foreign
        data: {{source: {tmp_path}/records, image_key: image, label_key: label, text_key: kind}}
        image: {{size: 32}}
        augmentation: {{copies: 0}}
        trainer: {{backbone: tiny, head_epochs: 2, fine_tune_at: 2, mixed_precision: float32}}
        evaluator: {{min_accuracy: 0, max_accuracy_drop: 0.05, slices: [label]}}
        tflite:
          {{max_accuracy_drop: 1, max_slice_accuracy_drop: 1, max_disagreement: 1, push: float, calibration_images: 1}}
        """
    )
    run = run_pipeline(tmp_path / "output", "--config", config)
    assert run.code == 0, run.stderr
    assert sum(run.result["data"].values()) == 160
    assert 100 <= run.result["data"]["train"] <= 150  # 8 of 10 hash buckets
    labels = tmp_path / "output" / run.result["pushed"]["saved_model"] / "assets.extra" / "labels.txt"
    assert labels.read_text().splitlines() == names
    tflite = tmp_path / "output" / run.result["pushed"]["tflite"] / "labels.txt"
    assert tflite.read_text().splitlines() == names
    assert (run.result["quarantine"]["count"], run.result["quarantine"]["reasons"]) == (1, {"truncated": 1})
    page = (tmp_path / "output" / "report.html").read_text()
    assert "part.tfrecord, record 160" in page
    seen = run.stderr + page + (tmp_path / "output" / "run.json").read_text()
    assert "\\x" not in seen
    assert "1 of 161 records are set aside (truncated 1)" in run.stderr


def test_a_value_out_of_its_domain_stops_the_run_before_transform(
    tmp_path: Path, write_config: Callable[[str], Path]
) -> None:
    folder = tmp_path / "records"
    for split in ("train", "eval", "test"):
        rows = [
            {"image/encoded": image, "image/class/label": label, "image/format": b"png"}
            for label in (0, 1)
            for image in draw_images(label, 4, seed=1)
        ]
        if split == "eval":
            rows[0]["image/format"] = b"tiff"
        write_records(folder / split / "images-00000-of-00001.tfrecord", rows)
    (folder / "labels.txt").write_text("red\ngreen\n")
    (folder / "schema.pbtxt").write_text(
        """
        feature { name: "image/encoded" type: BYTES presence { min_fraction: 1 } shape {} }
        feature {
          name: "image/class/label" type: INT presence { min_fraction: 1 } shape {}
          int_domain { min: 0 max: 1 is_categorical: true }
        }
        feature {
          name: "image/format" type: BYTES presence { min_fraction: 1 } shape {}
          string_domain { name: "image/format" value: "jpeg" value: "png" }
        }
        """
    )
    config = write_config("name: anomaly\nevaluator: {min_accuracy: 0, max_accuracy_drop: 1}\n")
    run = run_pipeline(tmp_path / "output", "--config", config, "--data", folder)
    assert run.code == 1
    assert "Transform" not in run.result["nodes"]
    assert run.result["nodes"]["AnomalyGate"] == "failed"
    assert "eval: image/format: " in run.stderr
    assert "Traceback" not in run.stderr
    assert (tmp_path / "output" / "report.html").is_file()


def test_labels_are_checked_before_anything_runs(tmp_path: Path, write_config: Callable[[str], Path]) -> None:
    for split in ("train", "eval", "test"):
        rows: list[dict[str, object]] = [
            {"image/encoded": image, "image/class/label": label}
            for label in (0, 1)
            for image in draw_images(label, 2, seed=1)
        ]
        if split == "test":
            rows.append(rows[0] | {"image/class/label": 7})
        write_records(tmp_path / "records" / f"{split}.tfrecord", rows)
    (tmp_path / "records" / "labels.txt").write_text("red\ngreen\n")
    config = write_config("name: labels\nevaluator: {min_accuracy: 0, max_accuracy_drop: 1}\n")
    run = run_pipeline(tmp_path / "output", "--config", config, "--data", tmp_path / "records")
    assert (run.code, run.result, run.stdout) == (1, {}, "")
    first, message = run.stderr.splitlines()
    assert first == "checking the records"
    place = f"atelier: test: {tmp_path}/records/test.tfrecord, record 4 (counted from 0): image/class/label is 7, "
    assert message.startswith(place)
    assert "labels.txt names 2 classes" in message

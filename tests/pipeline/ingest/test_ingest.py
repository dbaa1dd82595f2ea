import io
import json
import subprocess
import sys

import numpy as np
import pytest
from google.protobuf import text_format
from PIL import Image
from tensorflow_metadata.proto.v0 import schema_pb2

from pipeline import cli
from pipeline.config import config
from pipeline.ingest import ingest, ingest_report, units
from tests.atelier import icc
from tests.deferred import deferred_imports

with deferred_imports():
    import tensorflow as tf

BEAM = ("--runner=FnApiRunner", "--direct_running_mode=in_memory", "--direct_num_workers=1")
LABELS = ["ape", "bee", "cat"]


def draw_noise(seed, height=20, width=24):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


def fill(root, labels=LABELS, count=20, split=""):
    for number, label in enumerate(labels):
        (root / split / label).mkdir(parents=True, exist_ok=True)
        for n in range(count):
            draw_noise([number, n, len(split)]).save(root / split / label / f"{n:02d}.png")


def run(source, output, progress=None, **settings):
    return ingest.ingest(str(source), output, config.Ingest(**settings), BEAM, progress)


def read_records(output, split):
    files = sorted(str(path) for path in (output / split).iterdir())
    examples = [tf.train.Example.FromString(record.numpy()) for record in tf.data.TFRecordDataset(files)]
    return [dict(example.features.feature) for example in examples]


def read_text(feature):
    (value,) = feature.bytes_list.value
    return value.decode()


def read_integer(feature):
    (value,) = feature.int64_list.value
    return value


def find_splits(output):
    return {read_text(r["image/filename"]): s for s in ("train", "eval", "test") for r in read_records(output, s)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("images")
    fill(root)
    (root / "ape" / ".DS_Store").write_bytes(b"junk")
    Image.new("RGBA", (600, 300), (0, 0, 0, 0)).save(root / "bee" / "large.webp")
    draw_noise([9, 9]).save(root / "cat" / "jpeg really.png", "JPEG")
    return root


@pytest.fixture(scope="module")
def ingested(folder, tmp_path_factory):
    output = tmp_path_factory.mktemp("ingested") / "set"
    calls = []
    report = run(folder, output, lambda done, total: calls.append((done, total)))
    return output, report, calls


def test_every_image_becomes_one_record(folder, ingested):
    output, report, _ = ingested
    files = {f"{path.parent.name}/{path.name}" for path in folder.rglob("*.*") if path.name != ".DS_Store"}
    found = [read_text(r["image/filename"]) for split in ("train", "eval", "test") for r in read_records(output, split)]
    assert sorted(found) == sorted(files)
    assert (output / "labels.txt").read_text() == "ape\nbee\ncat\n"
    for split in ("train", "eval", "test"):
        assert [p.name for p in sorted((output / split).iterdir())] == [
            "images-00000-of-00002.tfrecord",
            "images-00001-of-00002.tfrecord",
        ]
        members = read_records(output, split)
        assert report["records"][split]["pictures"] == len(members) > 0
        for label, count in report["records"][split]["classes"].items():
            assert count == sum(read_text(r["image/class/text"]) == label for r in members)
    assert not list(output.parent.glob(".*"))


def test_records_hold_the_contract_and_tensorflow_reads_them(folder, ingested):
    output, _, _ = ingested
    for r in [r for split in ("train", "eval", "test") for r in read_records(output, split)]:
        path = read_text(r["image/filename"])
        assert set(r) == {
            "image/encoded",
            "image/class/label",
            "image/class/text",
            "image/format",
            "image/filename",
            "image/height",
            "image/width",
        }
        assert LABELS[read_integer(r["image/class/label"])] == read_text(r["image/class/text"]) == path.split("/")[0]
        (encoded,) = r["image/encoded"].bytes_list.value
        pixels = tf.io.decode_image(encoded, channels=3).numpy()
        assert pixels.shape == (read_integer(r["image/height"]), read_integer(r["image/width"]), 3)
        if path == "bee/large.webp":
            assert read_text(r["image/format"]) == "jpeg"
            assert pixels.shape == (256, 512, 3)
            assert pixels.min() == 255
        elif path == "cat/jpeg really.png":
            assert read_text(r["image/format"]) == "jpeg"
            assert encoded == (folder / path).read_bytes()
        else:
            assert read_text(r["image/format"]) == "png"
            assert np.array_equal(pixels, np.asarray(Image.open(folder / path)))


def test_the_schema_states_presence_type_and_domain(ingested):
    output, _, _ = ingested
    schema = text_format.Parse((output / "schema.pbtxt").read_text(), schema_pb2.Schema())
    features = {feature.name: feature for feature in schema.feature}
    assert set(features) == set(read_records(output, "test")[0])
    for feature in features.values():
        assert feature.presence.min_fraction == 1.0
        assert feature.HasField("shape")
        assert not feature.shape.dim
    integers = {name for name, feature in features.items() if feature.type == schema_pb2.INT}
    assert integers == {"image/class/label", "image/height", "image/width"}
    domain = features["image/class/label"].int_domain
    assert (domain.min, domain.max, domain.is_categorical) == (0, 2, True)
    assert list(features["image/class/text"].string_domain.value) == LABELS
    assert list(features["image/format"].string_domain.value) == ["jpeg", "png"]


def test_the_report_says_what_happened(folder, ingested):
    output, report, calls = ingested
    assert json.loads((output / "ingest_report.json").read_text()) == json.loads(json.dumps(report))
    assert report["files"] == 62
    assert report["ignored"] == {"hidden_or_junk": 1}
    assert report["formats"] == {"jpeg": 2, "png": 60}
    assert report["quarantine"] == {"count": 0, "fraction": 0.0, "reasons": {}}
    assert report["bytes"]["read"] == sum(p.stat().st_size for p in folder.rglob("*.*") if p.name != ".DS_Store")
    stored = sum(p.stat().st_size for split in ("train", "eval", "test") for p in (output / split).iterdir())
    assert report["bytes"]["stored"] == stored
    assert report["settings"] == config.Ingest().model_dump()
    assert calls[-1] == (62, 62)
    assert calls == sorted(calls)


def test_the_same_input_gives_the_same_bytes(folder, ingested, tmp_path):
    output, _, _ = ingested
    run(folder, tmp_path / "again")
    for path in output.rglob("*"):
        if path.is_file() and path.name != "ingest_report.json":
            assert path.read_bytes() == (tmp_path / "again" / path.relative_to(output)).read_bytes(), path


def test_few_records_are_copied_by_the_driver_and_many_by_the_runner(folder, ingested, tmp_path, monkeypatch):
    works = []
    on_beam = ingest._run

    def note_work(work, *rest):
        works.append(work)
        on_beam(work, *rest)

    monkeypatch.setattr(ingest, "_run", note_work)
    stored = ingested[1]["bytes"]["stored"]
    monkeypatch.setattr(ingest, "_DRIVER_COPIES", stored)
    run(folder, tmp_path / "driver")
    assert units.write_shard not in works
    monkeypatch.setattr(ingest, "_DRIVER_COPIES", stored - 1)
    run(folder, tmp_path / "runner")
    assert works[-1] is units.write_shard
    for path in (tmp_path / "driver").glob("*/images-*"):
        assert path.read_bytes() == (tmp_path / "runner" / path.relative_to(tmp_path / "driver")).read_bytes()


def test_adding_files_moves_none_and_copies_follow_their_originals(folder, ingested, tmp_path):
    before = find_splits(ingested[0])
    root = tmp_path / "more"
    fill(root, count=30)
    formats = ("bmp", "tiff", "gif", "webp")
    for n in range(20):
        ending = formats[n % 4]
        image: Image.Image = Image.open(root / "ape" / f"{n:02d}.png")
        if ending == "gif":  # 256 colors hold it without loss only if they are few
            image = image.quantize(200)
            image.convert("RGB").save(root / "ape" / f"few colors {n}.png")
        image.save(root / "bee" / f"copy {n}.{ending}", lossless=True)
    report = run(root, tmp_path / "out")
    after = find_splits(tmp_path / "out")
    assert {path: after[path] for path in before if path in after} == {p: s for p, s in before.items() if p in after}
    assert len(after) == 3 * 30 + 25
    for n in range(20):
        original = f"ape/few colors {n}.png" if formats[n % 4] == "gif" else f"ape/{n:02d}.png"
        assert after[f"bee/copy {n}.{formats[n % 4]}"] == after[original]
    assert set(after.values()) == {"train", "eval", "test"}
    assert report["duplicates"]["pictures"] == 20
    assert report["conflicting_labels"]["pictures"] == 20


def test_given_splits_are_kept_and_leaks_are_named(tmp_path):
    root = tmp_path / "root"
    fill(root, split="train")
    fill(root, split="validation", count=5)
    leaked = Image.open(root / "validation" / "ape" / "00.png")
    leaked.save(root / "train" / "ape" / "leak.bmp")
    almost = io.BytesIO()
    Image.open(root / "validation" / "bee" / "00.png").save(almost, "JPEG", quality=90)
    (root / "train" / "bee" / "almost.jpg").write_bytes(almost.getvalue())
    report = run(root, tmp_path / "out")
    where = find_splits(tmp_path / "out")
    assert report["given_splits"] == ["train", "eval"]
    assert {path for path, split in where.items() if split == "eval"} == {
        f"validation/{label}/{n:02d}.png" for label in LABELS for n in range(5)
    }
    assert {split for path, split in where.items() if path.startswith("train/")} == {"train", "test"}
    assert "train/ape/leak.bmp" not in where
    assert report["leakage"]["dropped"] == 1
    assert report["leakage"]["examples"][0]["dropped"] == "train/ape/leak.bmp"
    assert report["leakage"]["examples"][0]["kept"] == "validation/ape/00.png"
    lines = ingest_report.summarize(report, tmp_path / "out").splitlines()
    assert lines[0].startswith(f"{tmp_path / 'out'}: train ")
    assert "of 3 classes" in lines[0]
    assert "  1 images dropped that another split has, too" in lines
    assert not any("quarantine" in line for line in lines)
    near = [set(example["paths"]) for example in report["near_duplicates"]["examples"]]
    assert {"train/bee/almost.jpg", "validation/bee/00.png"} in near


def test_what_was_done_to_images_is_counted_and_named(tmp_path, capsys):
    root = tmp_path / "root"
    fill(root, count=8)
    profile = icc.matrix_profile("p3")
    for label in ("bee", "ape"):
        draw_noise([7, ord(label[0])]).save(root / label / "phone.jpg", icc_profile=profile)
    draw_noise([7, 3]).save(root / "ape" / "broken.png", icc_profile=profile[:200])
    Image.new("RGB", (30, 20), "navy").save(root / "cat" / "blank.jpg")
    deep = np.random.default_rng(1).integers(0, 4096, (20, 20)).astype(np.uint16)
    Image.fromarray(deep).save(root / "cat" / "scan.png")
    assert cli.main(["ingest", "--source", str(root), "--output", str(tmp_path / "out")]) == 0
    report = json.loads((tmp_path / "out" / "ingest_report.json").read_text())
    assert report["remarks"] == {
        "profile_converted": {"images": 2, "examples": ["ape/phone.jpg", "bee/phone.jpg"]},
        "profile_ignored": {"images": 1, "examples": ["ape/broken.png"]},
        "depth_scaled": {"images": 1, "examples": ["cat/scan.png"]},
        "one_color": {"images": 1, "examples": ["cat/blank.jpg"]},
    }
    said = capsys.readouterr().out
    for count, words, example in (
        ("2 images", "profile to sRGB", "ape/phone.jpg, ..."),
        ("1 image ", "taken as sRGB", "ape/broken.png"),
        ("1 image ", "scaled", "cat/scan.png"),
        ("1 image ", "one color", "cat/blank.jpg"),
    ):
        assert any(line.strip().startswith(count) and words in line and example in line for line in said.splitlines())
    stored = [r for split in ("train", "eval", "test") for r in read_records(tmp_path / "out", split)]
    (scan,) = (r for r in stored if read_text(r["image/filename"]) == "cat/scan.png")
    (encoded,) = scan["image/encoded"].bytes_list.value
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(encoded)))[..., 0], deep >> 4)


def test_a_class_that_a_split_lacks_is_reported(tmp_path):
    fill(tmp_path / "root", split="train")
    fill(tmp_path / "root", labels=LABELS[:2], split="val")
    fill(tmp_path / "root", split="test")
    report = run(tmp_path / "root", tmp_path / "out")
    assert report["classes_missing"] == {"train": [], "eval": ["cat"], "test": []}
    assert "  eval has no cat" in ingest_report.summarize(report, tmp_path / "out").splitlines()


def test_the_number_of_shards_is_set(tmp_path, folder):
    run(folder, tmp_path / "out", shards=5)
    assert len(list((tmp_path / "out" / "train").iterdir())) == 5
    counts = [sum(1 for _ in tf.data.TFRecordDataset(str(p))) for p in (tmp_path / "out" / "train").iterdir()]
    assert max(counts) - min(counts) <= 1


def test_workers_do_not_import_tensorflow():
    code = "import sys, pipeline.ingest.ingest, pipeline.ingest.units; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

"""The check of another maker's records, on small files of real images."""

import gzip
import hashlib
import io
import json
import os
import signal
import zlib

import numpy as np
import pytest
from PIL import Image

from atelier import tfrecord
from atelier.layout import SPLITS
from pipeline import fingerprint
from pipeline.config import config
from pipeline.records import dataset, record_check, record_scan

SETTINGS = config.Config(name="pets", evaluator=config.Evaluator(min_accuracy=0.5, max_accuracy_drop=0.1))


def image(seed, pillow_format="PNG"):
    stream = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 255, (8, 8, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(stream, pillow_format)
    return stream.getvalue()


def row(label, seed=0, **more):
    return {"image/encoded": image(seed), "image/class/label": label} | more


ROWS = [row(0, 1), row(1, 2)]


def example(values):
    """A serialized tf.Example; a value may be a list."""
    message = tfrecord.parse(b"")
    for name, value in values.items():
        many = value if isinstance(value, list) else [value]
        kind = {bytes: "bytes_list", str: "bytes_list", int: "int64_list", float: "float_list"}[type(many[0])]
        values_of = getattr(message.features.feature[name], kind).value
        values_of.extend(one.encode() if isinstance(one, str) else one for one in many)
    return message.SerializeToString()


def shard(rows):
    stream = io.BytesIO()
    for one in rows:
        tfrecord.write(stream, one if isinstance(one, bytes) else example(one))
    return stream.getvalue()


class Records:
    """A folder of records and the output of a run beside it."""

    def __init__(self, root):
        self.folder, self.output = root / "in", root / "out"
        self.folder.mkdir()
        self.output.mkdir()

    def write(self, **splits):
        for split in ("train", "eval", "test"):
            self.put(f"{split}.tfrecord", splits.get(split, ROWS))
        return self

    def put(self, name, rows):
        content = shard(rows)
        (self.folder / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)

    def check(self, **sections):
        settings = SETTINGS.model_copy(update=sections)
        contents = fingerprint.FileHashes(self.output / "hashes.json")
        return record_check.check(dataset.find(self.folder, settings.data), settings, self.output, contents)

    def rejection(self, **sections):
        with pytest.raises(dataset.DataError) as rejected:
            self.check(**sections)
        return str(rejected.value).replace(str(self.folder), "in").replace(str(self.output), "out")

    def quarantine(self):
        lines = (self.output / "filtered_records/quarantine/quarantine.jsonl").read_text().splitlines()
        return [json.loads(line) for line in lines]


@pytest.fixture
def records(tmp_path):
    return Records(tmp_path)


def budget(share):
    return config.Ingest(max_bad_fraction=share)


def test_names_beside_ids_become_the_names_of_the_classes(records):
    named = [row(number, number, **{"image/class/text": name}) for number, name in enumerate(("positive", "negative"))]
    checked = records.write(train=named).check()
    assert checked.data.class_names == ("positive", "negative")
    assert checked.data.folder == records.folder
    assert checked.quarantine == {"count": 0, "fraction": 0.0, "reasons": {}}
    other = config.Data(text_key="")
    assert records.check(data=other).data.class_names == ("0", "1")


def test_a_list_of_labels_is_used(records):
    records.write()
    (records.folder / "labels.txt").write_text("apple\nzebra\n\n")
    assert records.check().data.class_names == ("apple", "zebra")
    (records.folder / "labels.txt").write_text("apple\nzebra\nyak\n")
    assert "names 3 classes, but the highest id in the records is 1" in records.rejection()


def test_a_schema_that_lists_names_by_the_alphabet_does_not_name_the_ids(records):
    named = [row(number, number, **{"image/class/text": name}) for number, name in enumerate(("positive", "negative"))]
    records.write(train=named)
    (records.folder / "schema.pbtxt").write_text(
        'feature { name: "image/class/text" type: BYTES domain: "names" }'
        'string_domain { name: "names" value: "negative" value: "positive" }'
    )
    assert records.check().data.class_names == ("positive", "negative")
    (records.folder / "schema.pbtxt").write_text("feature {")
    assert records.rejection().startswith("in/schema.pbtxt: no schema: ")


@pytest.mark.parametrize("empty", ["-00000-of-00003", "-00001-of-00003", "-00002-of-00003"])
def test_empty_shards_are_passed_over(records, empty):
    for split in ("train", "eval", "test"):
        for ending in ("-00000-of-00003", "-00001-of-00003", "-00002-of-00003"):
            records.put(f"{split}{ending}", [] if ending == empty else ROWS)
    assert records.check().data.class_names == ("0", "1")


def test_a_split_without_records_is_rejected(records):
    assert records.write(test=[]).rejection() == "in: no usable records in the test split: add some"


@pytest.mark.parametrize(
    ("bad", "what"),
    [
        ({"image/encoded": [image(1), image(2)], "image/class/label": 0}, "image/encoded holds 2 values; one image"),
        ({"image/encoded": 5, "image/class/label": 0}, "image/encoded holds no encoded image (bytes)"),
        ({"image/class/label": 0}, "has no image/encoded"),
        ({"image/encoded": image(1)}, "has no image/class/label"),
        (row([0, 1]), "image/class/label holds 2 values; one class id or name"),
        (
            row([0.0, 1.0]),
            "image/class/label holds 2 values; one class id or name an example is needed; of one-hot labels, write the",
        ),
        (row(1.0), "image/class/label is a float"),
        (row(-1), "image/class/label is -1; class ids start from 0"),
        (row(""), "image/class/label is empty"),
        (row("  "), "image/class/label is empty"),
        (row("red\nfish"), "image/class/label has a line break"),
        (row("red\rfish"), "image/class/label has a line break"),
        (row(b"caf\xe9"), 'image/class/label is not UTF-8: "caf\N{REPLACEMENT CHARACTER}"'),
        (row(0, **{"image/class/text": ["a", "b"]}), "image/class/text holds 2 values"),
        (row(0, **{"image/class/text": 3}), "image/class/text is a number"),
        (row(0, **{"image/class/text": "a\nb"}), "image/class/text has a line break"),
        (b"no protobuf message", "is no tf.Example"),
    ],
)
@pytest.mark.parametrize("split", ["train", "test"])
def test_a_record_that_no_run_can_use_is_named(records, bad, what, split):
    message = records.write(**{split: [*ROWS, bad, bad]}).rejection()
    assert message.startswith(f"{split}: in/{split}.tfrecord, record 2 (counted from 0): {what}")
    assert message.endswith("(1 more record cannot be used either)")
    assert "\n" not in message


def test_sequence_examples_are_named(records):
    # Its context has the number of a tf.Example's features; field 2 is the feature lists.
    sequence = example(row(0)) + b"\x12\x00"
    assert "record 2 (counted from 0): is a tf.SequenceExample" in records.write(eval=[*ROWS, sequence]).rejection()
    assert "in/train.tfrecord: its records are tf.SequenceExamples" in records.write(train=[sequence]).rejection()


def test_a_file_that_is_cut_short_is_named_with_its_record(records):
    records.write()
    whole = (records.folder / "eval.tfrecord").read_bytes()
    (records.folder / "eval.tfrecord").write_bytes(whole[:-10])
    message = records.rejection()
    assert message.startswith("eval: in/eval.tfrecord, record 1 (counted from 0): cannot be read: ")
    assert "cut short" in message


def test_a_compressed_file_that_is_cut_short_is_named(records):
    for split in ("train", "eval", "test"):
        records.put(f"{split}.tfrecord.gz", ROWS)
    assert records.check().data.class_names == ("0", "1")
    whole = (records.folder / "test.tfrecord.gz").read_bytes()
    (records.folder / "test.tfrecord.gz").write_bytes(whole[: len(whole) // 2])
    message = records.rejection()
    assert message.startswith("test: in/test.tfrecord.gz, record ")
    assert "its GZIP data is damaged or cut short" in message


@pytest.mark.parametrize(
    ("name", "compress", "what"),
    [
        ("tfrecord", gzip.compress, "compressed with GZIP: let its name end in .gz"),
        ("tfrecord", zlib.compress, "compressed with ZLIB: write the file again"),
        ("tfrecord.zz", zlib.compress, "compressed with ZLIB: write the file again"),
        ("tfrecord.gz", zlib.compress, "name ends in .gz, but its content is compressed otherwise"),
        ("tfrecord.gz", bytes, "name ends in .gz, but its content is not compressed"),
    ],
)
def test_compression_that_the_name_does_not_tell_is_named(records, name, compress, what):
    for split in ("train", "eval", "test"):
        (records.folder / f"{split}.{name}").write_bytes(compress(shard(ROWS)))
    message = records.rejection()
    assert message.startswith(f"in/train.{name}: it")
    assert what in message
    (records.folder / f"train.{name}").unlink()
    good = "tfrecord.gz" if name.endswith(".gz") else "tfrecord"
    records.put(f"train.{good}", ROWS)
    if name == good:  # a later file of another split
        assert records.rejection().startswith(f"eval: in/eval.{name}, record 0 (counted from 0): cannot be read: it")


def test_a_broken_image_is_set_aside_within_the_budget(records):
    cut = row(0) | {"image/encoded": image(3)[:60]}
    records.write(train=[*ROWS, cut, row(1, 4)])
    checked = records.check(ingest=budget(0.2))
    assert checked.quarantine == {
        "count": 1,
        "fraction": 1 / 8,
        "reasons": {"truncated": 1},
        "records": "filtered_records/quarantine/quarantine.jsonl",
    }
    (case,) = records.quarantine()
    assert (case["path"], case["record"], case["reason"]) == ("train.tfrecord", 2, "truncated")
    (kept,) = tfrecord.read_file(records.output / "filtered_records/quarantine/quarantine.tfrecord")
    assert tfrecord.read_first_bytes(kept, "encoded") == cut["image/encoded"]
    assert checked.data.folder == records.output / "filtered_records"
    assert any("1 of 8 records are set aside (truncated 1)" in warning for warning in checked.data.warnings)
    filtered = list(tfrecord.read_file(checked.data.folder / "train.tfrecord"))
    assert filtered == [example(one) for one in (*ROWS, row(1, 4))]
    assert (checked.data.folder / "test.tfrecord").is_symlink()
    assert list(tfrecord.read_file(checked.data.folder / "test.tfrecord")) == [example(one) for one in ROWS]


def test_filtered_files_are_compressed_and_foldered_as_the_originals(records):
    for split in ("train", "eval", "test"):
        (records.folder / split).mkdir()
        records.put(f"{split}/a.tfrecord.gz", [*ROWS, row(0) | {"image/encoded": b""}])
    checked = records.check(ingest=budget(0.5))
    assert checked.quarantine["reasons"] == {"empty": 3}
    for split in ("train", "eval", "test"):
        (file,) = checked.data.folder.glob(checked.data.splits[split])
        assert len(list(tfrecord.read_file(file))) == 2


def test_above_the_budget_the_check_stops_with_a_table(records):
    cut = row(0) | {"image/encoded": image(3, "JPEG")[:200]}
    other = row(1) | {"image/encoded": b"\x89\xff\xfe no image \x00" * 20}
    message = records.write(train=[*ROWS, cut], test=[*ROWS, cut, other]).rejection()
    first, *table, last = message.split("\n")
    assert first.startswith("in: 3 of 9 records (33.3%) hold an image that cannot be decoded, more than ingest.max_bad")
    assert [" ".join(line.split()) for line in table] == [
        "reason records for example",
        "truncated 2 train.tfrecord, record 2",
        "not_an_image 1 test.tfrecord, record 3",
    ]
    assert last.endswith("out/filtered_records/quarantine/quarantine.jsonl")
    assert "\\x" not in message + json.dumps(records.quarantine())
    too_large = config.Ingest(max_pixels=63)
    assert "too_large        6  train.tfrecord, record 0" in records.write().rejection(ingest=too_large)


def test_a_budget_that_is_raised_afterwards_lets_the_run_go_on(records):
    cut = row(0) | {"image/encoded": image(3)[:60]}
    assert "1 of 7 records" in records.write(train=[*ROWS, cut]).rejection()
    checked = records.check(ingest=budget(0.5))
    assert len(list(tfrecord.read_file(checked.data.folder / "train.tfrecord"))) == 2
    assert "1 of 7 records" in records.rejection()
    assert checked == records.check(ingest=budget(0.5))


def test_a_class_whose_images_are_all_broken_is_missed(records):
    cut = row(1) | {"image/encoded": image(3)[:60]}
    message = records.write(train=[row(0), row(0), cut]).rejection(ingest=budget(0.5))
    assert "image/class/label is 1, which no record of train has" in message


def test_what_was_found_is_kept_for_the_same_files(records, monkeypatch):
    cut = row(0) | {"image/encoded": image(3)[:60]}
    records.write(train=[*ROWS, cut])
    first = records.check(ingest=budget(0.5))
    written = (records.output / "filtered_records/train.tfrecord").stat()

    def fails(*_, **__):
        raise AssertionError("the files are read again")

    monkeypatch.setattr(record_scan, "scan", fails)
    assert records.check(ingest=budget(0.5)) == first
    after = (records.output / "filtered_records/train.tfrecord").stat()
    assert (after.st_ino, after.st_mtime_ns) == (written.st_ino, written.st_mtime_ns)
    monkeypatch.undo()
    records.put("eval.tfrecord", [*ROWS, row(2)])
    assert "image/class/label is 2" in records.rejection(ingest=budget(0.5))
    records.write(train=ROWS)
    assert records.check().data.folder == records.folder
    assert not (records.output / "filtered_records").exists()


def test_a_folder_of_the_user_is_not_replaced(records):
    (records.output / "filtered_records").mkdir()
    (records.output / "filtered_records" / "notes.txt").write_text("mine")
    cut = row(0) | {"image/encoded": image(3)[:60]}
    message = records.write(train=[*ROWS, cut]).rejection(ingest=budget(0.5))
    assert message.startswith("out/filtered_records: ")
    assert (records.output / "filtered_records" / "notes.txt").read_text() == "mine"


def test_eval_that_is_also_test_is_read_once(records):
    records.write()
    (records.folder / "test.tfrecord").unlink()
    checked = records.check()
    assert checked.data.splits["test"] == checked.data.splits["eval"]
    assert len(json.loads((records.output / "record_check.json").read_text())["files"]) == 2


def test_a_single_set_has_the_splits_of_the_hash(records):
    rows = [row(number % 2, number) for number in range(60)]
    records.put("all.tfrecord", rows)
    assert records.check().data.class_names == ("0", "1")

    def bucket(values):
        message = tfrecord.parse(example(values)).SerializeToString(deterministic=True)
        return int(hashlib.sha256(message).hexdigest(), 16) % 10

    rare = next(one for one in (row(2, seed) for seed in range(1000)) if bucket(one) == 9)
    records.put("all.tfrecord", [*rows, rare])
    message = records.rejection()
    assert message.startswith("test: in/all.tfrecord, record 60 (counted from 0): image/class/label is 2, which no rec")


@pytest.mark.slow
def test_the_hash_is_that_of_tfx():
    import tensorflow as tf
    from tfx.components.example_gen.base_example_gen_executor import _PartitionFn
    from tfx.proto import example_gen_pb2

    for seed in range(50):
        record = example(row(seed % 3, seed, **{"image/class/text": f"name {seed}"}))
        theirs = _PartitionFn(tf.train.Example.FromString(record), 3, [8, 9, 10], example_gen_pb2.SplitConfig())
        assert record_scan._hash_to_split(tfrecord.parse(record), (8, 1, 1)) == SPLITS[theirs]


@pytest.mark.slow
def test_files_are_read_in_processes_where_they_are_large(records, monkeypatch):
    monkeypatch.setattr(record_check, "_ONE_PROCESS", 0)
    assert records.write().check(beam=config.load_beam(["workers=2"])).data.class_names == ("0", "1")


def kill_this_process(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.slow
def test_a_process_that_is_killed_ends_the_check_in_words(records, monkeypatch):
    monkeypatch.setattr(record_check, "_ONE_PROCESS", 0)
    monkeypatch.setattr(record_scan, "scan", kill_this_process)
    with pytest.raises(dataset.DataError, match=r"(?s)killed from outside.*beam\.workers"):
        records.write().check(beam=config.load_beam(["workers=2"]))

"""What is found in folders of TFRecords of many makers."""

import gzip
import io
import json

import pytest

from atelier import tfrecord
from pipeline.config.config import Data
from pipeline.records import dataset

OURS = Data()
TWO_KEYS = {"image/encoded": b"\xff\xd8image", "image/class/label": 3}


def build_shard(*rows):
    """A TFRecord file of these examples, without TensorFlow."""
    stream = io.BytesIO()
    for row in rows:
        tfrecord.write(stream, tfrecord.serialize_example(row))
    return stream.getvalue()


@pytest.fixture
def lay(tmp_path):
    """Writes files, by default one record each, below a folder; names with .gz are compressed."""

    def lay_out(*names, row=TWO_KEYS):
        for name in names:
            file = tmp_path / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(gzip.compress(build_shard(row)) if name.endswith(".gz") else build_shard(row))
        return tmp_path

    return lay_out


def catch_error(folder, settings=OURS):
    with pytest.raises(dataset.DataError) as refused:
        dataset.find(folder, settings)
    assert "\n" not in str(refused.value)
    return str(refused.value).replace(str(folder), "DIR")


@pytest.mark.parametrize(
    ("report", "store_size"),
    [
        ('{"settings": {"store_size": 96}}', 96),
        ('{"settings": {"store_size": "96"}}', None),
        ('{"settings": [96]}', None),
        ("another tool's", None),
        (None, None),
    ],
)
def test_the_ingest_report_beside_the_records_tells_their_size(lay, report, store_size):
    folder = lay(*(f"{split}/a.tfrecord" for split in ("train", "eval", "test")))
    if report:
        (folder / "ingest_report.json").write_text(report)
    assert dataset.find(folder, OURS).store_size == store_size


def test_folders_of_splits(lay):
    folder = lay("train/a-00000-of-00002", "train/a-00001-of-00002", "eval/a.tfrecord", "test/a.record")
    found = dataset.find(folder, OURS)
    assert found.splits == {"train": "train/*", "eval": "eval/*", "test": "test/*"}
    assert found.folder == folder
    assert (found.schema, found.class_names, found.text_labels, found.warnings) == (None, None, False, ())


@pytest.mark.parametrize(
    "names", [("training", "val", "testing"), ("train", "dev", "test"), ("train", "valid", "test")]
)
def test_folders_of_splits_by_their_other_names(lay, names):
    found = dataset.find(lay(*(f"{name}/a.tfrecord" for name in names)), OURS)
    assert found.splits == dict(zip(("train", "eval", "test"), (f"{name}/*" for name in names), strict=True))


def test_what_ingest_writes_beside_the_records_is_read(lay):
    folder = lay(*(f"{split}/images-00000-of-00001.tfrecord" for split in ("train", "eval", "test")))
    (folder / "labels.txt").write_text("cat\nflat-coated retriever\n")
    (folder / "schema.pbtxt").write_text("")
    (folder / "quarantine").mkdir()
    (folder / "quarantine" / "quarantine.jsonl").write_text("{}")
    found = dataset.find(folder, OURS)
    assert found.class_names == ("cat", "flat-coated retriever")
    assert found.schema == folder / "schema.pbtxt"
    assert found.warnings == ()


def test_names_of_folders_that_look_like_ids_and_names_stay_what_they_are(lay):
    folder = lay(*(f"{split}/a.tfrecord" for split in ("train", "eval", "test")))
    names = ["0:a", "10:k", *(f"{number}:x" for number in range(1, 10))]  # the alphabet's order
    (folder / "labels.txt").write_text("\n".join([*names, ""]))
    (folder / "ingest_report.json").write_text(json.dumps({"classes": names}))
    assert dataset.find(folder, OURS).class_names == tuple(names)


@pytest.mark.parametrize("classes", [3, "ab", ["b", "a"], None])
def test_a_report_of_another_origin_says_nothing_about_the_labels(lay, classes):
    folder = lay(*(f"{split}/a.tfrecord" for split in ("train", "eval", "test")))
    (folder / "labels.txt").write_text("1:b\n0:a\n")
    (folder / "ingest_report.json").write_text(json.dumps({"classes": classes}))
    assert dataset.find(folder, OURS).class_names == ("a", "b")


def test_train_and_validation_only_gate_on_validation_and_say_so(lay):
    found = dataset.find(lay("train/a.tfrecord", "validation/a.tfrecord"), OURS)
    assert found.splits == {"train": "train/*", "eval": "validation/*", "test": "validation/*"}
    (warning,) = found.warnings
    assert "no test split" in warning
    assert "early stopping" in warning


def test_train_and_test_only_stop_early_on_test_and_say_so(lay):
    found = dataset.find(lay("train-0.tfrecord", "test-0.tfrecord"), OURS)
    assert found.splits == {"train": "train*", "eval": "test*", "test": "test*"}
    (warning,) = found.warnings
    assert "no eval split" in warning


def test_flat_files_by_their_prefixes(lay):
    folder = lay("train-00000-of-00002", "train-00001-of-00002", "validation-00000-of-00001", "test-00000-of-00001")
    assert dataset.find(folder, OURS).splits == {"train": "train*", "eval": "validation*", "test": "test*"}


def test_flat_files_as_tensorflow_datasets_names_them(lay):
    folder = lay("pets-train.tfrecord-00000-of-00002", "pets-train.tfrecord-00001-of-00002")
    lay("pets-validation.tfrecord-00000-of-00001", "pets-test.tfrecord-00000-of-00001")
    (folder / "dataset_info.json").write_text("{}")
    (folder / "label.labels.txt").write_text("cat\ndog\n")
    found = dataset.find(folder, OURS)
    assert found.splits == {"train": "*-train.*", "eval": "*-validation.*", "test": "*-test.*"}
    assert found.warnings == ()


@pytest.mark.parametrize(
    ("names", "patterns"),
    [
        (("pets_train.tfrecord", "pets_test.tfrecord"), ("*[-_.]train[-_.]*", "*[-_.]test[-_.]*")),
        (("1.train.tfrecord", "1.test.tfrecord"), ("*[-_.]train[-_.]*", "*[-_.]test[-_.]*")),
        (("a-train-00000-of-00001", "a-test-00000-of-00001"), ("*[-_.]train[-_.]*", "*[-_.]test[-_.]*")),
        (("TRAIN.tfrecord", "TEST.tfrecord"), ("TRAIN*", "TEST*")),
        (("train.tfrecord", "Test.tfrecord"), ("train*", "Test*")),
        (("Train/a.tfrecord", "TEST/a.tfrecord"), ("Train/*", "TEST/*")),
    ],
)
def test_a_hash_never_mixes_splits_that_are_spelled_in_another_way(lay, names, patterns):
    train, test = patterns
    folder = lay(*names)
    found = dataset.find(folder, OURS)
    assert found.splits == {"train": train, "eval": test, "test": test}
    assert dataset.list_split_files(folder, "train", train) == [folder / names[0]]
    assert dataset.list_split_files(folder, "test", test) == [folder / names[1]]


@pytest.mark.parametrize(
    "names", [("petsTrain.tfrecord", "petsTest.tfrecord"), ("train-0.record", "train-test.record")]
)
def test_files_that_a_hash_would_mix_against_their_names_are_refused(lay, names):
    message = catch_error(lay(*names))
    assert all(name in message for name in names)
    assert "data.splits={train:" in message
    assert dataset.find(lay(), Data(splits={"train": "*"})).splits == {"train": "*"}


def test_a_file_that_is_trained_on_is_not_measured_on(lay):
    message = catch_error(
        lay("a.tfrecord", "eval.tfrecord", "test.tfrecord"), Data(splits={"train": "*", "eval": "e*", "test": "t*"})
    )
    assert message.startswith("DIR/eval.tfrecord: matches data.splits.train (*) and data.splits.eval (e*)")


def test_records_in_other_folders_are_told(lay):
    folder = lay("train/a.tfrecord", "holdout/a.tfrecord", "test/deep/a.tfrecord", "quarantine/quarantine.tfrecord")
    (warning,) = dataset.find(folder, OURS).warnings
    for fact in (f"{folder}/holdout/a.tfrecord", "1 more", "not used", "data.splits"):
        assert fact in warning


@pytest.mark.parametrize(
    ("names", "pattern"),
    [
        (("pets.tfrecord",), "*"),
        (("train_test_split-00000-of-00002", "train_test_split-00001-of-00002"), "*"),
        (("pets.tfrecords.gz", "more.tfrecords.gz"), "*"),
        (("train.record",), "*"),
        (("train.tfrecord", "holdout.tfrecord"), "*"),  # one name alone is no division
        (("train/a.tfrecord",), "train/*"),
    ],
)
def test_a_single_set_is_left_to_the_hash(lay, names, pattern):
    found = dataset.find(lay(*names), OURS)
    assert found.splits == {"all": pattern}
    assert found.warnings == ()


def test_patterns_leave_out_what_is_no_record(lay):
    folder = lay("a.tfrecord", "b.tfrecord")
    (folder / "labels.txt").write_text("cat\ndog\n")
    assert dataset.find(folder, OURS).splits == {"all": "*.tfrecord"}


def test_patterns_leave_out_what_is_no_record_in_each_folder(lay):
    folder = lay("train/a.tfrecord.gz", "eval/a-00000-of-00001", "test/a.tfrecord")
    (folder / "train" / "_SUCCESS").write_text("")
    (folder / "eval" / "README").write_text("")
    assert dataset.find(folder, OURS).splits == {
        "train": "train/*.tfrecord.gz",
        "eval": "eval/*-?????-of-?????",
        "test": "test/*",
    }


def test_records_that_no_pattern_tells_apart_are_refused(lay):
    folder = lay("a.tfrecord", "b.record")
    (folder / "notes.txt").write_text("")
    message = catch_error(folder)
    assert message.startswith("DIR: no one pattern tells the TFRecords of * from the other files there")
    assert "data.splits.train" in message


def test_hidden_files_and_junk_are_no_records(lay):
    folder = lay("train/a.tfrecord", "eval/a.tfrecord", "test/a.tfrecord")
    for name in ("train/._a.tfrecord", ".b.tfrecord", "test/Thumbs.db", "desktop.ini"):
        (folder / name).write_bytes(b"no records")
    found = dataset.find(folder, OURS)
    assert found.splits == {"train": "train/*", "eval": "eval/*", "test": "test/*"}
    assert found.warnings == ()
    assert dataset.list_split_files(folder, "train", "train/*") == [folder / "train" / "a.tfrecord"]


def test_records_in_no_split_are_told(lay):
    folder = lay("train/a.tfrecord", "eval/a.tfrecord", "test/a.tfrecord", "extra.tfrecord")
    assert dataset.find(folder, OURS).warnings == (
        f"{folder / 'extra.tfrecord'}: in no split, so not used; name it in data.splits",
    )


def test_given_patterns_are_taken_whatever_the_files_are_called(lay):
    folder = lay("deep/a.bin", "deep/b.bin", "deep/c.bin")
    settings = Data(splits={"train": "deep/a*", "eval": "deep/b*", "test": "deep/c*"})
    assert dataset.find(folder, settings).splits == settings.splits
    assert dataset.find(folder, Data(splits={"train": "deep/*"})).splits == {"train": "deep/*"}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"train": "a*", "eval": "b*"},
            "DIR: no test split; name its files, as in data.splits.test: 'test*'",
        ),
        ({"train": "a*", "eval": "b*", "test": "z*"}, "DIR: no file matches data.splits.test: z*"),
        ({"train": "/data/a*"}, "data.splits.train: '/data/a*' is not a pattern of files below DIR: "),
        ({"train": ""}, "data.splits.train: '' is not a pattern of files below DIR: "),
    ],
)
def test_given_patterns_that_do_not_fit_are_named(lay, given, message):
    assert catch_error(lay("a.tfrecord", "b.tfrecord"), Data(splits=given)).startswith(message)


def test_eval_and_test_without_train_are_refused(lay):
    assert catch_error(lay("eval/a.tfrecord", "test/a.tfrecord")) == (
        "DIR: no train split; name its files, as in data.splits.train: 'train*'"
    )


def test_a_folder_without_records_is_refused(tmp_path):
    (tmp_path / "labels.txt").write_text("cat\n")
    (tmp_path / "features-00000-of-00001.json").write_text("{}")
    for folder in (tmp_path, tmp_path / "missing"):
        assert catch_error(folder).startswith("DIR: no TFRecord files (*.tfrecord, ")


def test_record_files_are_those_of_the_folder_and_of_its_split_folders(lay):
    folder = lay("b.tfrecord", "a.tfrecord.gz", "train/z.record", "other/c.tfrecord", "x-00000-of-00001")
    (folder / "x-00000-of-00001.json").write_text("{}")
    (folder / "y.tfrecord").mkdir()
    names = [str(path.relative_to(folder)) for path in dataset.list_record_files(folder)]
    assert names == ["a.tfrecord.gz", "b.tfrecord", "x-00000-of-00001", "train/z.record"]
    assert dataset.list_record_files(folder / "b.tfrecord") == []


def test_keys_are_looked_up_and_those_there_are_named(lay):
    folder = lay("a.tfrecord", row={"image": b"png", "label": 1, "id": 7})
    assert catch_error(folder) == (
        "DIR/a.tfrecord: its records have no image/encoded; set data.image_key to one of: id, image, label"
    )
    assert catch_error(folder, Data(image_key="image")) == (
        "DIR/a.tfrecord: its records have no image/class/label; set data.label_key to one of: id, image, label"
    )
    assert not dataset.find(folder, Data(image_key="image", label_key="label")).text_labels


def test_keys_of_the_wrong_kind_are_refused(lay):
    folder = lay("a.tfrecord", row={"image": 1, "label": 1})
    assert catch_error(folder, Data(image_key="image", label_key="label")) == (
        "DIR/a.tfrecord: image holds no encoded image (bytes)"
    )
    import tensorflow as tf

    probabilities = tf.train.Feature(float_list=tf.train.FloatList(value=[0.5]))
    image = tf.train.Feature(bytes_list=tf.train.BytesList(value=[b"png"]))
    example = tf.train.Example(features=tf.train.Features(feature={"image": image, "label": probabilities}))
    with (folder / "a.tfrecord").open("wb") as stream:
        tfrecord.write(stream, example.SerializeToString())
    assert catch_error(folder, Data(image_key="image", label_key="label")) == (
        "DIR/a.tfrecord: label holds neither a class id (int64) nor a class name (bytes)"
    )


def test_text_labels_are_seen_also_in_compressed_files(lay):
    row = {"image/encoded": b"jpeg", "image/class/label": "cat"}
    assert dataset.find(lay("a.tfrecord.gz", row=row), OURS).text_labels


@pytest.mark.parametrize(
    "content",
    [
        b"this is no TFRecord file at all, but some text that is long enough",
        build_shard(TWO_KEYS)[:20],  # within the first record
    ],
)
def test_what_is_no_tfrecord_is_refused(tmp_path, content):
    (tmp_path / "a.tfrecord").write_bytes(content)
    assert catch_error(tmp_path) == "DIR/a.tfrecord: not a TFRecord file of tf.Examples, or cut off"


def test_a_tfrecord_of_something_else_is_refused(tmp_path):
    with (tmp_path / "a.tfrecord").open("wb") as stream:
        tfrecord.write(stream, b"no protobuf message")
    assert catch_error(tmp_path) == "DIR/a.tfrecord: not a TFRecord file of tf.Examples, or cut off"


def test_an_empty_tfrecord_is_refused(tmp_path):
    (tmp_path / "a.tfrecord").write_bytes(b"")
    assert catch_error(tmp_path) == "DIR/a.tfrecord: holds no records"


def test_labels_that_are_no_text_are_refused(lay):
    folder = lay("a.tfrecord")
    (folder / "labels.txt").write_bytes(b"caf\xe9\n")
    assert catch_error(folder).startswith("DIR/labels.txt: not UTF-8: ")

"""What the local runner decides around the DAG: whether to ingest, and which model is the baseline."""

import json
import os
import shutil
from pathlib import Path

import PIL
import pytest

from atelier import tfrecord
from atelier.builtin_names import AmbiguousError
from pipeline import fingerprint, local_runner
from pipeline.config import config
from pipeline.ingest import ingest
from pipeline.ingest.errors import IngestError
from pipeline.records import content_images, dataset
from pipeline.terminal.console import Console


@pytest.fixture
def settings():
    return config.Config(name="pets", evaluator=config.Evaluator(min_accuracy=0.9, max_accuracy_drop=0.01))


def write_records(folder):
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "images-00000-of-00001.tfrecord").open("wb") as stream:
        tfrecord.write(stream, tfrecord.serialize_example({"image/encoded": b"jpeg", "image/class/label": 0}))


@pytest.fixture
def ingests(monkeypatch):
    """Calls of the ingest, which here writes one record and a report."""
    calls = []

    def fake(source, folder, section, _beam_args, _progress):
        calls.append((source, section.store_size))
        write_records(Path(folder))
        (Path(folder) / "ingest_report.json").write_text(json.dumps({"number": len(calls)}))

    monkeypatch.setattr(ingest, "ingest", fake)
    return calls


@pytest.fixture
def images(tmp_path):
    for name in ("cat", "dog"):
        (tmp_path / "images" / name).mkdir(parents=True)
        for number in range(3):
            (tmp_path / "images" / name / f"{number}.png").write_bytes(b"png")
    return tmp_path / "images"


@pytest.fixture
def prepare(tmp_path):
    output = tmp_path / "output"
    output.mkdir()

    def run(chosen):
        contents = fingerprint.FileHashes(output / "hashes.json")
        return local_runner._prepare(chosen, output, Console((tmp_path / "screen").open("w")), contents)

    return run


def test_images_are_ingested_once(settings, images, prepare, ingests):
    chosen = settings.with_source(str(images))
    data, report = prepare(chosen)
    assert data.splits == {"all": "*.tfrecord"}
    assert report == {"number": 1}
    assert prepare(chosen)[1] == {"number": 1}
    assert ingests == [(str(images), 512)]


@pytest.mark.parametrize("key", ["image_key", "label_key"])
def test_keys_of_other_records_are_rejected_before_the_ingest(settings, images, prepare, ingests, key):
    data = config.Data.model_validate({"source": str(images), key: "image"})
    with pytest.raises(dataset.DataError) as rejected:
        prepare(settings.model_copy(update={"data": data}))
    for fact in (f"data.{key} is 'image'", config.Data.model_fields[key].default, "leave"):
        assert fact in str(rejected.value)
    assert not ingests


def test_another_pillow_ingests_again(settings, images, prepare, ingests, monkeypatch):
    chosen = settings.with_source(str(images))
    prepare(chosen)
    monkeypatch.setattr(PIL, "__version__", "99.0")
    assert prepare(chosen)[1] == {"number": 2}


def test_content_images_are_looked_at_before_the_ingest(settings, images, ingests, tmp_path):
    output = tmp_path / "output"
    (output / "photographs").mkdir(parents=True)
    (output / "photographs" / "a.png").write_bytes(b"")
    style = config.Style(enabled=True, contents=str(output / "photographs"))
    chosen = settings.with_source(str(images)).model_copy(update={"style": style})
    with pytest.raises(dataset.DataError, match=r"style\.contents is .*, which lies in the output"):
        local_runner.run(chosen, output, Console((tmp_path / "screen").open("w")))
    assert not ingests


@pytest.mark.parametrize(("output", "words"), [("gs://bucket/x", "is a URL"), ("loop", "cannot be used as the output")])
def test_a_url_and_a_link_to_itself_are_no_output(settings, images, tmp_path, monkeypatch, output, words):
    monkeypatch.chdir(tmp_path)
    Path("loop").symlink_to("loop")
    with pytest.raises(dataset.DataError, match=words):
        local_runner.run(settings.with_source(str(images)), Path(output), Console((tmp_path / "screen").open("w")))
    assert not Path("gs:").exists()


def test_changed_images_or_settings_are_ingested_again(settings, images, prepare, ingests, monkeypatch):
    chosen = settings.with_source(str(images))
    prepare(chosen)
    (images / "cat" / "3.png").write_bytes(b"png")
    assert prepare(chosen)[1] == {"number": 2}
    smaller = chosen.model_copy(update={"ingest": config.Ingest(store_size=64)})
    assert prepare(smaller)[1] == {"number": 3}
    assert prepare(smaller.model_copy(update={"image": config.Image(size=64)}))[1] == {"number": 3}
    monkeypatch.setattr(fingerprint, "fingerprint_code", lambda module: f"{module}, edited")
    assert prepare(smaller)[1] == {"number": 4}
    assert [size for _, size in ingests] == [512, 512, 64, 64]


def swap(file, content):
    """Other content of equal size under equal times."""
    before = file.stat()
    assert len(content) == before.st_size
    file.write_bytes(content)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


def add_behind_a_link(images):
    (images / "dog").rename(images.parent / "dogs")
    (images / "dog").symlink_to(images.parent / "dogs")


@pytest.mark.parametrize(
    ("first", "then", "runs"),
    [
        (lambda _: None, lambda images: shutil.rmtree(images / "bird"), 2),
        (lambda _: None, lambda images: (images / "cat").rename(images / "wolf"), 2),
        (lambda _: None, lambda images: shutil.copytree(images / "cat", images / "ant"), 2),
        (lambda _: None, lambda images: swap(images / "cat" / "1.png", b"gnp"), 2),
        (add_behind_a_link, lambda images: shutil.copy(images / "cat/1.png", images.parent / "dogs/9.png"), 2),
        (add_behind_a_link, lambda images: swap(images.parent / "dogs" / "1.png", b"gnp"), 2),
        (lambda _: None, lambda images: (images / "cat" / "Thumbs.db").write_bytes(b"1"), 1),
        (lambda _: None, lambda images: os.utime(images / "cat" / "1.png", ns=(0, 1)), 1),
        (lambda _: None, lambda images: (images.parent / "output/data/labels.txt").write_text("dog\ncat\n"), 2),
        (lambda _: None, lambda images: next((images.parent / "output/data").glob("*.tfrecord")).unlink(), 2),
    ],
    ids=[
        "class removed", "class renamed", "class added", "equal size and time", "added behind a link",
        "changed behind a link", "junk", "touched", "labels of the ingest edited", "a shard of the ingest deleted",
    ],
)  # fmt: skip
def test_what_an_ingest_was_made_from_and_what_it_made(settings, images, prepare, ingests, first, then, runs):
    shutil.copytree(images / "cat", images / "bird")
    first(images)
    chosen = settings.with_source(str(images))
    prepare(chosen)
    then(images)
    assert prepare(chosen)[1] == {"number": runs}


def test_a_source_under_another_spelling_is_the_same(settings, images, prepare, ingests):
    (images.parent / "link").symlink_to(images)
    for source in (images, f"{images}/", f"{images}/../images", images.parent / "link"):
        assert prepare(settings.with_source(str(source)))[1] == {"number": 1}


def test_names_that_are_not_utf8_are_left_to_the_ingest(settings, images, prepare, ingests):
    (images / "cat" / "1.png").rename(images / "cat" / os.fsdecode(b"caf\xe9.png"))
    assert prepare(settings.with_source(str(images)))[1] == {"number": 1}


def test_a_source_that_is_no_data_set_is_refused_before_the_ingest(settings, images, prepare, ingests):
    shutil.rmtree(images / "dog")
    with pytest.raises(dataset.DataError, match=r"only one class with files \(cat\)"):
        prepare(settings.with_source(str(images)))
    assert ingests == []


def test_an_ingest_that_failed_is_not_taken_for_done(settings, images, prepare, ingests, monkeypatch):
    chosen = settings.with_source(str(images))
    prepare(chosen)
    (images / "cat" / "1.png").write_bytes(b"gnp")
    whole = ingest.ingest

    def fail(*_):
        raise IngestError("too many bad files")

    monkeypatch.setattr(ingest, "ingest", fail)
    with pytest.raises(IngestError):
        prepare(chosen)
    (images / "cat" / "1.png").write_bytes(b"png")
    monkeypatch.setattr(ingest, "ingest", whole)
    assert prepare(chosen)[1] == {"number": 2}


def test_records_are_taken_as_they_are(settings, tmp_path, prepare, ingests):
    write_records(tmp_path / "records")
    data, report = prepare(settings.with_source(str(tmp_path / "records")))
    assert data.folder == tmp_path / "records"
    assert (report, ingests) == ({}, [])


def test_named_splits_say_that_there_are_records(settings, tmp_path, prepare, ingests):
    write_records(tmp_path / "records")
    (tmp_path / "records" / "images-00000-of-00001.tfrecord").rename(tmp_path / "records" / "images.bin")
    data = config.Data(source=str(tmp_path / "records"), splits={"train": "*.bin"})
    assert prepare(settings.model_copy(update={"data": data}))[0].splits == {"train": "*.bin"}
    assert ingests == []


def test_a_word_beside_a_folder_of_its_name_is_refused(settings, tmp_path, prepare, ingests, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_records(tmp_path / "mnist")
    with pytest.raises(AmbiguousError, match=r"data\.source is mnist.*give \./mnist .* builtin:mnist"):
        prepare(settings.with_source("mnist"))
    assert prepare(settings.with_source("./mnist"))[0].folder == Path("mnist")
    assert ingests == []
    prepare(settings.with_source("builtin:mnist"))
    (tmp_path / "mnist").rename(tmp_path / "digits")
    prepare(settings.with_source("mnist"))  # the same
    assert ingests == [("builtin:mnist", 512)]


PNG = b"\x89PNG\r\n\x1a\n"


@pytest.mark.parametrize(
    ("record", "image", "content"),
    [
        ("old.tfrecord", "cat/1.png", PNG),
        ("old-00000-of-00001", "cat/deep/1", PNG),
        ("train/old.tfrecord", "train/cat/1.jpg", b"\xff\xd8\xff\xe0"),
        ("a.record", "test/dog/1.webp", b"RIFF\x10\0\0\0WEBPVP8 "),
    ],
)
def test_records_beside_class_folders_are_refused_with_both(
    settings, tmp_path, prepare, ingests, record, image, content
):
    for name, data in ((record, b""), (image, content)):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).write_bytes(data)
    with pytest.raises(dataset.DataError) as refused:
        prepare(settings.with_source(str(tmp_path / "in")))
    for fact in (str(tmp_path / "in"), record, image, "data.splits", "atelier ingest"):
        assert fact in str(refused.value)


def test_named_records_beside_class_folders_have_one_meaning(settings, images, prepare, ingests):
    write_records(images)
    data = config.Data(source=str(images), splits={"train": "*.tfrecord"})
    assert prepare(settings.model_copy(update={"data": data}))[0].splits == {"train": "*.tfrecord"}


def test_what_lies_beside_records_without_being_class_folders(settings, tmp_path, prepare, ingests):
    write_records(tmp_path / "records" / "train")
    for name in ("sheet.png", "train/sheet.png", "docs/readme.txt", "quarantine/quarantine.jsonl"):
        (tmp_path / "records" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "records" / name).write_bytes(PNG if name.endswith(".png") else b"text")
    assert prepare(settings.with_source(str(tmp_path / "records")))[0].splits == {"all": "train/*.tfrecord"}


@pytest.mark.parametrize(("key", "word"), [("contents", "photos"), ("catalog", "builtin")])
def test_words_of_styles_beside_folders(settings, tmp_path, monkeypatch, key, word):
    monkeypatch.chdir(tmp_path)
    (tmp_path / word).mkdir()
    (tmp_path / word / "a.png").write_bytes(PNG)
    contents = fingerprint.FileHashes(tmp_path / "hashes.json")

    def find_gallery(**style):
        chosen = settings.model_copy(update={"style": config.Style(enabled=True, **style)})
        return content_images.link_content_images(chosen, tmp_path / "output", contents).gallery

    assert find_gallery() == "photos"  # a default is no input
    with pytest.raises(AmbiguousError, match=rf"style\.{key} is {word}.*\./{word}.*builtin:{word}"):
        find_gallery(**{key: word})
    assert find_gallery(**{key: f"builtin:{word}"}).endswith("photos")
    if key == "contents":
        assert [path.name for path in Path(find_gallery(contents="./photos")).iterdir()] == ["a.png"]


def test_the_baseline_is_the_newest_version_that_another_training_has_made(tmp_path):
    ours, other = {"code": "a"}, {"code": "b"}
    for version, made_by in (("9", other), ("10", other), ("11", ours)):
        (tmp_path / version / "assets.extra").mkdir(parents=True)
        (tmp_path / version / "assets.extra" / "provenance.json").write_text(json.dumps(made_by))
    assert local_runner._choose_baseline(tmp_path, ["9", "10", "11"], ours) == "10"
    assert local_runner._choose_baseline(tmp_path, ["9", "10", "11"], {"code": "c"}) == "11"
    assert local_runner._choose_baseline(tmp_path, ["11"], ours) == ""
    tuned = tmp_path / "11" / "assets.extra" / "provenance.json"
    tuned.write_text(json.dumps(ours | {"hyperparameters": '{"dropout": 0.5}'}))
    assert local_runner._choose_baseline(tmp_path, ["11"], ours) == ""
    assert local_runner._choose_baseline(tmp_path, [], ours) == ""
    (tmp_path / "12").mkdir()  # pushed by others, so without provenance
    assert local_runner._choose_baseline(tmp_path, ["11", "12"], ours) == "12"


@pytest.mark.parametrize(
    ("blessed", "failure", "passed"), [(True, "", True), (False, "", False), (True, "Pusher: disk full", False)]
)
def test_a_run_passes_only_if_the_gates_did_and_nothing_failed(blessed, failure, passed):
    assert local_runner.Outcome({"blessed": blessed, "failure": failure}, Path("r.html")).passed is passed

"""What the DAG is given instead of the user's own paths."""

import os
from pathlib import Path

import pytest

from pipeline import fingerprint
from pipeline.records import dataset, inputs


@pytest.fixture
def link(tmp_path):
    """Links a data set, as a run does; the memory is that of an earlier run."""

    def link_records(folder, splits, schema=None):
        data = dataset.Dataset(folder, splits, schema, None, text_labels=False)
        return inputs.link_records(data, tmp_path / "output", fingerprint.FileHashes(tmp_path / "hashes.json"))

    return link_records


@pytest.fixture
def data(tmp_path):
    folder = tmp_path / "in [v1]*?"
    (folder / "train").mkdir(parents=True)
    for name in ("train/b.tfrecord", "train/a [x].tfrecord.gz", "val-0.tfrecord"):
        (folder / name).write_text(name)
    return folder


SPLITS = {"train": "train/*", "eval": "val*", "test": "val*"}


def test_links_have_plain_names_and_lead_to_the_files(link, data, tmp_path):
    found = link(data, SPLITS)
    assert found.splits == {"train": "train/*", "eval": "eval/*", "test": "test/*"}
    assert Path(found.folder) == tmp_path / "output" / "inputs" / "records" / found.fingerprint
    texts = {str(path.relative_to(found.folder)): path.read_text() for path in Path(found.folder).glob("*/*")}
    assert texts == {
        "train/00000.gz": "train/a [x].tfrecord.gz",
        "train/00001": "train/b.tfrecord",
        "eval/00000": "val-0.tfrecord",
        "test/00000": "val-0.tfrecord",
    }
    assert found.schema_file == ""
    assert link(data, SPLITS) == found


@pytest.mark.parametrize("name", ["schema.pbtxt", "labels.txt", "train/b.tfrecord"])
def test_another_content_has_another_path_and_the_former_one_is_gone(link, data, tmp_path, name):
    (data / "schema.pbtxt").write_text("1")
    (data / "labels.txt").write_text("cat\ndog\n")
    first = link(data, SPLITS, data / "schema.pbtxt")
    assert Path(first.schema_file).read_text() == "1"
    before = (data / name).stat()
    text = (data / name).read_text()
    (data / name).write_text(text.swapcase() if text != "1" else "2")
    os.utime(data / name, ns=(before.st_atime_ns, before.st_mtime_ns))
    second = link(data, SPLITS, data / "schema.pbtxt")
    assert second.folder != first.folder
    assert second.fingerprint != first.fingerprint
    assert Path(second.schema_file).read_text() == (data / "schema.pbtxt").read_text()
    assert [path.name for path in (tmp_path / "output" / "inputs" / "records").iterdir()] == [second.fingerprint]


def contents(tmp_path, folder):
    return inputs.link_contents(folder, tmp_path / "output", fingerprint.FileHashes(tmp_path / "hashes.json"))


def test_contents_keep_their_names_without_the_output_and_junk(tmp_path):
    folder = tmp_path / "images"
    for name in ("a.png", "sub/b [1].png", "sub/Thumbs.db", ".hidden/c.png"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    (folder / "a.png").rename(folder / os.fsdecode(b"caf\xe9.png"))
    (tmp_path / "output").symlink_to(folder / "runs")
    (folder / "runs" / "renders").mkdir(parents=True)
    (folder / "runs" / "renders" / "old.jpg").write_text("rendering")
    linked = contents(tmp_path, folder)
    files = {str(path.relative_to(linked)) for path in linked.rglob("*") if path.is_file()}
    assert files == {os.fsdecode(b"caf\xe9.png"), "sub/b [1].png"}
    assert contents(tmp_path, folder) == linked
    (folder / "sub" / "b [1].png").write_text("other")
    assert contents(tmp_path, folder) != linked


def test_a_folder_without_contents_is_named(tmp_path):
    (tmp_path / "images").mkdir()
    with pytest.raises(dataset.DataError, match=f"{tmp_path}/images: no content images found"):
        contents(tmp_path, tmp_path / "images")

import os
import tempfile
from pathlib import Path

import pytest

from atelier.files import image_files, path_text
from atelier.images import Reason, RejectedImageError
from pipeline.ingest import sources
from pipeline.ingest.errors import SourceError
from pipeline.ingest.sources import File


def make(root, *paths):
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(b"x")


def name_three_each(*folders):
    return [f"{folder}/{n}.jpg" for folder in folders for n in range(3)]


def test_class_folders_are_listed_by_path_at_any_depth(tmp_path):
    make(tmp_path, "dogs/2.jpg", "dogs/old/1.png", "dogs/3", *name_three_each("cats"))
    listing = sources.scan(tmp_path)
    assert listing.labels == ["cats", "dogs"]
    assert listing.given == ()
    assert [f.path for f in listing.files if f.label == "dogs"] == ["dogs/2.jpg", "dogs/3", "dogs/old/1.png"]
    assert listing.files[0] == File("cats/0.jpg", "cats", "")
    assert listing.ignored == {}


@pytest.mark.parametrize("name", ["validation", "val", "valid", "eval", "dev", "Validation"])
def test_folders_of_splits_are_recognized(tmp_path, name):
    make(tmp_path, *name_three_each("train/a", "train/b", f"{name}/a"), "README.txt")
    listing = sources.scan(tmp_path)
    assert listing.given == ("train", "eval")
    assert File(f"{name}/a/0.jpg", "a", "eval") in listing.files
    assert File("train/b/2.jpg", "b", "train") in listing.files
    assert listing.ignored == {"outside_a_class_folder": 1}


def test_a_class_may_be_called_train(tmp_path):
    make(tmp_path, *name_three_each("train", "plane", "test"))
    assert sources.scan(tmp_path).labels == ["plane", "test", "train"]


def test_hidden_files_and_junk_are_counted_and_left_out(tmp_path):
    make(
        tmp_path,
        *name_three_each("a", "b"),
        ".git/x",
        "a/.DS_Store",
        "a/Thumbs.db",
        "a/._0.jpg",
        "b/desktop.ini",
        "notes",
    )
    make(tmp_path, "__MACOSX/a/0.jpg")
    listing = sources.scan(tmp_path)
    assert len(listing.files) == 6
    assert listing.labels == ["a", "b"]
    assert listing.ignored == {"hidden_or_junk": 6, "outside_a_class_folder": 1}


def test_links_are_followed_once(tmp_path):
    make(tmp_path / "store", "0.jpg", "1.jpg", "2.jpg")
    root = tmp_path / "data"
    make(root, *name_three_each("b"))
    (root / "a").symlink_to(tmp_path / "store")
    (root / "b" / "loop").symlink_to(root / "b")
    (root / "b" / "up").symlink_to(root)
    (root / "b" / "self.jpg").symlink_to("self.jpg")
    listing = sources.scan(root)
    paths = [f.path for f in listing.files]
    assert [p for p in paths if p.startswith("a")] == name_three_each("a")
    assert [p for p in paths if p.count("/") == 1 and p.startswith("b")] == [*name_three_each("b"), "b/self.jpg"]
    assert len(paths) == len(set(paths))
    assert listing.ignored["folder_reached_twice"] >= 2


@pytest.mark.parametrize(
    ("paths", "message"),
    [
        ([], "no images found"),
        (["a.jpg"], "no images found"),
        (name_three_each("only"), r"only one class with files \(only\)"),
        ([*name_three_each("a", "b"), "few/1.jpg", "few/2.jpg"], r"fewer than three images in: few \(2\)"),
        (
            name_three_each("train/a", "train/b", "test/a", "other/a"),
            "other/ has no class folders, but test/, train/ has",
        ),
        (name_three_each("train/a", "train/b", "notes"), "notes/ has no class folders, but train/ has"),
        (name_three_each("train/a", "train/b", "test"), "test/ has no class folders, but train/ has"),
        (name_three_each("train/a", "train/b", "val/a", "eval/a"), "eval/ and val/ are both the eval split"),
        (name_three_each("val/a", "test/b"), "no train/"),
        (name_three_each("train/a", "train/b", "test/c"), "not in train/: c"),
        (name_three_each("a", "b\nc"), "must be printable UTF-8"),
        (name_three_each(" ", "a"), "the folder ' ' names a class"),
        (name_three_each("Cat", "cat", "dog"), "the classes Cat/ and cat/ differ only by"),
        (name_three_each("caf\u00e9", "cafe\u0301"), r"\('cafe\\u0301', 'caf\\xe9'\): merge"),
        (
            name_three_each("train/caf\u00e9", "train/x", "val/cafe\u0301"),
            "train/caf\u00e9/ and val/cafe\u0301/ differ only",
        ),
        (name_three_each("a b", "a  b", "c"), "a  b/ and a b/ differ only by"),
        (name_three_each("n", "\uff2e"), "n/ and \uff2e/ differ only by"),
    ],
)
def test_a_folder_that_is_no_data_set_is_named(tmp_path, paths, message):
    make(tmp_path, *paths)
    with pytest.raises(SourceError, match=message) as error:
        sources.scan(tmp_path)
    assert str(tmp_path) in str(error.value)


def test_a_missing_folder_and_a_file_are_named(tmp_path):
    make(tmp_path, "file")
    with pytest.raises(SourceError, match="no such folder"):
        sources.scan(tmp_path / "nothing")
    with pytest.raises(SourceError, match="not a folder"):
        sources.scan(tmp_path / "file")


def test_classes_that_differ_by_more_than_form(tmp_path):
    make(tmp_path, *name_three_each("caf\u00e9", "cafe", "cat", "cats", "c at"))
    assert len(sources.scan(tmp_path).labels) == 5


def test_a_link_to_the_source_brings_no_other_classes(tmp_path):
    make(tmp_path, *name_three_each("a", "b"))
    (tmp_path / "b" / "up").symlink_to("..")
    assert [file.path for file in sources.scan(tmp_path).files] == name_three_each("a", "b")


def test_names_that_are_not_utf8(tmp_path):
    make(tmp_path, *name_three_each("a", "b"))
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/a/caf\xe9.jpg")).write_bytes(b"x")
    path = next(f.path for f in sources.scan(tmp_path).files if "caf" in f.path)
    assert path_text.format_path(path) == r"a/caf\xe9.jpg"
    with pytest.raises(RejectedImageError) as refused:
        image_files.check_name(path)
    assert refused.value.reason == Reason.UNREADABLE_NAME
    assert r"caf\xe9" in refused.value.detail
    image_files.check_name("a/café.jpg")
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff")).mkdir()
    with pytest.raises(SourceError, match=r"\\xff.*must be printable UTF-8"):
        sources.scan(tmp_path)


def catch_error(path, limit=100):
    with pytest.raises(RejectedImageError) as refused:
        image_files.read_image_file(path, limit)
    return refused.value.reason


def test_reading(tmp_path):
    make(tmp_path, "file")
    (tmp_path / "link").symlink_to("file")
    (tmp_path / "dangling").symlink_to("nothing")
    (tmp_path / "self").symlink_to("self")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "large").write_bytes(b"x" * 101)
    assert image_files.read_image_file(tmp_path / "file", 100) == b"x"
    assert image_files.read_image_file(tmp_path / "link", 100) == b"x"
    assert catch_error(tmp_path / "nothing") == Reason.UNREADABLE
    assert catch_error(tmp_path / "dangling") == Reason.UNREADABLE
    assert catch_error(tmp_path / "self") == Reason.UNREADABLE
    assert catch_error(tmp_path / "pipe") == Reason.UNREADABLE
    assert catch_error(tmp_path) == Reason.UNREADABLE
    assert catch_error(tmp_path / "large") == Reason.TOO_LARGE


def test_missing_permission():
    """Root may read everything: the test becomes nobody, in a folder that nobody may enter."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        make(folder, "secret", "locked/1.jpg")
        (folder / "secret").chmod(0)
        (folder / "locked").chmod(0)
        was_root = os.geteuid() == 0
        if was_root:
            os.seteuid(65534)
        try:
            assert catch_error(folder / "secret") == Reason.NO_PERMISSION
            with pytest.raises(SourceError, match=r"locked: the folder cannot be listed: Permission denied"):
                sources.scan(folder)
        finally:
            if was_root:
                os.seteuid(0)
            (folder / "locked").chmod(0o755)

"""Files that are whole or not there."""

import gzip
import os
import time
from pathlib import Path

import pytest

from atelier import storage
from tests.deferred import deferred_imports

with deferred_imports():
    import tensorflow as tf

    from tests import object_store


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_what_is_written_is_read_and_replaced(tmp_path):
    path = storage.join(str(tmp_path), "deep", "er", "a.txt")
    storage.write_bytes(path, b"one")
    storage.write_bytes(path, b"two")
    assert (tmp_path / "deep" / "er" / "a.txt").read_bytes() == b"two"
    assert storage.read_bytes(path) == b"two"
    assert storage.read_bytes(path, 2) == b"tw"
    assert names(tmp_path / "deep" / "er") == ["a.txt"]


def test_an_ending_does_not_compress(tmp_path):
    storage.write_bytes(str(tmp_path / "a.gz"), b"plain")
    assert (tmp_path / "a.gz").read_bytes() == b"plain"


def test_while_it_is_written_nothing_is_under_its_name(tmp_path, monkeypatch):
    seen = []
    replace = Path.replace

    def watch(source, target):
        seen.append(names(tmp_path))
        return replace(source, target)

    monkeypatch.setattr(Path, "replace", watch)
    storage.write_bytes(str(tmp_path / "a.txt"), b"x")
    ((partial,),) = seen
    assert partial.startswith(".a.txt.")
    assert partial.endswith(".partial")


def test_a_write_that_fails_leaves_the_former_file(tmp_path, monkeypatch):
    storage.write_bytes(str(tmp_path / "a.txt"), b"former")

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        storage.write_bytes(str(tmp_path / "a.txt"), b"new")
    assert (tmp_path / "a.txt").read_bytes() == b"former"
    assert list(storage.list_files(str(tmp_path))) == ["a.txt"]


def test_files_are_those_of_the_folder_that_hold_something(tmp_path):
    (tmp_path / "sub").mkdir()
    for name, data in {"a": b"1", "empty": b"", ".hidden": b"1", "sub/b": b"12"}.items():
        (tmp_path / name).write_bytes(data)
    assert {name: entry.size for name, entry in storage.list_files(str(tmp_path)).items()} == {"a": 1}
    assert list(storage.list_tree(str(tmp_path))) == ["a", "empty", "sub/b"]
    assert storage.list_files(str(tmp_path / "none")) == {}


def test_brackets_in_the_names_of_folders_are_no_pattern(tmp_path):
    folder = tmp_path / "a[1]*"
    storage.write_bytes(str(folder / "x"), b"1")
    (tmp_path / "a1").mkdir()
    (tmp_path / "a1" / "y").write_bytes(b"1")
    assert list(storage.list_tree(str(folder))) == ["x"]


def test_only_what_was_left_more_than_a_day_ago_is_swept(tmp_path):
    for name in (".old.partial", ".new.partial", "old.jpg"):
        (tmp_path / name).write_bytes(b"1")
    for folder in ("old", "new"):
        (tmp_path / folder / "deep").mkdir(parents=True)
        (tmp_path / folder / "deep" / "x").touch()
    past = time.time() - 25 * 3600
    for name in (".old.partial", "old.jpg", "old/deep/x"):
        os.utime(tmp_path / name, (past, past))
    storage.remove_abandoned_files(str(tmp_path))
    assert names(tmp_path) == [".new.partial", "new", "old", "old.jpg"]
    storage.remove_abandoned_folders(str(tmp_path))
    assert names(tmp_path) == [".new.partial", "new", "old.jpg"]


def test_removing_takes_folders_too_and_minds_nothing_missing(tmp_path):
    storage.write_bytes(str(tmp_path / "a" / "b" / "c"), b"1")
    storage.remove(str(tmp_path / "a"))
    storage.remove(str(tmp_path / "a"))
    assert names(tmp_path) == []


def test_a_folder_on_the_disk_is_used_itself(tmp_path):
    with storage.write_folder(str(tmp_path / "new" / "model")) as folder:
        assert folder == tmp_path / "new" / "model"
        assert folder.is_dir()
    with storage.read_folder(str(tmp_path)) as folder:
        assert folder == tmp_path
    assert tmp_path.is_dir()


def test_an_object_store_is_read_through_a_copy(tmp_path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "file").write_text("text")
    with storage.read_folder(object_store.upload(tmp_path, "ram://read")) as folder:
        assert (folder / "a" / "b" / "file").read_text() == "text"
    assert not folder.exists()
    assert object_store.list_files("ram://read") == ["a/b/file"]


def test_an_object_store_is_written_when_everything_is_there():
    with storage.write_folder("ram://written/model") as folder:
        (folder / "deep").mkdir()
        (folder / "deep" / "file").write_bytes(b"\0\1")
        assert not tf.io.gfile.exists("ram://written/model/deep/file")
    assert object_store.list_files("ram://written/model") == ["deep/file"]
    with tf.io.gfile.GFile("ram://written/model/deep/file", "rb") as file:
        assert file.read() == b"\0\1"


def test_nothing_is_written_if_the_work_fails():
    def fail(folder):
        (folder / "file").touch()
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), storage.write_folder("ram://failed/model") as folder:
        fail(folder)
    assert not folder.exists()
    assert not tf.io.gfile.exists("ram://failed/model")


# In an object store.


def test_what_is_written_to_a_bucket_is_listed_read_and_removed():
    for name, data in {"a.txt": b"one", "deep/er/b[1].txt": b"two", "deep/.hidden": b"x", "empty": b""}.items():
        storage.write_bytes(storage.join("ram://listed/folder/", *name.split("/")), data)
    assert storage.join("ram://listed/folder", "deep", "x") == "ram://listed/folder/deep/x"
    assert object_store.list_files("ram://listed/folder") == ["a.txt", "deep/.hidden", "deep/er/b[1].txt", "empty"]
    assert storage.read_bytes("ram://listed/folder/a.txt") == b"one"
    assert storage.read_bytes("ram://listed/folder/a.txt", 2) == b"on"
    assert {name: entry.size for name, entry in storage.list_files("ram://listed/folder").items()} == {"a.txt": 3}
    found = storage.list_tree("ram://listed/folder")
    assert list(found) == ["a.txt", "deep/er/b[1].txt", "empty"]
    assert found["deep/er/b[1].txt"].path == "ram://listed/folder/deep/er/b[1].txt"
    assert list(storage.list_tree("ram://listed/folder", leave_out="ram://listed/folder/deep")) == ["a.txt", "empty"]
    storage.remove("ram://listed/folder/deep")
    storage.remove("ram://listed/folder/deep")
    storage.remove("ram://listed/folder/empty")
    assert object_store.list_files("ram://listed/folder") == ["a.txt"]
    assert storage.list_files("ram://listed/none") == storage.list_tree("ram://listed/none") == {}


def test_a_stream_is_decompressed_by_its_name(tmp_path):
    for folder in (str(tmp_path), "ram://streams"):
        storage.write_bytes(storage.join(folder, "a.gz"), gzip.compress(b"inside"))
        storage.write_bytes(storage.join(folder, "a"), b"plain")
        with storage.open_stream(storage.join(folder, "a.gz")) as stream:
            assert stream.read() == b"inside"
        with storage.open_stream(storage.join(folder, "a")) as stream:
            assert stream.read() == b"plain"


def test_what_is_missing_in_a_bucket_is_an_os_error():
    with pytest.raises(FileNotFoundError):
        storage.read_bytes("ram://missing/file")


def test_a_url_that_nothing_opens_is_named():
    with pytest.raises(storage.StorageError, match=r"nosuch://bucket/x: cannot be opened: Protocol not known: nosuch"):
        storage.read_bytes("nosuch://bucket/x")
    assert storage.StorageError.exit_code == 1


def test_a_failure_of_a_library_is_an_os_error_that_names_the_url(monkeypatch):
    def fail(*_, **__):
        raise RuntimeError("no credentials")

    monkeypatch.setattr(object_store.RamStore, "cat_file", fail)
    with pytest.raises(OSError, match="ram://failing/file: RuntimeError: no credentials"):
        storage.read_bytes("ram://failing/file")


def test_buckets_are_opened_by_the_installed_library():
    import fsspec

    assert fsspec.get_filesystem_class("gs").__module__.startswith("gcsfs")

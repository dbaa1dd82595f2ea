"""Files that are whole or not there."""

import os
import time

import pytest

from tests.deferred import deferred_imports

with deferred_imports():
    from apache_beam.io.filesystems import FileSystems

    from components.style_renderer.batch import store


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_what_is_written_is_read_and_replaced(tmp_path):
    path = store.join(str(tmp_path), "deep", "er", "a.txt")
    store.write(path, b"one")
    store.write(path, b"two")
    assert (tmp_path / "deep" / "er" / "a.txt").read_bytes() == b"two"
    assert store.read(path) == b"two"
    assert store.read(path, 2) == b"tw"
    assert names(tmp_path / "deep" / "er") == ["a.txt"]


def test_an_ending_does_not_compress(tmp_path):
    store.write(str(tmp_path / "a.gz"), b"plain")
    assert (tmp_path / "a.gz").read_bytes() == b"plain"


def test_while_it_is_written_nothing_is_under_its_name(tmp_path, monkeypatch):
    seen = []
    rename = FileSystems.rename

    def watch(sources, targets):
        seen.append(names(tmp_path))
        rename(sources, targets)

    monkeypatch.setattr(FileSystems, "rename", watch)
    store.write(str(tmp_path / "a.txt"), b"x")
    ((partial,),) = seen
    assert partial.startswith(".a.txt.")
    assert partial.endswith(".partial")


def test_a_write_that_fails_leaves_the_former_file(tmp_path, monkeypatch):
    store.write(str(tmp_path / "a.txt"), b"former")

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(FileSystems, "rename", fail)
    with pytest.raises(OSError, match="disk full"):
        store.write(str(tmp_path / "a.txt"), b"new")
    assert (tmp_path / "a.txt").read_bytes() == b"former"
    assert list(store.files(str(tmp_path))) == ["a.txt"]


def test_files_are_those_of_the_folder_that_hold_something(tmp_path):
    (tmp_path / "sub").mkdir()
    for name, data in {"a": b"1", "empty": b"", ".hidden": b"1", "sub/b": b"12"}.items():
        (tmp_path / name).write_bytes(data)
    assert {name: entry.size for name, entry in store.files(str(tmp_path)).items()} == {"a": 1}
    assert list(store.below(str(tmp_path))) == ["a", "empty", "sub/b"]
    assert store.files(str(tmp_path / "none")) == {}


def test_brackets_in_the_names_of_folders_are_no_pattern(tmp_path):
    folder = tmp_path / "a[1]*"
    store.write(str(folder / "x"), b"1")
    (tmp_path / "a1").mkdir()
    (tmp_path / "a1" / "y").write_bytes(b"1")
    assert list(store.below(str(folder))) == ["x"]


def test_only_what_was_left_more_than_a_day_ago_is_swept(tmp_path):
    for name in (".old.partial", ".new.partial", "old.jpg"):
        (tmp_path / name).write_bytes(b"1")
    for folder in ("old", "new"):
        (tmp_path / folder / "deep").mkdir(parents=True)
        (tmp_path / folder / "deep" / "x").touch()
    past = time.time() - 25 * 3600
    for name in (".old.partial", "old.jpg", "old/deep/x"):
        os.utime(tmp_path / name, (past, past))
    store.sweep(str(tmp_path))
    assert names(tmp_path) == [".new.partial", "new", "old", "old.jpg"]
    store.sweep_folders(str(tmp_path))
    assert names(tmp_path) == [".new.partial", "new", "old.jpg"]


def test_removing_takes_folders_too_and_minds_nothing_missing(tmp_path):
    store.write(str(tmp_path / "a" / "b" / "c"), b"1")
    store.remove(str(tmp_path / "a"))
    store.remove(str(tmp_path / "a"))
    assert names(tmp_path) == []

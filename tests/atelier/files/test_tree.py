"""The one walk over folders of images."""

import os

import pytest

from atelier.files import tree


def make(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"1")


def test_files_at_any_depth_by_path_without_what_is_hidden_or_junk(tmp_path):
    make(
        tmp_path, "b/2", "b/c/1", "b-1", "a[1]/*.png", ".hidden", ".git/x", "__MACOSX/y", "b/Thumbs.db", "b/desktop.INI"
    )
    make(tmp_path, "@eaDir/z", "lost+found/z", "$RECYCLE.BIN/z", "b/._2", "b/Icon\r", "b/Picasa.ini", "Thumbs.db.png")
    found = tree.walk(tmp_path)
    assert found.paths == ["Thumbs.db.png", "a[1]/*.png", "b-1", "b/2", "b/c/1"]
    assert found.ignored == {"hidden_or_junk": 11}


def test_names_that_are_not_utf8_are_kept(tmp_path):
    (tmp_path / os.fsdecode(b"caf\xe9")).mkdir()
    make(tmp_path, os.fsdecode(b"caf\xe9/1.png"))
    assert [os.fsencode(path) for path in tree.walk(tmp_path).paths] == [b"caf\xe9/1.png"]


def test_links_to_folders_are_followed_once(tmp_path):
    make(tmp_path / "store", "deep/1")
    make(tmp_path / "root", "a/0", "b/0")
    (tmp_path / "root" / "a" / "store").symlink_to(tmp_path / "store")
    (tmp_path / "root" / "a" / "loop").symlink_to("..")
    (tmp_path / "root" / "a" / "broken").symlink_to("nowhere")
    assert tree.walk(tmp_path / "root").paths == ["a/0", "a/broken", "a/store/deep/1", "b/0"]
    below = tree.walk(tmp_path / "root", "a")
    assert below.paths == ["a/0", "a/broken", "a/store/deep/1"]  # b/0 is not a's
    assert below.ignored == {"folder_reached_twice": 1}


@pytest.mark.parametrize("written", ["out", "./out/", "../images/out", "link", "ABSOLUTE"])
def test_a_folder_is_left_out_however_it_is_written(tmp_path, monkeypatch, written):
    root = tmp_path / "images"
    make(root, "1.png", "out/pictures/1.png", "other/out/2.png")
    (root / "link").symlink_to("out")
    monkeypatch.chdir(root)
    found = tree.walk(".", leave_out=str(root / "out") if written == "ABSOLUTE" else written)
    assert found.paths == ["1.png", "other/out/2.png"]
    assert found.ignored["output_folder"] == 2  # by its name, and by the link


def test_a_folder_that_is_not_there_is_an_error_with_its_name(tmp_path):
    with pytest.raises(OSError, match="No such file") as error:
        tree.walk(tmp_path / "none")
    assert error.value.filename == str(tmp_path / "none")
    assert tree.walk(tmp_path, leave_out=tmp_path / "none").paths == []

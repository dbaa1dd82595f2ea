import pytest

from tests.deferred import deferred_imports

with deferred_imports():
    import tensorflow as tf

    from tests import object_store
    from trainer import folders


def test_a_folder_on_the_disk_is_used_itself(tmp_path):
    with folders.written(str(tmp_path / "new" / "model")) as folder:
        assert folder == tmp_path / "new" / "model"
        assert folder.is_dir()
    with folders.read(str(tmp_path)) as folder:
        assert folder == tmp_path
    assert tmp_path.is_dir()


def test_an_object_store_is_read_through_a_copy(tmp_path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "file").write_text("text")
    with folders.read(object_store.upload(tmp_path, "ram://read")) as folder:
        assert (folder / "a" / "b" / "file").read_text() == "text"
    assert not folder.exists()
    assert object_store.files("ram://read") == ["a/b/file"]


def test_an_object_store_is_written_when_everything_is_there():
    with folders.written("ram://written/model") as folder:
        (folder / "deep").mkdir()
        (folder / "deep" / "file").write_bytes(b"\0\1")
        assert not tf.io.gfile.exists("ram://written/model/deep/file")
    assert object_store.files("ram://written/model") == ["deep/file"]
    with tf.io.gfile.GFile("ram://written/model/deep/file", "rb") as file:
        assert file.read() == b"\0\1"


def test_nothing_is_written_if_the_work_fails():
    def fail(folder):
        (folder / "file").touch()
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), folders.written("ram://failed/model") as folder:
        fail(folder)
    assert not folder.exists()
    assert not tf.io.gfile.exists("ram://failed/model")

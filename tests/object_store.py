"""`ram://`, which TensorFlow keeps in memory, as an object store: as a path on the disk it leads nowhere."""

from pathlib import Path
from typing import Any

import fsspec
import tensorflow as tf
from tfx.dsl.io import filesystem_registry
from tfx.dsl.io.plugins.tensorflow_gfile import TensorflowFilesystem


class RamFilesystem(TensorflowFilesystem):
    """Lets TFX, too, know it."""

    SUPPORTED_SCHEMES = ["ram://"]  # noqa: RUF012 (as TFX has it)


class RamStore(fsspec.AbstractFileSystem):
    """Lets fsspec know it; folders are made with their files, as in a bucket."""

    protocol = "ram"

    def ls(self, path: str, detail: bool = True, **_: Any) -> list[Any]:
        path = self._strip_protocol(path)
        if not tf.io.gfile.isdir(f"ram://{path}"):
            raise FileNotFoundError(path)
        names = [f"{path}/{name.rstrip('/')}" for name in tf.io.gfile.listdir(f"ram://{path}")]
        return [self._describe(name) for name in names] if detail else names

    def _describe(self, name: str) -> dict[str, Any]:
        if tf.io.gfile.isdir(f"ram://{name}"):
            return {"name": name, "type": "directory", "size": 0}
        status = tf.io.gfile.stat(f"ram://{name}")
        return {"name": name, "type": "file", "size": status.length, "mtime": status.mtime_nsec / 1e9}

    def _open(self, path: str, mode: str = "rb", **_: Any) -> Any:
        if "r" not in mode:
            tf.io.gfile.makedirs(f"ram://{path}".rpartition("/")[0])
        elif not tf.io.gfile.exists(f"ram://{path}"):
            raise FileNotFoundError(path)
        return tf.io.gfile.GFile(f"ram://{path}", mode)

    def rm(self, path: str, recursive: bool = False, maxdepth: int | None = None) -> None:
        name = f"ram://{self._strip_protocol(path)}"
        if tf.io.gfile.isdir(name):
            tf.io.gfile.rmtree(name)
        else:
            tf.io.gfile.remove(name)


fsspec.register_implementation("ram", RamStore, clobber=True)
filesystem_registry.DEFAULT_FILESYSTEM_REGISTRY.register(RamFilesystem, priority=20)


def upload(folder: Path, uri: str) -> str:
    """Copies the files below `folder` to `uri`, and returns it."""
    for path in folder.rglob("*"):
        if path.is_file():
            target = f"{uri}/{path.relative_to(folder)}"
            tf.io.gfile.makedirs(target.rpartition("/")[0])
            tf.io.gfile.copy(str(path), target)
    return uri


def list_files(uri: str) -> list[str]:
    """Paths of the files below `uri`, relative to it, sorted."""
    found = (f"{parent}/{name}" for parent, _, names in tf.io.gfile.walk(uri) for name in names)
    return sorted(path.removeprefix(uri).strip("/") for path in found)

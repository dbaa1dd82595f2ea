"""`ram://`, which TensorFlow keeps in memory, as an object store: as a path on the disk it leads nowhere."""

from pathlib import Path

import tensorflow as tf
from tfx.dsl.io import filesystem_registry
from tfx.dsl.io.plugins.tensorflow_gfile import TensorflowFilesystem


class RamFilesystem(TensorflowFilesystem):
    """Lets TFX, too, know it."""

    SUPPORTED_SCHEMES = ["ram://"]  # noqa: RUF012 (as TFX has it)


filesystem_registry.DEFAULT_FILESYSTEM_REGISTRY.register(RamFilesystem, priority=20)


def upload(folder: Path, uri: str) -> str:
    """Copies the files below `folder` to `uri`, and returns it."""
    for path in folder.rglob("*"):
        if path.is_file():
            target = f"{uri}/{path.relative_to(folder)}"
            tf.io.gfile.makedirs(target.rpartition("/")[0])
            tf.io.gfile.copy(str(path), target)
    return uri


def files(uri: str) -> list[str]:
    """Paths of the files below `uri`, relative to it, sorted."""
    found = (f"{parent}/{name}" for parent, _, names in tf.io.gfile.walk(uri) for name in names)
    return sorted(path.removeprefix(uri).strip("/") for path in found)

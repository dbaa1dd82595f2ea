"""Folders of artifacts as folders on the disk: on a cluster they lie in an object store, which few libraries know."""

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tfx.utils import io_utils


@contextlib.contextmanager
def read(uri: str) -> Iterator[Path]:
    """The folder `uri` itself if it is on a disk; else a copy of it, which is removed afterwards."""
    if "://" not in uri:
        yield Path(uri)
        return
    with tempfile.TemporaryDirectory(prefix="atelier-") as folder:
        io_utils.copy_dir(uri, folder)
        yield Path(folder)


@contextlib.contextmanager
def written(uri: str) -> Iterator[Path]:
    """The folder `uri` itself if it is on a disk; else an empty one that replaces `uri` if nothing fails."""
    if "://" not in uri:
        Path(uri).mkdir(parents=True, exist_ok=True)
        yield Path(uri)
        return
    with tempfile.TemporaryDirectory(prefix="atelier-") as folder:
        yield Path(folder)
        io_utils.copy_dir(folder, uri)

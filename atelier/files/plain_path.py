"""Paths for TensorFlow, which reads some characters in the path of a SavedModel as a pattern."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from atelier.files import leftovers


@contextlib.contextmanager
def provide_plain_path(directory: Path) -> Iterator[str]:
    """Yields a path to the folder that TensorFlow does not read as a pattern, as it does `[`, `*` and `?`."""
    if not set("[]*?\\") & set(str(directory)):
        yield str(directory)
        return
    with leftovers.create_scratch("model") as folder:
        link = folder / "model"
        link.symlink_to(directory.absolute())
        yield str(link)

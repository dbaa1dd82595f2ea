"""Files of a batch, on a local disk or in an object store: whole under their names, or not there.

A file is written under another name and then renamed. On a local disk that is atomic. An object store's rename is a
copy and a removal, but of whole objects, so that there, too, nobody sees half a file. One batch at a time may use a
folder.
"""

import contextlib
import math
import os
import shutil
import time
import uuid
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems

from atelier.files import tree

_PARTIAL = ".partial"
_ABANDONED_S = 24 * 3600.0


class Entry(NamedTuple):
    """A file found in a folder."""

    path: str
    size: int
    """In bytes."""
    changed: float
    """In seconds since 1970; 0 where the store does not tell."""


def join(folder: str, *parts: str) -> str:
    """The path of something below `folder`, which may be a URL."""
    return FileSystems.join(folder, *parts)


def is_local(path: str) -> bool:
    """Whether `path` lies on a disk, where listing and small writes cost next to nothing."""
    return "://" not in path


def write(path: str, data: bytes) -> None:
    """Writes or replaces a file, whose folder is made if it is missing."""
    folder, name = FileSystems.split(path)
    make_folder(folder)
    partial = join(folder, f".{name}.{uuid.uuid4().hex[:12]}{_PARTIAL}")
    # Told not to compress, which it would by the ending of a name.
    with FileSystems.create(partial, compression_type=CompressionTypes.UNCOMPRESSED) as stream:
        stream.write(data)
    FileSystems.rename([partial], [path])


def read(path: str, most: int = -1) -> bytes:
    """The bytes of a file; the first `most` of them if that is not negative.

    Raises:
      OSError: it cannot be read.
    """
    if is_local(path) and os.path.exists(path) and not os.path.isfile(path):  # noqa: PTH110, PTH113
        raise OSError(f"{path}: not a regular file")  # a pipe would block for ever
    with FileSystems.open(path, compression_type=CompressionTypes.UNCOMPRESSED) as stream:
        return stream.read(most)


def stream(path: str) -> BinaryIO:
    """Opens a file to be read; a name that ends in `.gz` is decompressed.

    Raises:
      OSError: it cannot be read.
    """
    return FileSystems.open(path)


def files(folder: str) -> dict[str, Entry]:
    """The files directly in a folder by name, without empty and hidden ones; {} if there is no such folder."""
    return {name: entry for name, entry in _listing(folder, deep=False) if entry.size and not name.startswith(".")}


def below(folder: str, leave_out: str = "") -> dict[str, Entry]:
    """The files at any depth below a folder by relative path, sorted; hidden files and junk are left out.

    Args:
      folder: a path or URL.
      leave_out: a folder that is not entered, under whatever name it is reached.

    Raises:
      OSError: a folder cannot be listed.
    """
    if is_local(folder):
        if not os.path.isdir(folder):  # noqa: PTH112
            return {}
        paths = tree.walk(folder, leave_out=leave_out if is_local(leave_out) else None).paths
        return {path: _entry(os.path.join(folder, path)) for path in paths}  # noqa: PTH118
    kept = leave_out.rstrip("/") + "/" if leave_out else None
    return {
        name: entry
        for name, entry in sorted(_listing(folder, deep=True))
        if not any(map(tree.is_ignored, name.split("/"))) and not (kept and entry.path.startswith(kept))
    }


def remove(path: str) -> None:
    """Removes a file, or a folder with all in it; nothing happens if it is not there."""
    if not is_local(path):
        if FileSystems.exists(path):
            FileSystems.delete([path])
    elif os.path.isdir(path):  # noqa: PTH112
        shutil.rmtree(path)  # Beam would read a bracket in the path as a pattern
    else:
        with contextlib.suppress(FileNotFoundError):
            os.remove(path)  # noqa: PTH107


def partials(folder: str, before: float = math.inf) -> list[str]:
    """The paths of unfinished files directly in a folder, last changed earlier than `before`."""
    found = _listing(folder, deep=False)
    return [each.path for name, each in found if name.endswith(_PARTIAL) and 0 < each.changed < before]


def sweep(folder: str) -> None:
    """Removes what writers that were killed more than a day ago have left in a folder."""
    for path in partials(folder, time.time() - _ABANDONED_S):
        remove(path)


def sweep_folders(folder: str) -> None:
    """Removes the folders directly in a folder in which nothing has changed for a day."""
    before = time.time() - _ABANDONED_S
    newest: dict[str, float] = {}
    for name, entry in _listing(folder, deep=True):
        top, _, rest = name.partition("/")
        if rest:
            newest[top] = max(newest.get(top, 0.0), entry.changed)
    for top, changed in newest.items():
        if 0 < changed < before:
            remove(join(folder, top))


def make_folder(folder: str) -> None:
    """Makes a folder and those above it, unless it is there; other workers may do so at the same time."""
    if is_local(folder):
        os.makedirs(folder, exist_ok=True)  # noqa: PTH103 (paths are strings here, since URLs are among them)
    elif not FileSystems.exists(folder):
        FileSystems.mkdirs(folder)


def _listing(folder: str, deep: bool) -> Iterator[tuple[str, Entry]]:
    """Names relative to `folder`, with `/` between their parts, and what is there."""
    if is_local(folder):
        # Not by Beam's patterns: they cannot quote a bracket in a folder's name, and walk everything below it.
        for parent, folders, names in os.walk(folder):
            if not deep:
                folders.clear()
            for name in names:
                path = os.path.join(parent, name)  # noqa: PTH118
                relative = os.path.relpath(path, folder).replace(os.sep, "/")
                yield relative, _entry(path)
        return
    root = folder.rstrip("/") + "/"
    for found in FileSystems.match([f"{root}{'**' if deep else '*'}"])[0].metadata_list:
        if not found.path.endswith("/"):
            yield (
                found.path.removeprefix(root),
                Entry(found.path, found.size_in_bytes, found.last_updated_in_seconds or 0.0),
            )


def _entry(path: str) -> Entry:
    try:
        status = os.stat(path)  # noqa: PTH116
    except OSError:  # gone meanwhile, or a link to nothing
        return Entry(path, 0, 0.0)
    return Entry(path, status.st_size, status.st_mtime)

"""Files on a disk or in an object store, by path or URL. Nothing else decides which of the two a text names.

A URL has `://` in it, and fsspec opens it: `gs://` with gcsfs, which Atelier installs; others with the library that
fsspec names. A file is whole under its name, or not there: on a disk it is written under another name and renamed, and
an object store shows whole objects only.
"""

import contextlib
import gzip
import math
import os
import shutil
import time
import uuid
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast

from atelier.errors import AtelierError
from atelier.files import leftovers, tree

_PARTIAL = ".partial"
_ABANDONED_S = 24 * 3600.0
_TIMES = ("mtime", "LastModified", "last_modified", "created")
"""What file systems of fsspec call the time of the last change."""


class StorageError(AtelierError):
    """A URL that cannot be opened here: its scheme is unknown, or the library that reads it is not installed."""


class Entry(NamedTuple):
    """A file found in a folder."""

    path: str
    size: int
    """In bytes."""
    changed: float
    """In seconds since 1970; 0 where the store does not tell."""


def is_url(path: str) -> bool:
    """Returns whether `path` names something in an object store, and not on a disk."""
    return "://" in path


def join(folder: str, *parts: str) -> str:
    """Returns the path of something below `folder`, which may be a URL."""
    return "/".join([folder.rstrip("/"), *parts]) if is_url(folder) else os.path.join(folder, *parts)  # noqa: PTH118


def write_bytes(path: str, data: bytes) -> None:
    """Writes or replaces a file, whose folder is made if it is missing."""
    if is_url(path):
        with _open_remote(path) as (store, name):
            store.pipe_file(name, data)
        return
    file = Path(path)
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_name(f".{file.name}.{uuid.uuid4().hex[:12]}{_PARTIAL}")
    try:
        partial.write_bytes(data)
        partial.replace(file)
    except OSError:  # a full disk would be fuller with it
        partial.unlink(missing_ok=True)
        raise


def read_bytes(path: str, most: int = -1) -> bytes:
    """Returns the bytes of a file; the first `most` of them if that is not negative.

    Raises:
      OSError: the file cannot be read.
    """
    if is_url(path):
        with _open_remote(path) as (store, name):
            return cast(bytes, store.cat_file(name, end=None if most < 0 else most))
    if os.path.exists(path) and not os.path.isfile(path):  # noqa: PTH110, PTH113
        raise OSError(f"{path}: not a regular file")  # a pipe would block for ever
    with open(path, "rb") as stream:  # noqa: PTH123
        return stream.read(most)


@contextlib.contextmanager
def open_stream(path: str) -> Iterator[BinaryIO]:
    """Opens a file to be read; a name that ends in `.gz` is decompressed.

    Raises:
      OSError: the file cannot be read.
    """
    with contextlib.ExitStack() as stack:
        if is_url(path):
            store, name = stack.enter_context(_open_remote(path))
            stream = stack.enter_context(store.open(name, "rb"))
        else:
            stream = stack.enter_context(open(path, "rb"))  # noqa: PTH123
        if path.endswith(".gz"):
            stream = stack.enter_context(gzip.GzipFile(fileobj=stream))
        yield cast(BinaryIO, stream)


def list_files(folder: str) -> dict[str, Entry]:
    """Returns the files directly in a folder by name, without empty and hidden ones; {} if there is no such folder."""
    return {name: entry for name, entry in _list(folder, deep=False) if entry.size and not name.startswith(".")}


def list_tree(folder: str, leave_out: str = "") -> dict[str, Entry]:
    """Returns the files at any depth below a folder by relative path, sorted; hidden files and junk are left out.

    Args:
      folder: a path or URL.
      leave_out: a folder that is not entered, under whatever name it is reached.

    Raises:
      OSError: a folder cannot be listed.
    """
    if not is_url(folder):
        if not os.path.isdir(folder):  # noqa: PTH112
            return {}
        paths = tree.walk(folder, leave_out=None if is_url(leave_out) else leave_out).paths
        return {path: _describe(os.path.join(folder, path)) for path in paths}  # noqa: PTH118
    kept = leave_out.rstrip("/") + "/" if leave_out else None
    return {
        name: entry
        for name, entry in sorted(_list(folder, deep=True))
        if not any(map(tree.is_ignored, name.split("/"))) and not (kept and entry.path.startswith(kept))
    }


def remove(path: str) -> None:
    """Removes a file, or a folder with all in it; nothing happens if it is not there."""
    if is_url(path):
        with _open_remote(path) as (store, name):
            if store.exists(name):
                store.rm(name, recursive=True)
    elif os.path.isdir(path):  # noqa: PTH112
        shutil.rmtree(path)
    else:
        with contextlib.suppress(FileNotFoundError):
            os.remove(path)  # noqa: PTH107


def list_partials(folder: str, before: float = math.inf) -> list[str]:
    """Returns the paths of unfinished files directly in a folder, last changed earlier than `before`."""
    found = _list(folder, deep=False)
    return [entry.path for name, entry in found if name.endswith(_PARTIAL) and 0 < entry.changed < before]


def remove_abandoned_files(folder: str) -> None:
    """Removes what writers that were killed more than a day ago have left in a folder."""
    for path in list_partials(folder, time.time() - _ABANDONED_S):
        remove(path)


def remove_abandoned_folders(folder: str) -> None:
    """Removes the folders directly in a folder in which nothing has changed for a day."""
    before = time.time() - _ABANDONED_S
    newest: dict[str, float] = {}
    for name, entry in _list(folder, deep=True):
        top, _, rest = name.partition("/")
        if rest:
            newest[top] = max(newest.get(top, 0.0), entry.changed)
    for top, changed in newest.items():
        if 0 < changed < before:
            remove(join(folder, top))


def copy_folder(source: str, target: str) -> None:
    """Copies all files below a folder to another place; what is there already is removed. One of them is on a disk.

    Raises:
      OSError: a file cannot be read or written.
    """
    if is_url(source):
        with _open_remote(source) as (store, _):
            names = [name for name, _ in _list(source, deep=True)]
            local = [str(Path(target, name)) for name in names]
            for file in local:
                Path(file).parent.mkdir(parents=True, exist_ok=True)
            store.get([store._strip_protocol(join(source, name)) for name in names], local)
    elif is_url(target):
        remove(target)
        with _open_remote(target) as (store, _):
            files = sorted(path for path in Path(source).rglob("*") if path.is_file())
            names = [path.relative_to(source).as_posix() for path in files]
            store.put([str(path) for path in files], [store._strip_protocol(join(target, name)) for name in names])
    else:
        remove(target)
        shutil.copytree(source, target)


@contextlib.contextmanager
def read_folder(path: str) -> Iterator[Path]:
    """Yields the folder itself if it is on a disk; else a copy of it, which is removed afterwards."""
    if not is_url(path):
        yield Path(path)
        return
    with leftovers.create_scratch("copy") as folder:
        copy_folder(path, str(folder))
        yield folder


@contextlib.contextmanager
def write_folder(path: str) -> Iterator[Path]:
    """Yields the folder itself if it is on a disk; else an empty one that replaces the URL's if nothing fails."""
    if not is_url(path):
        Path(path).mkdir(parents=True, exist_ok=True)
        yield Path(path)
        return
    with leftovers.create_scratch("copy") as folder:
        yield folder
        copy_folder(str(folder), path)


def _list(folder: str, deep: bool) -> Iterator[tuple[str, Entry]]:
    """Yields names relative to `folder`, with `/` between their parts, and what is there."""
    if is_url(folder):
        with _open_remote(folder) as (store, name):
            root = name.rstrip("/") + "/"
            try:
                found = store.find(root, detail=True) if deep else {each["name"]: each for each in store.ls(root)}
            except FileNotFoundError:
                return
        for path, values in found.items():
            relative = path.removeprefix(root)
            if values["type"] == "file" and relative and not relative.endswith("/"):
                yield relative, Entry(join(folder, relative), values["size"] or 0, _read_time(values))
        return
    for parent, folders, names in os.walk(folder):
        if not deep:
            folders.clear()
        for name in names:
            path = os.path.join(parent, name)  # noqa: PTH118
            yield os.path.relpath(path, folder).replace(os.sep, "/"), _describe(path)


@contextlib.contextmanager
def _open_remote(url: str) -> Iterator[tuple[Any, str]]:
    """Yields the file system of a URL, and the path in it; whatever its library raises becomes an OSError."""
    import fsspec  # here: a fifth of a second, which `--help` has not

    try:
        # Other processes write there: what was listed before is looked up again.
        store, path = fsspec.core.url_to_fs(url, use_listings_cache=False)
    except (ImportError, ValueError) as error:
        raise StorageError(f"{url}: cannot be opened: {error}") from None
    try:
        yield store, path
    except (OSError, AtelierError):
        raise
    except Exception as error:
        raise OSError(f"{url}: {type(error).__name__}: {error}") from error


def _read_time(values: Mapping[str, Any]) -> float:
    changed = next((values[key] for key in _TIMES if values.get(key)), 0.0)
    return changed.timestamp() if isinstance(changed, datetime) else float(changed)


def _describe(path: str) -> Entry:
    try:
        status = os.stat(path)  # noqa: PTH116
    except OSError:  # gone meanwhile, or a link to nothing
        return Entry(path, 0, 0.0)
    return Entry(path, status.st_size, status.st_mtime)

"""What a source yields: the labelled files of a folder, and the bytes of each.

A folder is read as one of two layouts::

    DIR/<class>/**             the splits are decided later, by content
    DIR/train/<class>/**       and validation/ (val, eval, ...) and test/: the splits are given

Every non-hidden file below a class folder counts, at any depth, whatever its ending. Links are followed; a folder that
is reached a second time is skipped, so loops end. `mnist` and `photos` are written out as such folders first
(`pipeline.builtin_sources`), so that everything passes through one path.
"""

import os
import stat
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from components.pictures import Reason, RefusedError

SPLITS = ("train", "eval", "test")

_SPLIT_NAMES = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("validation", "valid", "val", "eval", "dev"), "eval"),
    **dict.fromkeys(("test", "testing"), "test"),
}
_JUNK = frozenset({"thumbs.db", "desktop.ini", "ehthumbs.db", "__macosx", "@eadir", "icon\r"})


class SourceError(ValueError):
    """A source that cannot be ingested; the message names it and the remedy."""


@dataclass(frozen=True)
class File:
    """One file of a source.

    Attributes:
      path: relative to the source; bytes that are not UTF-8 are kept as surrogate escapes.
      label: the class's name.
      split: the split that the source gives, or "" where the content decides.
    """

    path: str
    label: str
    split: str


@dataclass(frozen=True)
class Listing:
    """The files of a source, sorted by path.

    Attributes:
      files: what is to be ingested.
      labels: the classes' names, sorted: their position is their id.
      given: the splits that the source itself has; empty if the content decides all of them.
      ignored: number of files and folders left out, by why.
    """

    files: list[File]
    labels: list[str]
    given: tuple[str, ...]
    ignored: dict[str, int]


def scan(root: Path) -> Listing:
    """Lists the labelled files of a folder without opening them.

    Raises:
      SourceError: the folder is missing, unreadable or empty, has a single class or one with fewer than three files,
        has folders of splits beside other folders, or a class that training would never see.
    """
    ignored: Counter[str] = Counter()
    if not root.is_dir():
        what = "not a folder" if root.exists() else "no such folder"
        raise SourceError(f"{root}: {what}; give a folder of labelled pictures, `mnist` or `photos`")
    given = _given_splits(root, _folders(root, ignored))
    files: list[File] = []
    for split, folder in sorted(given.items()) or [("", root)]:
        for name in _folders(folder, ignored if given else Counter()):
            _check_label(folder, name)
            relative = os.path.relpath(folder / name, root)
            files += (File(path, name, split) for path in _walk(root, relative, set(), ignored))
    files.sort(key=lambda file: file.path)
    _check_classes(root, files)
    return Listing(files, sorted({file.label for file in files}), tuple(s for s in SPLITS if s in given), dict(ignored))


def read(path: Path, limit: int) -> bytes:
    """Reads a file.

    Args:
      path: the file; links are followed.
      limit: bytes that it may have, at most.

    Raises:
      RefusedError: it cannot be read, is not a regular file (a pipe would block for ever), or is too large.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise RefusedError(Reason.UNREADABLE, "not a regular file")
        if status.st_size > limit:
            raise RefusedError(
                Reason.TOO_LARGE, f"{status.st_size} bytes are more than any picture of ingest.max_pixels has"
            )
        return path.read_bytes()
    except PermissionError as error:
        raise RefusedError(Reason.NO_PERMISSION, str(error.strerror)) from None
    except OSError as error:
        raise RefusedError(Reason.UNREADABLE, str(error.strerror)) from None


def check_name(path: str) -> None:
    """Raises RefusedError unless the name is UTF-8, which records and reports need."""
    if not _is_utf8(path):
        raise RefusedError(Reason.UNREADABLE_NAME, f"the name is not UTF-8: {legible(path)}; rename the file")


def legible(path: str) -> str:
    r"""The path with every byte that is not UTF-8 written as \xNN."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _given_splits(root: Path, folders: list[str]) -> dict[str, Path]:
    """Maps each split that the folder has to its subfolder; empty if the subfolders are classes."""
    named = [name for name in folders if name.lower() in _SPLIT_NAMES]
    # A class may be called "train", too: folders of splits hold folders of classes.
    holding = [name for name in named if _folders(root / name, Counter())]
    if not holding:
        return {}
    if others := [name for name in folders if name not in holding]:
        raise SourceError(
            f"{root}: {legible(others[0])}/ is no split with class folders, as {', '.join(f'{n}/' for n in holding)} "
            "is: either every folder is one, or every folder is a class"
        )
    given: dict[str, Path] = {}
    for name in named:
        split = _SPLIT_NAMES[name.lower()]
        if split in given:
            raise SourceError(f"{root}: {given[split].name}/ and {name}/ are both the {split} split: merge them")
        given[split] = root / name
    if "train" not in given:
        raise SourceError(f"{root}: {', '.join(f'{n}/' for n in named)} but no train/")
    return given


def _check_label(folder: Path, name: str) -> None:
    if not _is_utf8(name) or not name.isprintable():
        raise SourceError(
            f"{folder}: the folder {legible(name)!r} names a class and must be printable UTF-8: rename it"
        )


def _check_classes(root: Path, files: list[File]) -> None:
    counts = Counter(file.label for file in files)
    if not counts:
        raise SourceError(f"{root}: no pictures found; expected {root}/CLASS/PICTURE or {root}/train/CLASS/PICTURE")
    if len(counts) == 1:
        raise SourceError(f"{root}: only one class with files ({next(iter(counts))}); a classifier needs two")
    check_counts(root, counts)
    unseen = sorted(counts.keys() - {file.label for file in files if file.split in ("", "train")})
    if unseen:
        raise SourceError(
            f"{root}: not in train/: {', '.join(unseen)}; add pictures there, or remove the folder elsewhere"
        )


def check_counts(root: Path, counts: Counter[str]) -> None:
    """Raises SourceError naming the classes that have fewer than three pictures."""
    few = sorted(label for label, count in counts.items() if count < len(SPLITS))
    if few:
        raise SourceError(
            f"{root}: fewer than three pictures in: {', '.join(f'{label} ({counts[label]})' for label in few)}; "
            "add some (train, eval and test need one each), or remove the class"
        )


def _folders(root: Path, ignored: Counter[str]) -> list[str]:
    names = []
    for entry in _entries(root):
        if _is_ignored(entry.name):
            ignored["hidden_or_junk"] += 1
        elif _is_folder(entry):
            names.append(entry.name)
        else:
            ignored["outside_a_class_folder"] += 1
    return names


def _walk(root: Path, relative: str, seen: set[tuple[int, int]], ignored: Counter[str]) -> list[str]:
    """Paths, relative to `root`, of all files below `root/relative`."""
    status = (root / relative).stat()
    if (status.st_dev, status.st_ino) in seen:
        ignored["folder_reached_twice"] += 1
        return []
    seen.add((status.st_dev, status.st_ino))
    paths = []
    for entry in _entries(root / relative):
        path = f"{relative}/{entry.name}"
        if _is_ignored(entry.name):
            ignored["hidden_or_junk"] += 1
        elif _is_folder(entry):
            paths += _walk(root, path, seen, ignored)
        else:
            paths.append(path)
    return paths


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        # One unreadable folder may hide any number of pictures: never counted as a single bad file.
        raise SourceError(f"{legible(str(folder))}: the folder cannot be listed: {error.strerror}") from None


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _is_ignored(name: str) -> bool:
    return name.startswith(".") or name.lower() in _JUNK


def _is_utf8(name: str) -> bool:
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True

"""What a source yields: the labeled files of a folder.

A folder is read as one of two layouts::

    DIR/<class>/**             the splits are decided later, by content
    DIR/train/<class>/**       and validation/ (val, eval, ...) and test/: the splits are given

Every file below a class folder that `atelier.files.tree` lists counts, at any depth, whatever its ending. `mnist` and
`photos` are written out as such folders first (`builtin_sources.py`), so that everything passes through one path.
"""

import os
import unicodedata
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from atelier.files import tree
from atelier.files.path_text import format_path, is_url, is_utf8
from atelier.layout import SPLIT_BY_ALIAS, SPLITS, TRAIN
from pipeline.ingest import builtin_sources
from pipeline.ingest.errors import SourceError

_IMAGES = (b"\xff\xd8\xff", b"\x89PNG\r\n", b"GIF8", b"BM", b"II*\0", b"MM\0*")
"""How files of the formats that are ingested begin, beside WebP."""


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
    """Lists the labeled files of a folder without opening them.

    Raises:
      SourceError: the folder is missing, unreadable or empty, has a single class or one with fewer than three files,
        has folders of splits beside other folders, or a class that training would never see.
    """
    ignored: Counter[str] = Counter()
    if not root.is_dir():
        what = "not a folder" if root.exists() else "no such folder"
        if is_url(root):
            what = "a URL; copy the images to this machine"
        raise SourceError(f"{root}: {what}; give a folder of labeled images, or {' or '.join(builtin_sources.NAMES)}")
    given = _find_given_splits(root, _list_folders(root, ignored))
    files: list[File] = []
    for split, folder in sorted(given.items()) or [("", root)]:
        for name in _list_folders(folder, ignored if given else Counter()):
            _check_label(folder, name)
            below = _walk(root, os.path.relpath(folder / name, root))
            ignored += below.ignored
            files += (File(path, name, split) for path in below.paths)
    files.sort(key=lambda file: file.path)
    _check_classes(root, files)
    return Listing(files, sorted({file.label for file in files}), tuple(s for s in SPLITS if s in given), dict(ignored))


def find_labeled_image(root: Path) -> str:
    """Finds the first file in a class folder below `root` that begins like an image; "" if there is none.

    Raises:
      SourceError: a folder cannot be listed.
    """
    for path in _walk(root, "").paths:
        first, *below = path.split("/")
        if len(below) > (first.lower() in SPLIT_BY_ALIAS) and _looks_like_an_image(root / path):
            return path
    return ""


def _looks_like_an_image(file: Path) -> bool:
    try:
        if not file.is_file():  # a pipe would block for ever
            return False
        with file.open("rb") as stream:
            start = stream.read(12)
    except OSError:
        return False
    return start.startswith(_IMAGES) or (start[:4] == b"RIFF" and start[8:] == b"WEBP")


def _find_given_splits(root: Path, folders: list[str]) -> dict[str, Path]:
    """Maps each split that the folder has to its subfolder; empty if the subfolders are classes."""
    named = [name for name in folders if name.lower() in SPLIT_BY_ALIAS]
    # A class may be called "train", too: folders of splits hold folders of classes.
    holding = [name for name in named if _list_folders(root / name, Counter())]
    if not holding:
        return {}
    if others := [name for name in folders if name not in holding]:
        raise SourceError(
            f"{root}: {format_path(others[0])}/ has no class folders, but "
            f"{', '.join(f'{n}/' for n in holding)} has: make every folder a split, or every folder a class"
        )
    given: dict[str, Path] = {}
    for name in named:
        split = SPLIT_BY_ALIAS[name.lower()]
        if split in given:
            raise SourceError(f"{root}: {given[split].name}/ and {name}/ are both the {split} split: merge them")
        given[split] = root / name
    if TRAIN not in given:
        raise SourceError(f"{root}: {', '.join(f'{n}/' for n in named)} but no train/")
    return given


def _check_label(folder: Path, name: str) -> None:
    if not is_utf8(name) or not name.isprintable() or not name.strip():
        raise SourceError(
            f"{folder}: the folder {format_path(name)!r} names a class and must be printable UTF-8, not all blank: "
            "rename it"
        )


def _check_classes(root: Path, files: list[File]) -> None:
    counts = Counter(file.label for file in files)
    if not counts:
        raise SourceError(f"{root}: no images found; expected {root}/CLASS/IMAGE or {root}/train/CLASS/IMAGE")
    _check_alike(root, files)
    if len(counts) == 1:
        raise SourceError(f"{root}: only one class with files ({next(iter(counts))}); a classifier needs two")
    check_counts(root, counts)
    unseen = sorted(counts.keys() - {file.label for file in files if file.split in ("", TRAIN)})
    if unseen:
        raise SourceError(
            f"{root}: not in train/: {', '.join(unseen)}; add images there, "
            "or remove these folders from the other splits"
        )


def _check_alike(root: Path, files: list[File]) -> None:
    """Rejects classes whose names a person, or another file system, may take for the same."""
    folders: dict[str, dict[str, str]] = {}
    for file in files:
        folder = "/".join(file.path.split("/")[: 2 if file.split else 1])
        folders.setdefault(_fold_label(file.label), {}).setdefault(file.label, folder)
    if alike := next((known for known in folders.values() if len(known) > 1), None):
        (one, first), (other, second) = list(alike.items())[:2]
        raise SourceError(
            f"{root}: the classes {first}/ and {second}/ differ only by Unicode form, case or spaces in their names "
            f"({one!a}, {other!a}): merge the folders if they are one class, or rename one of them"
        )


def _fold_label(label: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", label).casefold()).split())


def check_counts(root: Path, counts: Counter[str]) -> None:
    """Raises SourceError naming the classes that have fewer than three images."""
    few = sorted(label for label, count in counts.items() if count < len(SPLITS))
    if few:
        raise SourceError(
            f"{root}: fewer than three images in: {', '.join(f'{label} ({counts[label]})' for label in few)}; "
            "add some (train, eval and test need one each), or remove the class"
        )


def _list_folders(root: Path, ignored: Counter[str]) -> list[str]:
    names = []
    try:
        found = tree.list_entries(root)
    except OSError as error:
        raise _explain_unlistable(error) from None
    for entry in found:
        if tree.is_ignored(entry.name):
            ignored["hidden_or_junk"] += 1
        elif tree.is_folder(entry):
            names.append(entry.name)
        else:
            ignored["outside_a_class_folder"] += 1
    return names


def _walk(root: Path, start: str) -> tree.Files:
    try:
        return tree.walk(root, start)
    except OSError as error:
        raise _explain_unlistable(error) from None


def _explain_unlistable(error: OSError) -> SourceError:
    # One unreadable folder may hide any number of images: never counted as a single bad file.
    return SourceError(f"{format_path(str(error.filename))}: the folder cannot be listed: {error.strerror}")

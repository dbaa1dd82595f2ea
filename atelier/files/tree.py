"""The files below a folder, as every verb sees them: one walk for reading, for watching and for fingerprints.

Links are followed; a folder that is reached a second time is skipped, so loops end. Hidden files and what operating
systems and storage devices leave in folders of images are skipped.
"""

import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

_JUNK = frozenset(
    {
        "thumbs.db",
        "thumbs.db:encryptable",
        "ehthumbs.db",
        "ehthumbs_vista.db",
        "desktop.ini",
        "picasa.ini",
        "zbthumbnail.info",
        "icon\r",
        "__macosx",
        "@eadir",
        "@recycle",
        "#recycle",
        "$recycle.bin",
        "system volume information",
        "lost+found",
    }
)


@dataclass(frozen=True)
class Files:
    """What a walk found.

    Attributes:
      paths: relative to the root, with `/` between their parts, sorted; bytes that are not UTF-8 are kept as surrogate
        escapes.
      ignored: number of files and folders that were left out, by why.
    """

    paths: list[str]
    ignored: Counter[str]


def walk(root: str | Path, start: str = "", leave_out: str | Path | None = None) -> Files:
    """Lists the files at any depth below `root/start` without opening them.

    Args:
      root: a folder.
      start: a folder below `root`; "" for `root` itself.
      leave_out: a folder that is not entered, under whatever name it is reached.

    Raises:
      OSError: a folder cannot be listed; `filename` names it.
    """
    root = str(root)
    ignored: Counter[str] = Counter()
    output = _read_identity(leave_out) if leave_out and os.path.isdir(leave_out) else None  # noqa: PTH112 (bytes of any kind)
    parts = start.split("/") if start else []
    above = [os.path.join(root, *parts[:depth]) for depth in range(len(parts))]  # noqa: PTH118
    # A link from below to a folder above would bring the files of other folders here.
    seen = {_read_identity(folder) for folder in above}
    paths: list[str] = []
    pending = [start]
    while pending:
        relative = pending.pop()
        folder = os.path.join(root, relative) if relative else root  # noqa: PTH118
        identity = _read_identity(folder)
        if identity == output:
            ignored["output_folder"] += 1
            continue
        if identity in seen:
            ignored["folder_reached_twice"] += 1
            continue
        seen.add(identity)
        below = []
        for entry in list_entries(folder):
            path = f"{relative}/{entry.name}" if relative else entry.name
            if is_ignored(entry.name):
                ignored["hidden_or_junk"] += 1
            elif is_folder(entry):
                below.append(path)
            else:
                paths.append(path)
        pending += reversed(below)
    return Files(sorted(paths), ignored)


def list_entries(folder: str | Path) -> list[os.DirEntry[str]]:
    """What is directly in a folder, by name.

    Raises:
      OSError: the folder cannot be listed.
    """
    with os.scandir(folder) as found:
        return sorted(found, key=lambda entry: entry.name)


def is_ignored(name: str) -> bool:
    """Whether a file or folder of this name is hidden, or left by an operating system."""
    return name.startswith(".") or name.lower() in _JUNK


def is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether it is a folder, or a link to one."""
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _read_identity(folder: str | Path) -> tuple[int, int]:
    status = os.stat(folder)  # noqa: PTH116
    return status.st_dev, status.st_ino

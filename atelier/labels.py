"""`labels.txt`: the names of the classes, one a line, in the order of their ids.

A line ends at a line feed and at nothing else. `str.splitlines` also ends one at characters that a name may hold, such
as U+2028 and U+0085, and would move the ids of all classes behind it.
"""

import codecs
from collections.abc import Iterable
from pathlib import Path

from atelier.layout import LABELS_FILE


def encode_labels(names: Iterable[str]) -> bytes:
    """Returns the content of `labels.txt` for these names in the order of their ids."""
    return "".join(f"{name}\n" for name in names).encode("utf-8")


def write_labels(folder: Path, names: Iterable[str]) -> None:
    """Writes `labels.txt` into a folder."""
    (folder / LABELS_FILE).write_bytes(encode_labels(names))


def parse_labels(content: bytes) -> list[str]:
    r"""Returns the lines of `labels.txt` in their order.

    A byte order mark, the carriage returns of `\r\n` and blank lines at the end are no part of a name.

    Raises:
      UnicodeDecodeError: the content is not UTF-8.
    """
    lines = content.removeprefix(codecs.BOM_UTF8).decode("utf-8").replace("\r\n", "\n").split("\n")
    while len(lines) > 1 and not lines[-1].strip():
        lines.pop()
    return lines


def read_labels(folder: Path) -> list[str]:
    """Reads `labels.txt` from a folder.

    Raises:
      OSError: the file cannot be read.
      UnicodeDecodeError: the file is not UTF-8.
    """
    return parse_labels((folder / LABELS_FILE).read_bytes())

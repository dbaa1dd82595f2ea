"""`labels.txt` beside records of another program: one name on each line, or `id:name` on each line."""

import re
from collections.abc import Sequence
from pathlib import Path

from atelier import labels
from atelier.errors import AtelierError
from pipeline.records.record_scan import format_value

_ID_AND_NAME = re.compile(r"([0-9]{1,9})\s*:\s*(.+)")
_OTHER_ID_AND_NAME = re.compile(r"(?P<first>[0-9]{1,9})[\s,;]+\S.*|.*\S\s*[:,;\t]\s*(?P<last>[0-9]{1,9})\s*")


class LabelError(AtelierError):
    """Labels that cannot be used; the message names split, file and record, and the remedy."""


def read_labels(file: Path) -> tuple[str, ...] | None:
    """The names in `labels.txt`, a line each, or `id:name` a line; None if there is no such file.

    Raises:
      LabelError: it is not UTF-8, a line is empty or there twice, or ids in the lines contradict their order.
    """
    try:
        lines = labels.read_labels(file.parent) if file.is_file() else None
    except UnicodeDecodeError as error:
        raise LabelError(f"{file}: not UTF-8: {error}") from None
    except OSError as error:
        raise LabelError(f"{file}: cannot be read: {error.strerror}") from None
    if lines is None:
        return None
    pairs = [_ID_AND_NAME.fullmatch(line) for line in lines]
    if all(pairs):
        by_id = {int(pair[1]): pair[2] for pair in pairs if pair}
        if sorted(by_id) != list(range(len(lines))):
            raise LabelError(f"{file}: its lines are id:name, but the ids are not 0 to {len(lines) - 1}, each once")
        lines = [by_id[number] for number in range(len(lines))]
    else:
        _check_order(lines, file)
    for number, line in enumerate(lines):
        if not line.strip():
            raise LabelError(f"{file}: line {number + 1} is empty; write a class name a line, line 1 for id 0")
        if lines.index(line) < number:
            raise LabelError(f"{file}: {format_value(line)} is in lines {lines.index(line) + 1} and {number + 1}")
    return tuple(lines)


def _check_order(lines: Sequence[str], file: Path) -> None:
    """Rejects lines such as `10 kiwi` and `kiwi,10` whose numbers run from 0 or 1 on, but not in the lines' order."""
    found = [_OTHER_ID_AND_NAME.fullmatch(line) for line in lines]
    numbers = [int(match["first"] or match["last"]) for match in found if match]
    in_order = sorted(numbers)
    if not len(numbers) == len(lines) > 1 or in_order not in (list(range(len(lines))), list(range(1, len(lines) + 1))):
        return
    for line, number, expected in zip(lines, numbers, in_order, strict=True):
        if number != expected:
            raise LabelError(
                f"{file}: the line {format_value(line)} stands where the number {expected} is expected, and the order "
                "of the lines decides: write each line as id:name, or leave the numbers out"
            )

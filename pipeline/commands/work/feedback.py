"""The work of `atelier feedback`."""

import csv
from collections.abc import Sequence
from pathlib import Path

from serving.ab.answer_log import AnswerLog, AnswerLogError, read_log


def read_truths(file: Path) -> list[tuple[str, str]]:
    """Reads a CSV file of ids and classes.

    Raises:
      AnswerLogError: it cannot be read, or a line has not two fields.
    """
    try:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            rows = list(csv.reader(stream))
    except OSError as error:
        raise AnswerLogError(f"{file}: cannot be read: {error.strerror}") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise AnswerLogError(f"{file}: not CSV in UTF-8: {error}") from None
    found = []
    for number, row in enumerate(rows, start=1):
        if not row:
            continue
        fields = [field.strip() for field in row]  # a space after the comma is no part of a class
        if len(fields) != 2 or not all(fields):
            raise AnswerLogError(f"{file}: line {number}: write the id of a request and its class, as in 4f1c6ad0,cat")
        found.append((fields[0], fields[1]))
    return found


def add_truths(log: Path, truths: Sequence[tuple[str, str]]) -> list[str]:
    """Adds truths to a log; all of them or none.

    Returns:
      The classes of the truths that no answer in the log names: rare ones, or misspelled ones, which count as errors.

    Raises:
      AnswerLogError: an id is not in the log, or the log cannot be used.
    """
    answers, _ = read_log(log)
    known = {answer.id for answer in answers}
    if missing := [id_ for id_, _ in truths if id_ not in known]:
        others = f" ({len(missing) - 1} more are missing)" if len(missing) > 1 else ""
        raise AnswerLogError(f"{log}: no request {missing[0]}{others}; nothing was added")
    writer = AnswerLog(log)
    try:
        writer.add_truths(truths)
    finally:
        writer.close()
    predicted = {answer.label for answer in answers}
    return sorted({truth for _, truth in truths} - predicted)

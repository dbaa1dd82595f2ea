"""An append-only log of changes: one JSON object a line.

A change has two records of one `id`: its intent, before anything is touched, and its outcome. An intent without an
outcome is a change whose process was killed; the next one settles it. Records are numbered, so that a gap is seen.
"""

import contextlib
import fcntl
import getpass
import json
import os
import socket
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from atelier import strict_json
from atelier.errors import AtelierError

DONE, FAILED, UNDONE = "done", "failed", "undone"
"""Outcomes: it is changed; a step failed and all is as before; the process was killed and all is as before."""

_STAMP = ("number", "when", "who", "record")


class Intent(Protocol):
    """A dataclass that says what a change is about to do."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def id(self) -> str:
        """Tells changes apart."""


_IntentT = TypeVar("_IntentT", bound=Intent)


@dataclass(frozen=True)
class Change(Generic[_IntentT]):
    """An intent and what became of it; `outcome` is "" where no outcome is recorded."""

    intent: _IntentT
    who: str
    when: str
    outcome: str = ""
    reason: str = ""
    ended: str = ""


class ChangeLog(Generic[_IntentT]):
    """The log; it is made with the first record."""

    def __init__(self, file: Path, intent: type[_IntentT], subject: str, error: type[AtelierError]) -> None:
        """Takes the path of the log.

        Args:
          file: the log.
          intent: the dataclass that its records hold.
          subject: what is changed, such as "an alias".
          error: is raised where the log cannot be read or written.
        """
        self.file, self._intent, self._subject, self._error = file, intent, subject, error

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Keeps other processes from changes until the block ends. The kernel frees the lock of a killed one.

        Raises:
          AtelierError: another process makes a change, or the folder cannot be written to.
        """
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            lock = os.open(self.file, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        except OSError as error:
            raise self._error(f"{self.file}: cannot be written: {error.strerror}") from None
        try:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise self._error(
                    f"{self.file}: another process is changing {self._subject} now; nothing was changed, try again"
                ) from None
            except OSError as error:
                raise self._error(
                    f"{self.file}: cannot be locked: {error.strerror}; keep it on a file system with locks"
                ) from None
            yield
        finally:
            os.close(lock)

    def begin(self, intent: _IntentT) -> None:
        """Records an intent; it is on the disk when this returns.

        Raises:
          AtelierError: the log cannot be read or written.
        """
        self._append({"record": "intent", **asdict(intent)})

    def end(self, intent: _IntentT, outcome: str, reason: str = "") -> None:
        """Records what became of an intent; it is on the disk when this returns.

        Raises:
          AtelierError: the log cannot be read or written.
        """
        self._append({"record": "outcome", "id": intent.id, "outcome": outcome, "reason": reason})

    def list_changes(self) -> list[Change[_IntentT]]:
        """Returns all changes, oldest first; none where there is no log yet.

        Raises:
          AtelierError: the log cannot be read, a record is missing, or one is not such a record.
        """
        found: dict[str, Change[_IntentT]] = {}
        for record in self._read_records():
            values = {key: value for key, value in record.items() if key not in _STAMP}
            try:
                if record["record"] == "intent":
                    intent = self._intent(**values)
                    found[record["id"]] = Change(intent, str(record["who"]), str(record["when"]))
                elif record["id"] in found:
                    begun = found[record["id"]]
                    found[record["id"]] = Change(
                        begun.intent,
                        begun.who,
                        begun.when,
                        str(record["outcome"]),
                        str(record["reason"]),
                        str(record["when"]),
                    )
            except (KeyError, TypeError):
                raise self._error(
                    f"{self.file}: record {record['number']} is not one of {self._subject}; another version of Atelier "
                    "wrote it, or the file is damaged"
                ) from None
        return list(found.values())

    def find_unfinished(self) -> Change[_IntentT] | None:
        """Returns the change whose process was killed, if the last one is such."""
        changes = self.list_changes()
        return changes[-1] if changes and not changes[-1].outcome else None

    def _read_records(self) -> list[dict[str, Any]]:
        try:
            lines = self.file.read_bytes().split(b"\n")
        except FileNotFoundError:
            return []
        except OSError as error:
            raise self._error(f"{self.file}: cannot be read: {error.strerror}") from None
        records: list[dict[str, Any]] = []
        for number, line in enumerate(lines, start=1):
            record = _parse(line)
            if record is None:
                continue  # a record cut short by a crash; the numbers show whether another one is missing
            if record["number"] != len(records) + 1:
                raise self._error(
                    f"{self.file}: line {number}: record {record['number']} follows record {len(records)}: a record is "
                    "missing; restore the file from a backup"
                )
            records.append(record)
        if not records and any(lines[:-1]):
            raise self._error(f"{self.file}: no line is a record of {self._subject}; restore the file from a backup")
        return records

    def _append(self, record: Mapping[str, Any]) -> None:
        stamp = {"number": len(self._read_records()) + 1, "when": _format_now(), "who": _describe_user()}
        line = strict_json.dumps(stamp | dict(record), ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n"
        try:
            file = os.open(self.file, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
            try:
                size = os.fstat(file).st_size
                if size and os.pread(file, 1, size - 1) != b"\n":
                    line = b"\n" + line
                if os.write(file, line) != len(line):
                    raise OSError(0, "the disk is full")
                os.fsync(file)
            finally:
                os.close(file)
        except OSError as error:
            raise self._error(f"{self.file}: cannot be written: {error.strerror}") from None


def _parse(line: bytes) -> dict[str, Any] | None:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    complete = isinstance(record, dict) and {*_STAMP, "id"} <= record.keys()
    return record if complete else None


def _format_now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _describe_user() -> str:
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"

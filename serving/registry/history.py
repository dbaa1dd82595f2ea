"""The append-only log of every change of an alias: one JSON object a line.

A change has two records of one `id`: its intent, before anything is touched, and its outcome. An intent without an
outcome is a change whose process was killed; the next one settles it. Records are numbered, so that a gap is seen.
"""

import contextlib
import fcntl
import getpass
import json
import os
import socket
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from atelier import strict_json
from serving.registry.errors import RegistryError

PROMOTE, ROLLBACK = "promote", "rollback"
DONE, FAILED, UNDONE = "done", "failed", "undone"
"""Outcomes: the alias moved; a step failed and all is as before; the process was killed and all is as before."""


@dataclass(frozen=True)
class Intent:
    """What a change is about to do.

    Attributes:
      verb: promote or rollback.
      model: its name on the servers.
      alias: that moves.
      from_version: where it pointed; None: nowhere.
      to_version: where it will point.
      aliases: all aliases of the model afterwards.
      why: in the words of who asked.
      numbers: that decided.
      targets: the servers.
      base_path: of the model as the servers see it.
      before: text of models.config; None: there was none.
      after: text of models.config once the alias has moved.
    """

    verb: str
    model: str
    alias: str
    from_version: int | None
    to_version: int
    aliases: Mapping[str, int]
    why: str
    numbers: Mapping[str, Any]
    targets: Sequence[str]
    base_path: str
    before: str | None
    after: str
    id: str = field(default_factory=lambda: uuid.uuid4().hex[:12])


@dataclass(frozen=True)
class Change:
    """An intent and what became of it; `outcome` is "" where no outcome is recorded."""

    intent: Intent
    who: str
    when: str
    outcome: str = ""
    reason: str = ""
    ended: str = ""


class History:
    """The log beside a models.config."""

    def __init__(self, file: Path) -> None:
        """Takes the path of the log; it is made with the first record."""
        self.file = file

    @classmethod
    def beside(cls, models_config: Path) -> "History":
        """Returns the log of a models.config, such as `models.history.jsonl`."""
        return cls(models_config.with_name(f"{models_config.stem}.history.jsonl"))

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keeps other processes from changing an alias until the block ends. The kernel frees the lock of a killed one.

        Raises:
          RegistryError: another process is changing an alias, or the folder cannot be written to.
        """
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            lock = os.open(self.file, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        except OSError as error:
            raise RegistryError(f"{self.file}: cannot be written: {error.strerror}") from None
        try:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise RegistryError(
                    f"{self.file}: another process is changing an alias now; nothing was changed, try again"
                ) from None
            except OSError as error:
                raise RegistryError(
                    f"{self.file}: cannot be locked: {error.strerror}; keep models.config on a file system with locks"
                ) from None
            yield
        finally:
            os.close(lock)

    def begin(self, intent: Intent) -> None:
        """Records an intent; it is on the disk when this returns."""
        self._append({"record": "intent", **asdict(intent)})

    def end(self, intent: Intent, outcome: str, reason: str = "") -> None:
        """Records what became of an intent; it is on the disk when this returns."""
        self._append({"record": "outcome", "id": intent.id, "outcome": outcome, "reason": reason})

    def changes(self) -> list[Change]:
        """Returns all changes, oldest first.

        Raises:
          RegistryError: the log cannot be read, or a record is missing.
        """
        found: dict[str, Change] = {}
        for record in self._records():
            values = {key: value for key, value in record.items() if key not in _STAMP}
            if record["record"] == "intent":
                found[record["id"]] = Change(Intent(**values), record["who"], record["when"])
            elif record["id"] in found:
                begun = found[record["id"]]
                found[record["id"]] = Change(
                    begun.intent, begun.who, begun.when, record["outcome"], record["reason"], record["when"]
                )
        return list(found.values())

    def unfinished(self) -> Change | None:
        """Returns the change whose process was killed, if the last one is such."""
        changes = self.changes()
        return changes[-1] if changes and not changes[-1].outcome else None

    def _records(self) -> list[dict[str, Any]]:
        try:
            lines = self.file.read_bytes().split(b"\n")[:-1]  # what follows the last line break was never completed
        except FileNotFoundError:
            return []
        except OSError as error:
            raise RegistryError(f"{self.file}: cannot be read: {error.strerror}") from None
        records: list[dict[str, Any]] = []
        for number, line in enumerate(lines, start=1):
            record = _parse(line)
            if record is None:
                continue  # a record cut short by a crash; the numbers show whether another one is missing
            if record["number"] != len(records) + 1:
                raise RegistryError(
                    f"{self.file}: line {number}: record {record['number']} follows record {len(records)}: a record is "
                    "missing; restore the file from a backup"
                )
            records.append(record)
        return records

    def _append(self, record: Mapping[str, Any]) -> None:
        stamp = {"number": len(self._records()) + 1, "when": _now(), "who": _who()}
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
            raise RegistryError(f"{self.file}: cannot be written: {error.strerror}") from None


def describe_unfinished(change: Change) -> str:
    """Returns in words that the process of a change was killed."""
    intent = change.intent
    return (
        f"the {intent.verb} of {intent.alias} to version {intent.to_version}, begun {change.when} by {change.who}, was "
        "interrupted"
    )


def list_earlier(changes: Sequence[Change], model: str, alias: str, current: int) -> list[int]:
    """Returns the versions to which an alias can go back, the nearest last: a rollback takes back its promotion.

    Args:
      changes: oldest first.
      model: its name.
      alias: stable or canary.
      current: where the alias points now, whoever moved it.
    """
    stack: list[int] = []
    for change in changes:
        intent = change.intent
        is_move = change.outcome == DONE and intent.from_version != intent.to_version
        if not is_move or (intent.model, intent.alias) != (model, alias):
            continue
        if intent.from_version is not None and stack[-1:] != [intent.from_version]:
            stack.append(intent.from_version)
        if intent.verb == ROLLBACK and intent.to_version in stack:
            del stack[_last_index(stack, intent.to_version) + 1 :]
        elif stack[-1:] != [intent.to_version]:
            stack.append(intent.to_version)
    if current in stack:
        return stack[: _last_index(stack, current)]
    return stack


def _last_index(stack: Sequence[int], version: int) -> int:
    return len(stack) - 1 - stack[::-1].index(version)


_STAMP = ("number", "when", "who", "record")


def _parse(line: bytes) -> dict[str, Any] | None:
    try:
        record = json.loads(line)
    except ValueError:
        return None
    complete = isinstance(record, dict) and {"number", "record", "id", "who", "when"} <= record.keys()
    return record if complete else None


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _who() -> str:
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"

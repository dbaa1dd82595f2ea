"""The log of an A/B test: each answer with its arm, and the truth when it comes in, one JSON object a line.

Images and keys are not in it. Processes of one machine may write to one log at a time.
"""

import fcntl
import json
import os
import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, ConfigDict, Field, TypeAdapter, ValidationError

from atelier import strict_json
from atelier.errors import AtelierError
from serving.ab.image_statistics import FiniteNumber, ImageStatistics


class AnswerLogError(AtelierError):
    """A log cannot be written or read; the message says where."""


def _check_utc(when: str) -> str:
    """Times are compared as text: they must be of one zone."""
    if datetime.fromisoformat(when).utcoffset() != timedelta(0):
        raise ValueError("expected a time in UTC, ISO 8601")
    return when


_Share = Annotated[FiniteNumber, Field(ge=0, le=1)]


@dataclass(frozen=True)
class Answer:
    """One request.

    Attributes:
      id: of the request; its truth comes in under it.
      when: UTC, ISO 8601.
      arm: canary, control or rest.
      version: that answered; None: the request failed.
      label: the predicted class; "": the request failed.
      probability: of that class, 0..1.
      milliseconds: that the call took.
      canary: the canary's share of the traffic then, 0..1.
      control: the control group's.
      error: gRPC's status, such as UNAVAILABLE, or NO_PREDICTION; "": the request was answered.
      image: what the image looks like; None: the request failed, or the log is older than these statistics.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    id: str
    when: Annotated[str, AfterValidator(_check_utc)]
    arm: str
    version: Annotated[int, Field(strict=True, ge=0, lt=2**63)] | None
    label: str
    probability: FiniteNumber
    milliseconds: Annotated[FiniteNumber, Field(ge=0)]
    canary: _Share
    control: _Share
    error: str = ""
    image: ImageStatistics | None = None


@dataclass(frozen=True)
class _Truth:
    """The true class of a request, and when it came in."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    id: str
    truth: str
    when: str = ""


_RECORDS: Mapping[str, TypeAdapter[Any]] = {"answer": TypeAdapter(Answer), "truth": TypeAdapter(_Truth)}


class AnswerLog:
    """Appends to a log; threads may share it."""

    def __init__(self, file: Path) -> None:
        """Opens the log, which is made if it is not there.

        Raises:
          AnswerLogError: it cannot be written to.
        """
        self._file = file
        self._lock = threading.Lock()
        try:
            self._descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        except OSError as error:
            raise AnswerLogError(f"{file}: cannot be written: {error.strerror}") from None

    def add_answer(self, answer: Answer) -> None:
        """Appends an answer.

        Raises:
          AnswerLogError: it cannot be written.
        """
        self._append([{"record": "answer", **asdict(answer)}])

    def add_truths(self, truths: Sequence[tuple[str, str]]) -> None:
        """Appends the true classes of requests, given as (id, class); the last one for an id counts.

        Raises:
          AnswerLogError: it cannot be written.
        """
        when = format_now()
        self._append([{"record": "truth", "id": id_, "when": when, "truth": truth} for id_, truth in truths])

    def close(self) -> None:
        """Closes the file."""
        os.close(self._descriptor)

    def _append(self, records: Sequence[dict[str, Any]]) -> None:
        lines = "".join(strict_json.dumps(record, ensure_ascii=False) + "\n" for record in records)
        data = lines.encode("utf-8", "backslashreplace")
        try:
            with self._lock:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX)
                try:
                    size = os.fstat(self._descriptor).st_size
                    if size and os.pread(self._descriptor, 1, size - 1) != b"\n":
                        data = b"\n" + data  # a process was killed in the middle of its line
                    if os.write(self._descriptor, data) != len(data):
                        raise OSError(0, "the disk is full")
                finally:
                    fcntl.flock(self._descriptor, fcntl.LOCK_UN)
        except OSError as error:
            raise AnswerLogError(f"{self._file}: cannot be written: {error.strerror}") from None


def read_log(file: Path) -> tuple[list[Answer], dict[str, str]]:
    """Returns the answers, oldest first, and the truths by request id. A line that was cut off is passed over.

    Raises:
      AnswerLogError: the file cannot be read, or is no such log, or has a line that is no record of one.
    """
    try:
        lines = file.read_bytes().split(b"\n")
    except OSError as error:
        raise AnswerLogError(f"{file}: cannot be read: {error.strerror}") from None
    answers: list[Answer] = []
    truths: dict[str, str] = {}
    cut_off = 0
    for number, line in enumerate(lines, start=1):
        if not line:
            continue
        try:
            found = parse_line(line)
        except CutOffError:
            cut_off = cut_off or number
            continue
        except ValueError as error:
            raise AnswerLogError(f"{file}: line {number}: {error}; name the log that clients write") from None
        if isinstance(found, Answer):
            answers.append(found)
        else:
            truths[found[0]] = found[1]
    if cut_off and cut_off < len(lines) and not answers and not truths:
        raise AnswerLogError(f"{file}: line {cut_off}: not JSON; name the log that clients write")
    return answers, truths


class CutOffError(ValueError):
    """A line is no JSON: its process was killed in the middle of it, or it is not of such a log."""


def parse_line(line: bytes) -> Answer | tuple[str, str]:
    """Returns the answer of a line, or the id of a request and its true class.

    Raises:
      CutOffError: the line is not JSON.
      ValueError: it is no record of such a log, or a value in it cannot be.
    """
    try:
        values = json.loads(line)
    except (ValueError, RecursionError):
        raise CutOffError("not JSON") from None
    if not isinstance(values, dict):
        raise ValueError("no record of an A/B test: not a JSON object")
    kind = values.pop("record", None)
    if not (isinstance(kind, str) and kind in _RECORDS):
        raise ValueError(f"no record of an A/B test: record is {kind!r:.40}, expected {' or '.join(_RECORDS)}")
    try:
        found = _RECORDS[kind].validate_python(values)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise ValueError(
            f"no record of an A/B test: {where}: {first['msg'].removeprefix('Value error, ').lower()}"
        ) from None
    return (found.id, found.truth) if isinstance(found, _Truth) else found


def format_now() -> str:
    """Returns the time in UTC, ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")

"""The log of an A/B test: each answer with its arm, and the truth when it comes in, one JSON object a line.

Images and keys are not in it. Processes of one machine may write to one log at a time.
"""

import fcntl
import json
import math
import os
import threading
from collections.abc import Mapping, Sequence, Set
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from atelier import strict_json
from atelier.errors import AtelierError
from serving.ab.image_statistics import ImageStatistics


class AnswerLogError(AtelierError):
    """A log cannot be written or read; the message says where."""


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

    id: str
    when: str
    arm: str
    version: int | None
    label: str
    probability: float
    milliseconds: float
    canary: float
    control: float
    error: str = ""
    image: ImageStatistics | None = None


_TEXTS = ("id", "when", "arm", "label")
_NUMBERS = ("probability", "milliseconds", "canary", "control")
_NEEDED = frozenset({*_TEXTS, *_NUMBERS, "version"})
_KNOWN = _NEEDED | {"error", "image"}
_IMAGE = tuple(field.name for field in fields(ImageStatistics))
"""Numbers, and the format at the end."""


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
    try:
        if not isinstance(values, dict):
            raise ValueError("not a JSON object")
        kind = values.pop("record", None)
        if kind == "truth":
            _check_keys(values, {"id", "truth"}, {"id", "truth", "when"})
            return _check_truth(values["id"], values["truth"])
        if kind != "answer":
            raise ValueError(f"record is {kind!r}: expected 'answer' or 'truth'")
        _check_keys(values, _NEEDED, _KNOWN)
        if (image := values.get("image")) is not None:
            if not isinstance(image, dict):
                raise ValueError(f"image is {image!r}: expected a JSON object")
            _check_keys(image, set(_IMAGE), set(_IMAGE), at="image.")
            values["image"] = ImageStatistics(**image)
        return _check_answer(Answer(**values))
    except ValueError as error:
        raise ValueError(f"no record of an A/B test: {error}") from None


def _check_keys(values: Mapping[str, Any], needed: Set[str], known: Set[str], at: str = "") -> None:
    if missing := needed - values.keys():
        raise ValueError(f"{at}{min(missing)} is missing")
    if unknown := values.keys() - known:
        raise ValueError(f"{at}{min(unknown)} is not a key of such a record")


def _check_truth(request: Any, truth: Any) -> tuple[str, str]:
    for key, value in (("id", request), ("truth", truth)):
        if not isinstance(value, str):
            raise ValueError(f"{key} is {value!r}: expected a text")
    return request, truth


def _check_types(record: object, texts: Sequence[str], numbers: Sequence[str], at: str = "") -> None:
    for key in texts:
        if not isinstance(text := getattr(record, key), str):
            raise ValueError(f"{at}{key} is {text!r}: expected a text")
    for key in numbers:
        if not _is_finite(number := getattr(record, key)):
            raise ValueError(f"{at}{key} is {number!r:.40}: expected a number")


def _check_answer(found: Answer) -> Answer:
    _check_types(found, (*_TEXTS, "error"), _NUMBERS)
    if found.image:
        _check_types(found.image, _IMAGE[-1:], _IMAGE[:-1], at="image.")
    if found.milliseconds < 0:
        raise ValueError(f"milliseconds is {found.milliseconds}: expected at least 0")
    for key in ("canary", "control"):
        if not 0 <= getattr(found, key) <= 1:
            raise ValueError(f"{key} is {getattr(found, key)}: expected a share from 0 to 1")
    if not _is_in_utc(found.when):
        raise ValueError(f"when is {found.when!r}: expected a time in UTC, ISO 8601")
    if not (found.version is None or (type(found.version) is int and 0 <= found.version < 2**63)):
        raise ValueError(f"version is {found.version!r:.40}: expected an integer from 0 to 2**63 - 1")
    return found


def _is_finite(number: object) -> bool:
    try:
        return isinstance(number, (int, float)) and math.isfinite(number)
    except OverflowError:  # JSON has no largest number, floats have
        return False


def _is_in_utc(text: str) -> bool:
    """Whether a time is one in UTC: times are compared as text."""
    try:
        return datetime.fromisoformat(text).utcoffset() == timedelta(0)
    except ValueError:
        return False


def format_now() -> str:
    """Returns the time in UTC, ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")

"""Reads one file of records to its end: what its examples say about classes, and which images cannot be decoded.

Without TensorFlow, but for GIFs and images with a color profile: worker processes start quickly, and a data set that is
rejected is rejected at once.
"""

import bisect
import hashlib
from collections import Counter
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from typing import Any

from google.protobuf.message import DecodeError

from atelier import images, tfrecord
from atelier.errors import AtelierError
from atelier.layout import SPLITS
from pipeline.records import graph_decoding

ANY_SPLIT = ""
"""The split of a record whose file decides it."""

_MOST_OF_A_VALUE = 40


@dataclass(frozen=True)
class Keys:
    """Features of an example, as the configuration names them."""

    image: str
    label: str
    text: str
    """Name of the class beside its id; "": the records have none."""


@dataclass
class Labels:
    """Examples of one split with one label and one name."""

    split: str
    label: int | str
    name: str
    """Beside the id; "" if there is none."""
    count: int
    record: int
    """The first of them, counted from 0."""


@dataclass
class Problem:
    """Examples that no run can use, and what is wrong with the first one."""

    detail: str
    record: int
    count: int = 1


@dataclass
class Broken:
    """An image that cannot be decoded."""

    split: str
    record: int
    reason: str
    detail: str


@dataclass
class Scanned:
    """What one file holds."""

    records: int = 0
    labels: list[Labels] = field(default_factory=list)
    """Of the examples whose image is sound."""
    problems: list[Problem] = field(default_factory=list)
    """One of each kind, in the order of their first records."""
    broken: list[Broken] = field(default_factory=list)


def scan(file: Path, keys: Keys, max_pixels: int, buckets: tuple[int, ...]) -> Scanned:
    """Reads a file.

    Args:
      file: TFRecords; compressed with GZIP if the name ends in `.gz`.
      keys: names of the features.
      max_pixels: width x height that an image's header may promise, at most.
      buckets: of the hash that decides the splits; empty if files do.
    """
    found = Scanned()
    labels: dict[tuple[str, int | str, str], Labels] = {}
    problems: dict[str, Problem] = {}

    def note(kind: str, detail: str) -> None:
        if kind in problems:
            problems[kind].count += 1
        else:
            problems[kind] = Problem(detail, found.records)

    try:
        for record in tfrecord.read_file(file):
            try:
                example = tfrecord.parse(record)
                image = _read_image(example, keys)
                label, name = _read_label_and_name(example, keys)
                split = _hash_to_split(example, buckets) if buckets else ANY_SPLIT
                try:
                    images.verify(image, max_pixels)
                    graph_decoding.verify(image)
                except images.RejectedImageError as rejection:
                    found.broken.append(Broken(split, found.records, rejection.reason.value, rejection.detail))
                else:
                    entry = labels.setdefault((split, label, name), Labels(split, label, name, 0, found.records))
                    entry.count += 1
            except DecodeError:
                note("no example", "is no tf.Example")
            except _UnusableError as error:
                note(error.kind, str(error))
            found.records += 1
    except tfrecord.DamagedError as error:
        note("damaged", f"cannot be read: {error}")
    except OSError as error:
        note("unreadable", f"cannot be read: {error.strerror or error}")
    found.labels, found.problems = list(labels.values()), list(problems.values())
    return found


def format_value(value: str | bytes) -> str:
    """Formats a value of a record for a message: quoted, on one line, short; bytes that are not UTF-8 become marks."""
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
    text = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
    return f'"{text[:_MOST_OF_A_VALUE]}{"..." if len(text) > _MOST_OF_A_VALUE else ""}"'


class _UnusableError(AtelierError):
    """An example that no run can use; examples of one `kind` are counted together."""

    def __init__(self, kind: str, detail: str):
        super().__init__(detail)
        self.kind = kind


def _read_image(example: Any, keys: Keys) -> bytes:
    if tfrecord.is_sequence_example(example):
        raise _UnusableError(
            "sequence", "is a tf.SequenceExample; write a tf.Example for each image, with one image and one label"
        )
    kind, values = _read_values(example, keys.image)
    if kind != "bytes_list":
        raise _UnusableError("image kind", f"{keys.image} holds no encoded image (bytes)")
    if len(values) > 1:
        raise _UnusableError("images", f"{keys.image} holds {len(values)} values; one image an example is needed")
    return values[0]


def _read_label_and_name(example: Any, keys: Keys) -> tuple[int | str, str]:
    kind, values = _read_values(example, keys.label)
    if len(values) > 1:
        hint = "; of one-hot labels, write the position of the 1" if kind != "bytes_list" else ""
        raise _UnusableError(
            "labels", f"{keys.label} holds {len(values)} values; one class id or name an example is needed{hint}"
        )
    if kind == "float_list":
        raise _UnusableError("float", f"{keys.label} is a float; write the class id as an int64")
    if kind == "bytes_list":
        return _check_name(keys.label, values[0]), ""
    if values[0] < 0:
        raise _UnusableError(
            "negative", f"{keys.label} is {values[0]}; class ids start from 0: leave out examples without a class"
        )
    return values[0], _read_name(example, keys.text)


def _read_name(example: Any, key: str) -> str:
    features = example.features.feature
    if not key or key not in features or not features[key].WhichOneof("kind"):
        return ""
    kind, values = _read_values(example, key)
    if kind != "bytes_list" or len(values) > 1:
        what = f"holds {len(values)} values" if len(values) > 1 else "is a number"
        raise _UnusableError(
            "names", f"{key} {what}; one class name is needed, or data.text_key='' to leave the feature unread"
        )
    return _check_name(key, values[0]) if values[0] else ""


def _read_values(example: Any, key: str) -> tuple[str, Any]:
    features = example.features.feature
    kind = features[key].WhichOneof("kind") if key in features else None
    values = getattr(features[key], kind).value if kind else []
    if kind is None or not values:
        raise _UnusableError(f"no {key}", f"has no {key}; write it, or leave the example out")
    return kind, values


def _check_name(key: str, value: bytes) -> str:
    try:
        name = value.decode("utf-8")
    except UnicodeDecodeError:
        raise _UnusableError(f"{key} UTF-8", f"{key} is not UTF-8: {format_value(value)}") from None
    if not name.strip():
        raise _UnusableError(f"{key} empty", f"{key} is empty; a class needs a name")
    if "\n" in name or "\r" in name:
        raise _UnusableError(
            f"{key} lines", f"{key} has a line break, and lists of labels have a name a line: {format_value(name)}"
        )
    return name


def _hash_to_split(example: Any, buckets: tuple[int, ...]) -> str:
    """The split that ImportExampleGen's hash gives the example."""
    number = int(hashlib.sha256(example.SerializeToString(deterministic=True)).hexdigest(), 16)
    return SPLITS[bisect.bisect(list(accumulate(buckets)), number % sum(buckets))]


def count_reasons(broken: list[Broken]) -> dict[str, int]:
    """Counts images by reason, most first."""
    return dict(Counter(image.reason for image in broken).most_common())

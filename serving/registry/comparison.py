"""Runs two versions on the same labeled records: where they differ, how often they are right, how long they take.

This loads TensorFlow.
"""

import contextlib
import itertools
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from google.protobuf.message import DecodeError

from atelier import tfrecord
from atelier.errors import AtelierError
from atelier.layout import IMAGE_FILE
from serving.registry.errors import RegistryError
from serving.server.loaded_model import LoadedModel
from serving.server.status import StatusError

SIGNATURE, INPUT = "serving_default", "examples"
_BATCH = 32


@dataclass(frozen=True)
class Difference:
    """A test image for which two versions name different classes.

    Attributes:
      image: its file, or its position among the records.
      truth: its class; "": the record does not say.
      first: class that the first version names.
      second: class that the second version names.
      first_probability: 0..1.
      second_probability: 0..1.
    """

    image: str
    truth: str
    first: str
    second: str
    first_probability: float
    second_probability: float


@dataclass(frozen=True)
class Measured:
    """One version on the records.

    Attributes:
      version: its number.
      right: images whose class it names.
      labeled: images whose class the records hold.
      latency_ms: median and 99th percentile of one image at a time, in this process.
    """

    version: int
    right: int
    labeled: int
    latency_ms: tuple[float, float]


@dataclass(frozen=True)
class Comparison:
    """Two versions on the same records."""

    images: int
    measured: tuple[Measured, Measured]
    differences: Sequence[Difference]


@dataclass(frozen=True)
class _Answers:
    labels: list[str]
    probabilities: list[float]
    latency_ms: tuple[float, float]


def compare(
    first: Path, second: Path, records: Path, *, label_key: str, class_names: Sequence[str], timed: int = 50
) -> Comparison:
    """Compares two versions.

    Args:
      first: a version folder.
      second: a version folder.
      records: folder of TFRecord files with raw tf.Examples.
      label_key: feature with the class: its id, or its name.
      class_names: of the records' ids.
      timed: images whose latency is measured one by one.

    Raises:
      RegistryError: there are no records, they cannot be read, or a version cannot answer.
    """
    known = [
        (_name_record(example, number), _find_truth(example, label_key, class_names))
        for number, example in enumerate(read_records(records), start=1)
    ]
    if not known:
        raise RegistryError(f"{records}: no records to compare on")
    truths = [truth for _, truth in known]
    answers = [_run(folder, records, timed) for folder in (first, second)]
    measured = [
        Measured(
            int(folder.name),
            right=sum(label == truth for label, truth in zip(found.labels, truths, strict=True)),
            labeled=sum(bool(truth) for truth in truths),
            latency_ms=found.latency_ms,
        )
        for folder, found in zip((first, second), answers, strict=True)
    ]
    rows = zip(known, *(zip(found.labels, found.probabilities, strict=True) for found in answers), strict=True)
    differences = [
        Difference(image, truth, one, other, one_probability, other_probability)
        for (image, truth), (one, one_probability), (other, other_probability) in rows
        if one != other
    ]
    return Comparison(len(known), (measured[0], measured[1]), differences)


def read_records(folder: Path) -> Iterator[bytes]:
    """Yields the records of all files, checked to be tf.Examples. They are read again each time, not kept in memory.

    Raises:
      RegistryError: a file cannot be read, or holds something else.
    """
    try:
        files = sorted(each for each in folder.iterdir() if each.is_file() and not each.name.startswith("."))
    except OSError as error:
        raise RegistryError(f"{folder}: the folder of records cannot be listed: {error.strerror}") from None
    for file in files:
        try:
            for record in tfrecord.read_file(file):
                tfrecord.parse(record)
                yield record
        except (AtelierError, DecodeError, OSError) as error:
            raise RegistryError(f"{file}: {error}") from None


def _run(folder: Path, records: Path, timed: int) -> _Answers:
    try:
        with contextlib.closing(LoadedModel(folder)) as model:
            return _ask(model, folder, records, timed)
    except StatusError as error:
        raise RegistryError(f"{folder}: {error}") from None


def _ask(model: LoadedModel, folder: Path, records: Path, timed: int) -> _Answers:
    signature = model.signatures.get(SIGNATURE)
    if signature is None or set(signature.inputs) != {INPUT} or not {"label", "probabilities"} <= {*signature.outputs}:
        raise RegistryError(f"{folder}: its signature {SIGNATURE} is not that of a classifier of this pipeline")
    names: list[str] = []
    probabilities: list[float] = []
    examples = read_records(records)
    while batch := list(itertools.islice(examples, _BATCH)):
        found = model.run(SIGNATURE, {INPUT: np.array(batch, object)})
        names += [label.decode("utf-8", "replace") for label in found["label"]]
        probabilities += found["probabilities"].max(axis=1).astype(float).tolist()
    if unusable := [number for number, each in enumerate(probabilities, start=1) if not math.isfinite(each)]:
        raise RegistryError(f"{folder}: the model gives NaN or infinity for record {unusable[0]}")
    milliseconds = []
    for example in itertools.islice(read_records(records), timed):
        started = time.perf_counter()
        model.run(SIGNATURE, {INPUT: np.array([example], object)})
        milliseconds.append(1e3 * (time.perf_counter() - started))
    median, slow = np.percentile(milliseconds[1:] or milliseconds, [50, 99])
    return _Answers(names, probabilities, (float(median), float(slow)))


def _find_truth(example: bytes, label_key: str, names: Sequence[str]) -> str:
    """Returns the name of a record's class; "" where the record has none."""
    features = tfrecord.parse(example).features.feature
    if label_key not in features:
        return ""
    feature = features[label_key]
    if feature.bytes_list.value:
        return str(feature.bytes_list.value[0].decode("utf-8", "replace"))
    if not feature.int64_list.value:
        return ""
    number = feature.int64_list.value[0]
    return names[number] if 0 <= number < len(names) else str(number)


def _name_record(example: bytes, number: int) -> str:
    found = tfrecord.read_first_bytes(example, IMAGE_FILE)
    return found.decode("utf-8", "replace") if found else f"record {number}"

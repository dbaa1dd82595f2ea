"""Finds out what a folder of TFRecords holds: its splits, its schema and its kind of labels."""

import contextlib
import fnmatch
import itertools
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from google.protobuf.message import DecodeError

from atelier import labels, tfrecord
from atelier.errors import AtelierError
from atelier.files import tree
from atelier.layout import (
    EVAL,
    INGEST_REPORT_FILE,
    LABELS_FILE,
    QUARANTINE_FOLDER,
    SCHEMA_FILE,
    SPLIT_ALIASES,
    SPLIT_BY_ALIAS,
    SPLITS,
    TEST,
    TRAIN,
)
from pipeline.config import config
from pipeline.records import labels_file

SIDECARS = (SCHEMA_FILE, LABELS_FILE)
"""Files beside the records that a run depends on."""
_COMPRESSED = (".gz", ".zz", ".z", ".zlib", ".bz2", ".zst", ".xz")
"""All but the first are found only to be rejected: the pipeline does not read them."""
_ENDINGS = (
    *(ending + gz for ending in (".tfrecord", ".tfrecords", ".record") for gz in ("", ".gz")),
    "-?????-of-?????",
    "-?????-of-?????*",
)


class DataError(AtelierError):
    """Data that cannot be used; the message names the folder, the file or the key, and the remedy."""


@dataclass(frozen=True)
class Dataset:
    """A folder of TFRecords, ready for ImportExampleGen."""

    folder: Path
    splits: Mapping[str, str]
    """File pattern by split; one entry alone is split by a hash."""
    schema: Path | None
    class_names: tuple[str, ...] | None
    """By class id; None if no file beside the records lists them, and the records were not read."""
    text_labels: bool
    store_size: int | None = None
    """Longer side in pixels to which `atelier ingest` scaled the images down; None for records of another maker."""
    warnings: tuple[str, ...] = ()


def find(folder: Path, settings: config.Data) -> Dataset:
    """Describes the TFRecords in `folder`.

    Raises:
      DataError: there are none, a split is missing, or the records lack the configured keys.
    """
    named = {str(name): pattern for name, pattern in settings.splits.items()}
    splits, warnings = (named, ()) if named else _guess_splits(folder)
    if len(splits) > 1:
        for name in SPLITS:
            if name not in splits:
                raise DataError(f"{folder}: no {name} split; name its files, as in data.splits.{name}: '{name}*'")
        _check_apart(folder, splits)
    files = [file for name, pattern in splits.items() for file in list_split_files(folder, name, pattern)]
    return Dataset(
        folder=folder,
        splits=splits,
        schema=folder / SCHEMA_FILE if (folder / SCHEMA_FILE).is_file() else None,
        class_names=_read_class_names(folder),
        text_labels=_has_text_labels(files, settings),
        store_size=_read_store_size(folder),
        warnings=warnings,
    )


def _check_apart(folder: Path, splits: Mapping[str, str]) -> None:
    """Rejects files that are trained on and measured on."""
    trained = set(list_split_files(folder, TRAIN, splits[TRAIN]))
    for split in (EVAL, TEST):
        if both := sorted(trained & set(list_split_files(folder, split, splits[split]))):
            raise DataError(
                f"{both[0]}: matches data.splits.{TRAIN} ({splits[TRAIN]}) and data.splits.{split} ({splits[split]}): "
                "the model would be measured on what it was trained on; give patterns that share no file"
            )


def list_record_files(folder: Path) -> list[Path]:
    """Lists the TFRecord files in `folder` and in its split folders, sorted; none if it is no folder."""
    children = sorted(folder.glob("*"))
    folders = [folder, *(child for child in children if child.is_dir() and child.name.lower() in SPLIT_BY_ALIAS)]
    return [path for parent in folders for path in _list_records_in(parent)]


def _list_records_in(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.glob("*")) if _is_visible(path) and _is_record(path)]


def _count_elsewhere(folder: Path, known: list[Path]) -> tuple[str, ...]:
    """Warns of TFRecord files below `folder` that are neither in it nor in its split folders."""
    try:
        found = tree.walk(folder).paths
    except OSError as error:
        raise DataError(f"{error.filename}: the folder cannot be listed: {error.strerror}") from None
    others = [
        path
        for path in (folder / name for name in found if not name.startswith(f"{QUARANTINE_FOLDER}/"))
        if path not in known and _is_record(path)
    ]
    if not others:
        return ()
    more = f" and {len(others) - 1} more TFRecord files are" if len(others) > 1 else " is"
    return (f"{others[0]}{more} in no split folder, so not used; name them in data.splits",)


def _is_visible(path: Path) -> bool:
    return path.is_file() and not tree.is_ignored(path.name)


def _is_record(path: Path) -> bool:
    name = path.stem if path.suffix in _COMPRESSED else path.name
    return name.endswith((".tfrecord", ".tfrecords", ".record")) or (
        fnmatch.fnmatch(name, "*-?????-of-?????*") and not name.endswith((".json", ".txt"))
    )


def _guess_splits(folder: Path) -> tuple[dict[str, str], tuple[str, ...]]:
    """Split patterns by the names of folders or files, and what the user should know about them."""
    records = list_record_files(folder)
    if not records:
        raise DataError(
            f"{folder}: no TFRecord files (*.tfrecord, *.tfrecords, *.record, *-00000-of-00001) found in it or in its "
            "split folders; files that lie elsewhere below it are named by data.splits"
        )
    in_folders = any(path.parent != folder for path in records)
    # The second form is that of TensorFlow Datasets: mnist-train.tfrecord-00000-of-00001.
    forms = ("{}/*",) if in_folders else ("{}*", "*-{}.*", "*[-_.]{}[-_.]*")
    splits: dict[str, str] = {}
    used: set[Path] = set()
    for split, names in SPLIT_ALIASES.items():
        for name, form in itertools.product(names, forms):
            spellings = [form.format(spelling) for spelling in (name, name.title(), name.upper())]
            found = next((pattern for pattern in spellings if _select(folder, records, pattern)), "")
            selected = set(_select(folder, records, found)) if found else set()
            if selected and not selected & used:  # train-test.tfrecord is one set, not two
                splits[split] = found
                used |= selected
                break
    if len(splits) < 2:
        if not in_folders:
            _check_one_set(folder, records)
        splits = {"all": next(iter(splits.values())) if in_folders else "*"}
        used = set(_select(folder, records, splits["all"]))
    warnings = [f"{path}: in no split, so not used; name it in data.splits" for path in records if path not in used]
    warnings += _count_elsewhere(folder, records)
    splits = {split: _narrow_pattern(folder, records, pattern) for split, pattern in splits.items()}
    if TEST not in splits and EVAL in splits:
        splits[TEST] = splits[EVAL]
        warnings.append(f"{folder} has no test split: the gates measure on the split that early stopping looks at")
    elif EVAL not in splits and TEST in splits:
        splits[EVAL] = splits[TEST]
        warnings.append(f"{folder} has no eval split: early stopping looks at the split that the gates measure on")
    return splits, tuple(warnings)


def _check_one_set(folder: Path, records: list[Path]) -> None:
    """Rejects files that a hash would mix although their names tell splits, in a form that is not known."""
    named: dict[frozenset[str], Path] = {}
    for path in records:
        words = re.split("[^a-z]+", re.sub("(?<=[a-z])(?=[A-Z])", "-", path.name).lower())
        if splits := frozenset(SPLIT_BY_ALIAS[word] for word in words if word in SPLIT_BY_ALIAS):
            named.setdefault(splits, path)
    if len(named) > 1:
        one, other, *_ = named.values()
        raise DataError(
            f"{folder}: {one.name} and {other.name} seem to be different splits: name the files of each, as in "
            '--set \'data.splits={train: "PATTERN", eval: "PATTERN", test: "PATTERN"}\', or those of all as in '
            "--set 'data.splits={train: \"*\"}', and a hash splits them"
        )


def _select(folder: Path, records: list[Path], pattern: str) -> list[Path]:
    return [path for path in records if fnmatch.fnmatch(str(path.relative_to(folder)), pattern)]


def _narrow_pattern(folder: Path, records: list[Path], pattern: str) -> str:
    """Narrows `pattern` by the files' ending where it holds for other files too, which would be read as records."""
    wanted = _select(folder, records, pattern)
    for ending in ("", *_ENDINGS):
        if sorted(path for path in folder.glob(pattern + ending) if _is_visible(path)) == wanted:
            return pattern + ending
    raise DataError(
        f"{folder}: no one pattern tells the TFRecords of {pattern} from the other files there; "
        "move those away, or name the TFRecords, as in data.splits.train: 'train*.tfrecord'"
    )


def list_split_files(folder: Path, split: str, pattern: str) -> list[Path]:
    """Lists the files of a split, sorted.

    Raises:
      DataError: there is none, or the pattern is not a pattern of files below `folder`.
    """
    try:
        files = sorted(path for path in folder.glob(pattern) if _is_visible(path))
    except (ValueError, NotImplementedError) as error:
        raise DataError(f"data.splits.{split}: {pattern!r} is not a pattern of files below {folder}: {error}") from None
    if not files:
        raise DataError(f"{folder}: no file matches data.splits.{split}: {pattern}")
    return files


def _read_class_names(folder: Path) -> tuple[str, ...] | None:
    """Reads `labels.txt`: names of folders, which may look like `id:name`, if `atelier ingest` wrote it."""
    file = folder / LABELS_FILE
    ingested = _read_report(folder).get("classes")
    with contextlib.suppress(OSError):
        if isinstance(ingested, list) and file.read_bytes() == labels.encode_labels(ingested):
            return tuple(ingested)
    try:
        return labels_file.read_labels(file)
    except labels_file.LabelError as error:
        raise DataError(str(error)) from None


def _read_store_size(folder: Path) -> int | None:
    """Reads `ingest.store_size`; None if the records were not ingested."""
    settings = _read_report(folder).get("settings")
    store_size = settings.get("store_size") if isinstance(settings, dict) else None
    return store_size if isinstance(store_size, int) else None


def _read_report(folder: Path) -> dict[str, Any]:
    """Reads the report of the ingest; empty if there is none, or another tool wrote it."""
    try:
        report = json.loads((folder / INGEST_REPORT_FILE).read_bytes())
    except (OSError, ValueError):
        return {}
    return report if isinstance(report, dict) else {}


def _has_text_labels(files: list[Path], settings: config.Data) -> bool:
    """Looks at the first record; True if its label is a string."""
    for file in files:
        example = _read_first_example(file)
        if example is not None:  # an empty shard says nothing
            return _has_text_label(file, example, settings)
    raise DataError(f"{files[0]}: holds no records")


def _read_first_example(file: Path) -> Any:
    try:
        record = next(tfrecord.read_file(file), None)
        return None if record is None else tfrecord.parse(record)
    except tfrecord.CompressionError as error:
        raise DataError(f"{file}: {error}") from None
    except (tfrecord.DamagedError, DecodeError):
        raise DataError(f"{file}: not a TFRecord file of tf.Examples, or cut off") from None
    except OSError as error:
        raise DataError(f"{file}: cannot be read: {error.strerror or error}") from None


def _has_text_label(file: Path, example: Any, settings: config.Data) -> bool:
    if tfrecord.is_sequence_example(example):
        raise DataError(
            f"{file}: its records are tf.SequenceExamples; write a tf.Example for each image, "
            "with one image and one label"
        )
    features = example.features.feature
    for setting, key in (("image_key", settings.image_key), ("label_key", settings.label_key)):
        if key not in features:
            there = ", ".join(sorted(features)) or "nothing"
            raise DataError(f"{file}: its records have no {key}; set data.{setting} to one of: {there}")
    if not features[settings.image_key].bytes_list.value:
        raise DataError(f"{file}: {settings.image_key} holds no encoded image (bytes)")
    label = features[settings.label_key]
    if not (label.int64_list.value or label.bytes_list.value):
        raise DataError(f"{file}: {settings.label_key} holds neither a class id (int64) nor a class name (bytes)")
    return bool(label.bytes_list.value)

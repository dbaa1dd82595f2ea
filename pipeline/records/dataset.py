"""Finds out what a folder of TFRecords holds: its splits, its schema and its kind of labels."""

import fnmatch
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from google.protobuf.message import DecodeError

from atelier import tfrecord
from atelier.errors import AtelierError
from atelier.files import tree
from atelier.layout import (
    EVAL,
    INGEST_REPORT_FILE,
    LABELS_FILE,
    SCHEMA_FILE,
    SPLIT_ALIASES,
    SPLIT_BY_ALIAS,
    SPLITS,
    TEST,
)
from pipeline.config import config
from pipeline.records import class_names

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
    files = [file for name, pattern in splits.items() for file in list_split_files(folder, name, pattern)]
    return Dataset(
        folder=folder,
        splits=splits,
        schema=folder / SCHEMA_FILE if (folder / SCHEMA_FILE).is_file() else None,
        class_names=_read_class_names(folder / LABELS_FILE),
        text_labels=_has_text_labels(files, settings),
        store_size=_read_store_size(folder / INGEST_REPORT_FILE),
        warnings=warnings,
    )


def list_record_files(folder: Path) -> list[Path]:
    """Lists the TFRecord files in `folder` and in its split folders, sorted; none if it is no folder."""
    children = sorted(folder.glob("*"))
    folders = [folder, *(child for child in children if child.is_dir() and child.name in SPLIT_BY_ALIAS)]
    return [path for parent in folders for path in sorted(parent.glob("*")) if _is_visible(path) and _is_record(path)]


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
        raise DataError(f"{folder}: no TFRecord files (*.tfrecord, *.tfrecords, *.record, *-00000-of-00001) found")
    in_folders = any(path.parent != folder for path in records)
    # The last form is that of TensorFlow Datasets: mnist-train.tfrecord-00000-of-00001.
    forms = ("{}/*",) if in_folders else ("{}*", "*-{}.*")
    splits = {}
    for split, names in SPLIT_ALIASES.items():
        patterns = (form.format(name) for name in names for form in forms)
        found = next((pattern for pattern in patterns if _select(folder, records, pattern)), None)
        if found:
            splits[split] = found
    if len(splits) < 2:
        splits = {"all": next(iter(splits.values())) if in_folders else "*"}
    used = {path for pattern in splits.values() for path in _select(folder, records, pattern)}
    warnings = [f"{path}: in no split, so not used; name it in data.splits" for path in records if path not in used]
    splits = {split: _narrow_pattern(folder, records, pattern) for split, pattern in splits.items()}
    if TEST not in splits and EVAL in splits:
        splits[TEST] = splits[EVAL]
        warnings.append(f"{folder} has no test split: the gates measure on the split that early stopping looks at")
    elif EVAL not in splits and TEST in splits:
        splits[EVAL] = splits[TEST]
        warnings.append(f"{folder} has no eval split: early stopping looks at the split that the gates measure on")
    return splits, tuple(warnings)


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


def _read_class_names(file: Path) -> tuple[str, ...] | None:
    try:
        return class_names.read_labels(file)
    except class_names.LabelError as error:
        raise DataError(str(error)) from None


def _read_store_size(report: Path) -> int | None:
    """Reads `ingest.store_size` from the report of the ingest; None if there is none, or another tool wrote it."""
    try:
        store_size = json.loads(report.read_bytes())["settings"]["store_size"]
    except (OSError, ValueError, TypeError, KeyError):
        return None
    return store_size if isinstance(store_size, int) else None


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

"""Checks records that another maker wrote, before anything trains on them.

One pass over all of them finds what the pipeline would fail on later, or get wrong without a word. What it found is
kept in the output folder, so that a rerun on the same files reads none of them. A record with an image that cannot be
decoded is set aside: copies of the files concerned, without those records, take the files' place.
"""

import contextlib
import dataclasses
import functools
import json
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import PIL
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2

from atelier.files.replacing import replace_text
from atelier.layout import SPLITS
from pipeline import fingerprint
from pipeline.beam import worker_pool
from pipeline.beam.pipeline_options import build_run_options, count_processes
from pipeline.config.config import Config, Data
from pipeline.records import class_names, record_scan, set_aside
from pipeline.records.class_names import Classes, Declared, Seen
from pipeline.records.dataset import DataError, Dataset, list_split_files
from pipeline.records.labels_file import LabelError
from pipeline.records.record_scan import ANY_SPLIT, Keys, Scanned
from pipeline.terminal.failures import shorten

Progress = Callable[[int, int], None]

FACTS_FILE = "record_check.json"
"""In the output folder: what the pass over the records found."""

_ONE_PROCESS = 64 * 2**20
"""Bytes of records that one process reads sooner than others start."""
_ENTRIES = {"labels": record_scan.Labels, "problems": record_scan.Problem, "broken": record_scan.Broken}


@dataclass(frozen=True)
class Checked:
    """Records that can be trained on."""

    data: Dataset
    """With the names of the classes, and without the records that were set aside."""
    quarantine: dict[str, Any]
    """How many were set aside and why, and the list of them, as `run.json` has it."""


def check(
    data: Dataset,
    config: Config,
    output: Path,
    hashes: fingerprint.FileHashes,
    progress: Progress | None = None,
) -> Checked:
    """Reads all records of all splits.

    Args:
      data: the records as they were found.
      config: `data` names the features; `ingest.max_pixels` and `ingest.max_bad_fraction` hold for records, too.
      output: of the run; what was found, the quarantine and the filtered records are kept there.
      hashes: tells whether the files are those of an earlier pass.
      progress: called with (files read, files in all).

    Raises:
      DataError: the records cannot be used; the message names split, file and record, and the remedy.
    """
    files = _list_files(data)
    identity = fingerprint.fingerprint_files({str(file.relative_to(data.folder)): file for file in files}, hashes)
    found = _scan_all(data, config, output, list(files), identity, progress)
    records = sum(one.records for one in found.values())
    broken = {file: one.broken for file, one in found.items() if one.broken}
    _check_problems(files, found)
    quarantine = set_aside.set_aside(data, config, output, files, broken, records, identity)
    try:
        classes = _resolve_classes(data, config.data, files, found)
    except LabelError as error:
        raise DataError(str(error)) from None
    warnings = [*data.warnings, *classes.warnings]
    changes: dict[str, Any] = {"class_names": classes.names}
    if broken:
        reasons = ", ".join(f"{reason} {count}" for reason, count in quarantine["reasons"].items())
        place = output / set_aside.QUARANTINE
        warnings.append(f"{quarantine['count']} of {records} records are set aside ({reasons}): {place}")
        changes["folder"] = output / set_aside.FOLDER
    return Checked(dataclasses.replace(data, warnings=tuple(warnings), **changes), quarantine)


def _list_files(data: Dataset) -> dict[Path, list[str]]:
    """Every file, and the splits that it belongs to; a single set belongs to whatever the hash says."""
    files: dict[Path, list[str]] = {}
    order = sorted(data.splits, key=lambda split: (*SPLITS, split).index(split))
    for split in order:
        for file in list_split_files(data.folder, split, data.splits[split]):
            files.setdefault(file, []).append(split if len(data.splits) > 1 else ANY_SPLIT)
    return files


def _scan_all(
    data: Dataset, config: Config, output: Path, files: Sequence[Path], identity: str, progress: Progress | None
) -> dict[Path, Scanned]:
    """What the files hold: as it was kept, or read now."""
    keys = Keys(config.data.image_key, config.data.label_key, config.data.text_key)
    buckets = () if len(data.splits) > 1 else config.data.split_buckets
    code = fingerprint.fingerprint_code("pipeline.records.record_scan")
    settings = [dataclasses.astuple(keys), config.ingest.max_pixels, buckets, code, PIL.__version__]
    key = set_aside.compute_digest([identity, settings])
    kept = output / FACTS_FILE
    if facts := _read_kept(kept, key):
        return dict(zip(files, facts, strict=True))
    scan = functools.partial(record_scan.scan, keys=keys, max_pixels=config.ingest.max_pixels, buckets=tuple(buckets))
    found = {}
    size = sum(file.stat().st_size for file in files)
    processes = min(count_processes(build_run_options(config)) or 1, len(files)) if size > _ONE_PROCESS else 1
    with contextlib.closing(_scan_each(scan, files, processes)) as each:
        for number, (file, scanned) in enumerate(zip(files, each, strict=True)):
            found[file] = scanned
            if progress:
                progress(number + 1, len(files))
    replace_text(kept, json.dumps({"key": key, "files": _make_json(found)}))
    return found


def _scan_each(
    scan: Callable[[Path], Scanned], files: Sequence[Path], processes: int
) -> Generator[Scanned, None, None]:
    if processes == 1:
        yield from map(scan, files)
        return
    try:
        with contextlib.closing(worker_pool.map_in_processes(scan, files, processes)) as scanned:
            yield from scanned
    except worker_pool.WorkerEndedError as error:
        raise DataError(str(error)) from None


def _read_kept(file: Path, key: str) -> list[Scanned]:
    """What an earlier pass over the same files found; empty if there was none."""
    try:
        kept = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    if not isinstance(kept, dict) or kept.get("key") != key:
        return []
    return [
        Scanned(
            records=one["records"],
            **{name: [entry(**values) for values in one[name]] for name, entry in _ENTRIES.items()},
        )
        for one in kept["files"]
    ]


def _make_json(found: Mapping[Path, Scanned]) -> list[dict[str, Any]]:
    return [dataclasses.asdict(one) for one in found.values()]


def _check_problems(files: Mapping[Path, list[str]], found: Mapping[Path, Scanned]) -> None:
    """Names the first record that no run can use, and says how many there are."""
    problems = [(file, problem) for file, scanned in found.items() for problem in scanned.problems]
    if not problems:
        return
    file, first = problems[0]
    split = f"{files[file][0]}: " if files[file][0] else ""
    others = sum(problem.count for _, problem in problems) - 1
    more = f" ({others} more record{'s' if others > 1 else ''} cannot be used either)" if others else ""
    raise DataError(f"{split}{_format_place(file, first.record)}: {first.detail}{more}")


def _format_place(file: Path, record: int) -> str:
    return f"{file}, record {record} (counted from 0)"


def _resolve_classes(
    data: Dataset, settings: Data, files: Mapping[Path, list[str]], found: Mapping[Path, Scanned]
) -> Classes:
    """The names of the classes."""
    seen = [
        Seen(entry.split or split, entry.label, entry.name, entry.count, _format_place(file, entry.record))
        for file, scanned in found.items()
        for entry in scanned.labels
        for split in files[file]
    ]
    there = {entry.split for entry in seen}
    for split in SPLITS:
        if split not in there:
            raise DataError(f"{data.folder}: no usable records in the {split} split: add some")
    declared = _read_declared(data, settings)
    return class_names.resolve(seen, declared, data.folder, settings.label_key, settings.text_key)


def _read_declared(data: Dataset, settings: Data) -> Declared:
    """What `labels.txt` and the schema say about the classes."""
    schema = schema_pb2.Schema()
    if data.schema:
        try:
            text_format.Parse(data.schema.read_text(encoding="utf-8"), schema)
        except (OSError, ValueError, text_format.ParseError) as error:
            raise DataError(f"{data.schema}: no schema: {shorten(str(error))}") from None
    features = {feature.name: feature for feature in schema.feature}
    names: Iterable[str] = ()
    if settings.text_key in features:
        feature = features[settings.text_key]
        shared = {domain.name: domain.value for domain in schema.string_domain}
        names = shared.get(feature.domain, ()) if feature.HasField("domain") else feature.string_domain.value
    label = features.get(settings.label_key)
    highest = label.int_domain.max if label and label.HasField("int_domain") else 0
    return Declared(data.class_names, tuple(names), highest + 1 if highest > 0 else None)

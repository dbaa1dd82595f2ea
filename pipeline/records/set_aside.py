"""Records with an image that cannot be decoded: kept in a quarantine, and left out of copies of their files."""

import gzip
import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, cast

from atelier import tfrecord
from atelier.files.replacing import replace_text
from atelier.layout import QUARANTINE_FILE, QUARANTINE_FOLDER, QUARANTINE_RECORDS_FILE
from pipeline.config.config import Config
from pipeline.ingest.units import MAX_QUARANTINED_BYTES
from pipeline.records import record_scan
from pipeline.records.dataset import SIDECARS, DataError, Dataset
from pipeline.records.record_scan import Broken
from pipeline.terminal.failures import shorten

FOLDER = "filtered_records"
"""In the output folder: the records without those that were set aside, and their quarantine."""
QUARANTINE = f"{FOLDER}/{QUARANTINE_FOLDER}/{QUARANTINE_FILE}"


def set_aside(
    data: Dataset,
    config: Config,
    output: Path,
    files: Mapping[Path, list[str]],
    broken: Mapping[Path, list[Broken]],
    records: int,
    identity: str,
) -> dict[str, Any]:
    """Writes the quarantine and, within the budget, the records without what is in it.

    Args:
      data: the records.
      config: tells the budget and the key of the image.
      output: of the run.
      files: of all records, with their splits.
      broken: by file, the records whose image cannot be decoded.
      records: how many there are in all.
      identity: fingerprint of the files.

    Returns:
      How many were set aside and why, as `run.json` has it.

    Raises:
      DataError: there are more than the budget allows.
    """
    everything = [image for images in broken.values() for image in images]
    reasons = record_scan.count_reasons(everything)
    summary: dict[str, Any] = {
        "count": len(everything),
        "fraction": len(everything) / max(records, 1),
        "reasons": reasons,
    }
    folder, key_file = output / FOLDER, output / f"{FOLDER}.key"
    if not everything:
        if key_file.is_file():
            shutil.rmtree(folder, ignore_errors=True)
            key_file.unlink()
        return summary
    summary["records"] = QUARANTINE
    within = len(everything) <= config.ingest.max_bad_fraction * records
    rows = [_make_rows(data, *item) for item in broken.items()]
    key = compute_digest([within, identity, str(data.folder.resolve()), rows])
    if not (within and folder.is_dir() and key_file.is_file() and key_file.read_text(encoding="utf-8") == key):
        if folder.exists() and not key_file.is_file():
            raise DataError(
                f"{folder}: filtered records are written there, and no earlier run wrote this folder; move it away"
            )
        replace_text(key_file, "unfinished")
        partial = output / f".{FOLDER}.partial"
        for old in (partial, folder):
            shutil.rmtree(old, ignore_errors=True)
        _write_quarantine(data, broken, partial / QUARANTINE_FOLDER, config.data.image_key, keep_images=within)
        if within:
            _write_filtered(data, files, broken, partial)
        partial.rename(folder)
        replace_text(key_file, key)
    if not within:
        raise DataError(_explain_budget(data, broken, summary, records, config.ingest.max_bad_fraction, folder))
    return summary


def compute_digest(value: Any) -> str:
    """Returns 16 hex digits that change with a value of JSON."""
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()[:16]


def _make_rows(data: Dataset, file: Path, images: list[Broken]) -> list[dict[str, Any]]:
    """Lines of `quarantine.jsonl`."""
    name = str(file.relative_to(data.folder))
    return [
        {"path": name, "record": image.record, "reason": image.reason, "detail": shorten(image.detail)}
        for image in images
    ]


def _write_quarantine(
    data: Dataset, broken: Mapping[Path, list[Broken]], folder: Path, image_key: str, *, keep_images: bool
) -> None:
    """Writes `quarantine.jsonl` and, if the images are kept, `quarantine.tfrecord`, as the ingest does."""
    folder.mkdir(parents=True)
    with (folder / QUARANTINE_FILE).open("w", encoding="utf-8") as lines:
        for file, images in broken.items():
            lines.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in _make_rows(data, file, images))
    if not keep_images:
        return
    with (folder / QUARANTINE_RECORDS_FILE).open("wb") as target:
        for file, images in broken.items():
            rows = {image.record: row for image, row in zip(images, _make_rows(data, file, images), strict=True)}
            for number, record in enumerate(tfrecord.read_file(file)):
                if number in rows:
                    encoded = tfrecord.read_first_bytes(record, image_key) or b""
                    kept = {"encoded": encoded} if len(encoded) <= MAX_QUARANTINED_BYTES else {}
                    tfrecord.write(target, tfrecord.serialize_example({**rows[number], **kept}))


def _write_filtered(
    data: Dataset, files: Mapping[Path, list[str]], broken: Mapping[Path, list[Broken]], folder: Path
) -> None:
    """Copies the files that hold broken images, without them, and links the others, and the files beside them."""
    for name in SIDECARS:
        if (data.folder / name).is_file():
            (folder / name).symlink_to((data.folder / name).resolve())
    for file in files:
        target = folder / file.relative_to(data.folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        if file not in broken:
            target.symlink_to(file.resolve())
            continue
        left_out = {image.record for image in broken[file]}
        with _open(target) as stream:
            for number, record in enumerate(tfrecord.read_file(file)):
                if number not in left_out:
                    tfrecord.write(stream, record)


def _open(file: Path) -> BinaryIO:
    return cast(BinaryIO, gzip.open(file, "wb")) if tfrecord.is_gzip(file) else file.open("wb")


def _explain_budget(
    data: Dataset,
    broken: Mapping[Path, list[Broken]],
    summary: Mapping[str, Any],
    records: int,
    allowed: float,
    folder: Path,
) -> str:
    example: dict[str, str] = {}
    for file, images in broken.items():
        for row in _make_rows(data, file, images):
            example.setdefault(row["reason"], f"{row['path']}, record {row['record']}")
    reasons: Counter[str] = Counter(summary["reasons"])
    width = max(map(len, reasons))
    table = [f"  {'reason':{width}}  records  for example"]
    table += [f"  {reason:{width}}  {count:7d}  {example[reason]}" for reason, count in reasons.most_common()]
    return (
        f"{data.folder}: {summary['count']} of {records} records ({summary['fraction']:.1%}) hold an image that cannot "
        f"be decoded, more than ingest.max_bad_fraction ({allowed:.1%}) allows: "
        "repair or remove them, or raise that fraction\n"
        + "\n".join(table)
        + f"\nThe records, counted from 0, and their reasons: {folder}/{QUARANTINE_FOLDER}/{QUARANTINE_FILE}"
    )

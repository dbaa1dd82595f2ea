"""The work that Beam's workers do: prepare a unit of files, and write a shard of records.

Elements are names of small JSON plans; images go from file to file and never through Beam, the driver's memory or a
shuffle. A worker decodes two images at a time, and keeps a few more as they are stored. Every output is written under
another name first and then renamed, so that a runner may repeat or double an element. The plans' folder, the source and
the output must be visible to all workers (a local or a shared disk).
"""

import contextlib
import dataclasses
import json
import os
import shutil
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent import futures
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from atelier import images, layout, tfrecord
from atelier.files.image_files import check_name, read_image_file
from atelier.files.path_text import format_path
from pipeline.ingest import sources
from pipeline.ingest.splits import Row

MAX_QUARANTINED_BYTES = 16 * 2**20
"""Larger files are named in quarantine, but not kept there."""

_T = TypeVar("_T")
_R = TypeVar("_R")
_MAX_UNITS = 256
_MIN_FILES = 32
_THREADS = 2
_AHEAD = 8
"""Images in work or done before their turn. With two, a thread waits for the other's whenever sizes differ."""


@dataclasses.dataclass(frozen=True)
class Bad:
    """A file in quarantine."""

    path: str
    reason: str
    detail: str


def plan_units(files: list[sources.File], folder: Path) -> list[str]:
    """Writes the plans of the units, in the files' order, and returns their paths.

    A unit is what is lost when a worker dies and the smallest step of progress: at most 256 units, of 32 files or more.
    """
    size = max(_MIN_FILES, -(-len(files) // _MAX_UNITS))
    paths = []
    for number, start in enumerate(range(0, len(files), size)):
        path = folder / f"unit-{number:05d}.plan.json"
        rows = [(file.path, file.label, file.split) for file in files[start : start + size]]
        path.write_text(json.dumps({"unit": number, "files": rows}))
        paths.append(str(path))
    return paths


def prepare(plan_path: str, root: str, label_ids: Mapping[str, int], store_size: int, max_pixels: int) -> None:
    """Reads, checks, converts and stores the files of one unit.

    Writes beside the plan: `.tfrecord` with the usable images, `.bad.tfrecord` with the others, and last
    `.done.json`, which says where each record lies.
    """
    unit = json.loads(Path(plan_path).read_text())
    limit = layout.compute_max_file_bytes(max_pixels)
    rows: list[tuple[Any, ...]] = []
    bad: list[tuple[str, str, str]] = []
    bytes_read = offset = 0
    with (
        _replace(_build_path_beside(plan_path, "tfrecord")) as good,
        _replace(_build_path_beside(plan_path, "bad.tfrecord")) as rejects,
    ):
        normalized = _run_two_at_a_time(
            lambda file: _normalize(Path(root, file[0]), file[0], limit, store_size, max_pixels), unit["files"]
        )
        for (path, label, split), (size, image) in zip(unit["files"], normalized, strict=True):
            bytes_read += size
            if isinstance(image, _Rejected):
                bad.append((path, image.reason, image.detail))
                tfrecord.write(rejects, image.record)
                continue
            length = tfrecord.write(good, _make_record(path, label, label_ids[label], image))
            thumbnail = image.thumbnail.hex()
            # A `Row` in the order of its fields.
            row = (path, label, split, image.digest, thumbnail, image.format, unit["unit"], offset, length)
            rows.append((*row, image.remarks))
            offset += length
    with _replace(_build_path_beside(plan_path, "done.json")) as done:
        done.write(json.dumps({"rows": rows, "bad": bad, "bytes_read": bytes_read}).encode("ascii"))


@dataclasses.dataclass(frozen=True)
class _Rejected:
    reason: str
    detail: str
    record: bytes
    """For the quarantine."""


def _normalize(
    file: Path, name: str, limit: int, store_size: int, max_pixels: int
) -> tuple[int, images.StoredImage | _Rejected]:
    """Bytes read, and what came of them."""
    encoded = None
    try:
        encoded = read_image_file(file, limit)
        check_name(name)
        return len(encoded), images.normalize(encoded, store_size, max_pixels)
    except images.RejectedImageError as rejection:
        # Not the error itself: its trace holds the whole file, and waits for its turn.
        return len(encoded or b""), _Rejected(
            rejection.reason.value, rejection.detail, _make_quarantine_record(name, rejection, encoded)
        )


def _run_two_at_a_time(function: Callable[[_T], _R], items: Iterable[_T]) -> Iterator[_R]:
    """`map`, in order, on two threads: decoding, hashing and scaling run outside of Python's lock."""
    with futures.ThreadPoolExecutor(_THREADS) as pool:
        waiting: deque[futures.Future[_R]] = deque()
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) == _AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def count_finished(folder: Path) -> int:
    """Counts the units that are done."""
    return sum(1 for _ in folder.glob("*.done.json"))


def collect_results(plan_paths: list[str]) -> tuple[list[Row], list[Bad], int]:
    """Collects what the units found: usable images, bad files, and the bytes read."""
    rows: list[Row] = []
    bad: list[Bad] = []
    bytes_read = 0
    for path in plan_paths:
        done = json.loads(_build_path_beside(path, "done.json").read_text())
        rows += [Row(*row) for row in done["rows"]]
        bad += [Bad(*item) for item in done["bad"]]
        bytes_read += done["bytes_read"]
    return rows, bad, bytes_read


def write_quarantine(plan_paths: list[str], bad: list[Bad], folder: Path) -> None:
    """Writes `quarantine.tfrecord` and, for people, `quarantine.jsonl`, one file a line."""
    folder.mkdir()
    with (folder / layout.QUARANTINE_RECORDS_FILE).open("wb") as target:
        for path in plan_paths:
            with _build_path_beside(path, "bad.tfrecord").open("rb") as source:
                shutil.copyfileobj(source, target)
    lines = [
        json.dumps({"path": format_path(b.path), "reason": b.reason, "detail": b.detail}, ensure_ascii=False)
        for b in bad
    ]
    (folder / layout.QUARANTINE_FILE).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def plan_shards(splits: Mapping[str, list[Row]], shards: int, plan_paths: list[str], target: Path) -> list[str]:
    """Writes the plans of the shards, with the records dealt out in their order, and returns the plans' paths."""
    folder = Path(plan_paths[0]).parent
    paths = []
    for split, rows in splits.items():
        (target / split).mkdir()
        for shard in range(shards):
            name = f"images-{shard:05d}-of-{shards:05d}.tfrecord"
            path = folder / f"{split}-{shard:05d}.shard.json"
            frames = [(row.unit, row.offset, row.length) for row in rows[shard::shards]]
            path.write_text(json.dumps({"target": str(target / split / name), "units": plan_paths, "frames": frames}))
            paths.append(str(path))
    return paths


def write_shard(plan_path: str) -> None:
    """Copies the records of one shard, framing and all, out of the units' files."""
    plan = json.loads(Path(plan_path).read_text())
    with contextlib.ExitStack() as stack, _replace(Path(plan["target"])) as target:
        units: dict[int, BinaryIO] = {}
        for unit, offset, length in plan["frames"]:
            if unit not in units:
                units[unit] = stack.enter_context(_build_path_beside(plan["units"][unit], "tfrecord").open("rb"))
            units[unit].seek(offset)
            target.write(units[unit].read(length))


def _make_record(path: str, label: str, label_id: int, image: images.StoredImage) -> bytes:
    return tfrecord.serialize_example(
        {
            layout.ENCODED_IMAGE: image.encoded,
            layout.CLASS_ID: label_id,
            layout.CLASS_NAME: label,
            layout.IMAGE_FORMAT: image.format,
            layout.IMAGE_FILE: path,
            layout.IMAGE_HEIGHT: image.height,
            layout.IMAGE_WIDTH: image.width,
        }
    )


def _make_quarantine_record(path: str, rejection: images.RejectedImageError, encoded: bytes | None) -> bytes:
    values: dict[str, bytes | str | int] = {
        "path": os.fsencode(path),
        "reason": rejection.reason.value,
        "detail": rejection.detail,
    }
    if encoded is not None and len(encoded) <= MAX_QUARANTINED_BYTES:
        values["encoded"] = encoded
    return tfrecord.serialize_example(values)


def _build_path_beside(plan_path: str, ending: str) -> Path:
    return Path(plan_path.removesuffix("plan.json") + ending)


@contextlib.contextmanager
def _replace(path: Path) -> Iterator[BinaryIO]:
    """Opens a file that appears under its name when it is complete."""
    unfinished = path.with_name(f"{path.name}.{uuid.uuid4().hex}")
    with unfinished.open("wb") as stream:
        yield stream
    unfinished.replace(path)

"""From labelled pictures to sharded TFRecords, on any Beam runner.

Its workers prepare the files, unit by unit. Then the driver decides the splits from some 300 bytes a picture, and
the prepared records are copied into shards: by the driver where they are few, else by the workers. The data set
is built beside its final place and renamed at the end: what stands there is always whole, and the same input gives the
same bytes.
"""

import contextlib
import functools
import json
import re
import shutil
import time
import uuid
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import PIL

from atelier import builtin_names, labels
from atelier.errors import AtelierError
from atelier.files import image_files, leftovers
from atelier.images import Remark
from atelier.layout import (
    INGEST_REPORT_FILE,
    LABELS_FILE,
    QUARANTINE_FILE,
    QUARANTINE_FOLDER,
    SCHEMA_FILE,
    SPLITS,
    TRAIN,
)
from atelier.watching import watching
from pipeline.beam import worker_pool
from pipeline.beam.beam_args import process_count
from pipeline.config import config
from pipeline.ingest import builtin_sources, sources, splits, units
from pipeline.records import records

Progress = Callable[[int, int], None]

_DRIVER_COPIES = 2**30
"""Bytes of records that the driver copies itself, at most: seconds, as any runner's start takes seconds or minutes."""

REMARKS = {
    Remark.PROFILE_CONVERTED.value: "converted from their color profile to sRGB",
    Remark.PROFILE_IGNORED.value: "with a broken or unsuitable color profile, taken as sRGB",
    Remark.DEPTH_SCALED.value: "of 16 bits that use fewer, scaled to the bits in use",
    Remark.ALPHA_IGNORED.value: "with a BMP alpha of 0 everywhere, taken as opaque",
    Remark.ONE_COLOR.value: "of nearly one color",
}
"""What the summary says of images, by what `ingest_report.json` calls it."""

_OUTPUTS = frozenset({*SPLITS, LABELS_FILE, SCHEMA_FILE, QUARANTINE_FOLDER, INGEST_REPORT_FILE})


class IngestError(AtelierError):
    """Pictures that cannot be made into a data set; the message says why and what to do."""


def ingest(
    source: str,
    output: Path,
    settings: config.Ingest,
    beam_args: Sequence[str],
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Makes a data set out of labelled pictures.

    Writes into `output`: `train/`, `eval/` and `test/` with `images-*.tfrecord`, `labels.txt` (line number = id),
    `schema.pbtxt`, `quarantine/` and `ingest_report.json`. An earlier ingest that stands there is replaced once the new
    one is complete. If the new one fails, the earlier one stays, and quarantine and report of the failure are put into
    `<output>.failed/`.

    Args:
      source: `mnist`, `photos`, or a folder: see `atelier.builtin_names` for what is which, and `sources` for the
        layouts of a folder.
      output: a folder that does not exist, is empty, or holds an earlier ingest.
      settings: the `ingest` section of the configuration.
      beam_args: the Beam runner and its options; all workers must see `source` and `output`.
      progress: called with (files done, files in all) from another thread.

    Returns:
      The report, as written to `ingest_report.json`.

    Raises:
      AmbiguousError: `source` is `mnist` or `photos`, and a folder of that name is there.
      IngestError: the source is missing or is no data set (one class, a class with fewer than three different pictures,
        no picture in a split), the output cannot be used, or more than `max_bad_fraction` of the files are bad; then
        the message holds the table of reasons.
    """
    output = Path(output).resolve()
    builtin_names.check(source, builtin_sources.BUILTIN, "the source")
    try:
        _check_output(source, output)
        with _staging(output) as staging:
            report, problem = _build(source, staging, settings, beam_args, progress)
            report_text = json.dumps(report, indent=2, ensure_ascii=False) + "\n"
            (staging / INGEST_REPORT_FILE).write_text(report_text, encoding="utf-8")
            failed = _failed(output)
            shutil.rmtree(failed, ignore_errors=True)
            if problem:
                staging.rename(failed)
                more = f"The files and their reasons: {failed}/{QUARANTINE_FOLDER}/{QUARANTINE_FILE}"
                raise IngestError(
                    f"{problem}\n{more if report['quarantine']['count'] else f'More: {failed}/{INGEST_REPORT_FILE}'}"
                )
            _publish(staging, output)
    except sources.SourceError as error:
        raise IngestError(str(error)) from None
    return report


def summary(report: dict[str, Any], output: Path) -> str:
    """Says in a few lines what an ingest found; what needs a look is named only where there is any."""
    counts = ", ".join(f"{split} {found['pictures']}" for split, found in report["records"].items())
    remarks = [
        (report["quarantine"]["count"], "files in quarantine"),
        (sum(report["ignored"].values()), "files and folders ignored"),
        (report["duplicates"]["pictures"], "copies of other pictures, kept beside them"),
        (report["conflicting_labels"]["pictures"], "pictures in more than one class"),
        (report["leakage"]["dropped"], "pictures dropped that another split has, too"),
        (report["near_duplicates"]["pictures"], "near-duplicates of pictures in another split"),
        *((found["images"], _named(remark, found)) for remark, found in report["remarks"].items()),
    ]
    lines = [f"{output}: {counts} pictures of {len(report['classes'])} classes in {report['seconds']:.1f} s"]
    lines += [f"  {count} {remark}" for count, remark in remarks if count]
    lines += [
        f"  {split} has no {', '.join(missing)}" for split, missing in report["classes_missing"].items() if missing
    ]
    return "\n".join([*lines, f"  more: {output / INGEST_REPORT_FILE}"])


def _named(remark: str, found: dict[str, Any]) -> str:
    more = ", ..." if found["images"] > 1 else ""
    noun = "image" if found["images"] == 1 else "images"
    return f"{noun} {REMARKS[remark]}: {found['examples'][0]}{more}"


def _remarks(rows: Sequence[splits.Row]) -> dict[str, dict[str, Any]]:
    """What the report says of each remark that some image has: how many images, and the first of them by name."""
    paths: dict[str, list[str]] = defaultdict(list)
    for row in rows:
        for remark in row.remarks:
            paths[remark].append(image_files.format_path(row.path))
    return {
        remark: {"images": len(paths[remark]), "examples": sorted(paths[remark])[: splits.EXAMPLES]}
        for remark in REMARKS
        if paths[remark]
    }


def _build(
    source: str, staging: Path, settings: config.Ingest, beam_args: Sequence[str], progress: Progress | None
) -> tuple[dict[str, Any], str]:
    """Builds the data set in `staging`; returns the report, and why it must not be used ("" if it may)."""
    started = time.monotonic()
    work = staging / "work"
    work.mkdir()
    root = Path(source)
    if word := builtin_names.resolve(source, builtin_sources.BUILTIN):
        root = work / "source"
        builtin_sources.write(word, root)
    listing = sources.scan(root)
    label_ids = {label: number for number, label in enumerate(listing.labels)}

    plans = units.plan(listing.files, work)
    preparing = time.monotonic()
    prepare = functools.partial(
        units.prepare,
        root=str(root.absolute()),
        label_ids=label_ids,
        store_size=settings.store_size,
        max_pixels=settings.max_pixels,
    )
    files = len(listing.files)
    if progress:
        # The units' files tell it on every runner, in every process.
        with watching(lambda: progress(units.finished(work) * files // len(plans), files), pause=0.2):
            _run(prepare, plans, beam_args)
        progress(files, files)
    else:
        _run(prepare, plans, beam_args)
    prepared = time.monotonic() - preparing

    rows, bad, bytes_read = units.results(plans)
    units.write_quarantine(plans, bad, staging / QUARANTINE_FOLDER)
    by_split, twice = splits.assign(rows, listing.given, settings.eval_fraction, settings.test_fraction)
    kept = [row for members in by_split.values() for row in members]
    problem = (
        _over_budget(bad, len(listing.files), settings.max_bad_fraction)
        or _doubled_class(source, rows)
        or _thin_classes(source, by_split, listing.labels)
    )
    if not problem:
        shards = units.plan_shards(by_split, settings.shards, plans, staging)
        if sum(row.length for row in kept) <= _DRIVER_COPIES:
            for shard in shards:
                units.write_shard(shard)
        else:
            _run(units.write_shard, shards, beam_args)
        labels.write_labels(staging, listing.labels)
        (staging / SCHEMA_FILE).write_text(records.schema(listing.labels), encoding="utf-8")
    shutil.rmtree(work)
    return {
        "source": image_files.format_path(source),
        "settings": settings.model_dump(),
        "problem": problem,
        "classes": listing.labels,
        "files": len(listing.files),
        "ignored": listing.ignored,
        "given_splits": list(listing.given),
        "records": {
            split: {"pictures": len(members), "classes": _by_class(members, listing.labels)}
            for split, members in by_split.items()
        },
        "classes_missing": {
            split: [label for label, count in _by_class(members, listing.labels).items() if not count]
            for split, members in by_split.items()
        },
        "formats": dict(sorted(Counter(row.format for row in kept).items())),
        "quarantine": {
            "count": len(bad),
            "fraction": len(bad) / len(listing.files),
            "reasons": dict(Counter(b.reason for b in bad).most_common()),
        },
        **twice,
        "remarks": _remarks(kept),
        "bytes": {"read": bytes_read, "stored": sum(row.length for row in kept)},
        "seconds": round(time.monotonic() - started, 3),
        "pictures_per_second": round(len(listing.files) / prepared, 1),
        "versions": {"pillow": PIL.__version__},
    }, problem


def _over_budget(bad: list[units.Bad], files: int, max_bad_fraction: float) -> str:
    if len(bad) <= max_bad_fraction * files:
        return ""
    counts = Counter(b.reason for b in bad)
    example = {b.reason: image_files.format_path(b.path) for b in reversed(bad)}
    width = max(len(reason) for reason in counts)
    table = [f"  {'reason':{width}}  files  for example"]
    table += [f"  {reason:{width}}  {count:5d}  {example[reason]}" for reason, count in counts.most_common()]
    return (
        f"{len(bad)} of {files} files ({len(bad) / files:.1%}) cannot be used, more than ingest.max_bad_fraction "
        f"({max_bad_fraction:.1%}) allows: mend or remove them, or raise it\n" + "\n".join(table)
    )


def _doubled_class(source: str, rows: list[splits.Row]) -> str:
    """Names a class whose images are all in other classes, too: nothing tells it from them."""
    classes: dict[str, set[str]] = defaultdict(set)
    images: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        classes[row.digest].add(row.label)
        images[row.label].add(row.digest)
    for label, digests in sorted(images.items()):
        if len(digests) >= len(SPLITS) and all(len(classes[digest]) > 1 for digest in digests):
            shared = Counter(other for digest in digests for other in classes[digest] - {label})
            others = ", ".join(f"{other} ({count})" for other, count in sorted(shared.items()))
            return (
                f"{source}: all {len(digests)} images of {label} are in other classes, too: {others}; "
                "merge the classes, or remove the images from the wrong one"
            )
    return ""


def _thin_classes(source: str, by_split: dict[str, list[splits.Row]], classes: list[str]) -> str:
    different = {(row.digest, row.label) for members in by_split.values() for row in members}
    counts = Counter(dict.fromkeys(classes, 0))
    counts.update(label for _, label in different)
    try:
        sources.check_counts(Path(source), counts)
    except sources.SourceError as error:
        return str(error)
    untrained = [label for label, count in _by_class(by_split[TRAIN], classes).items() if not count]
    if untrained:
        return (
            f"{source}: no picture of {', '.join(untrained)} is in the train split, which content decides: add pictures"
        )
    empty = [split for split, members in by_split.items() if not members]
    if empty:
        return (
            f"{source}: no picture is in {' and '.join(empty)}: add pictures, "
            f"raise {' and '.join(f'ingest.{split}_fraction' for split in empty)}, or give the split as a folder"
        )
    return ""


def _by_class(rows: list[splits.Row], classes: list[str]) -> dict[str, int]:
    counts = Counter(row.label for row in rows)
    return {label: counts[label] for label in classes}


def _run(work: Callable[[str], None], plans: list[str], beam_args: Sequence[str]) -> None:
    """Calls `work` with each of `plans`, on whatever runner `beam_args` name.

    On this machine alone it does without Beam, which takes seconds of each process to start.
    """
    count = process_count(beam_args)
    if count == 1:
        for plan in plans:
            work(plan)
    elif count:
        try:
            deque(worker_pool.map_in_processes(work, plans, count), maxlen=0)
        except worker_pool.WorkerEndedError as error:
            raise IngestError(str(error)) from None
    else:
        # Imported here: a source that is refused is refused at once.
        import apache_beam as beam
        from apache_beam.options.pipeline_options import PipelineOptions

        with beam.Pipeline(options=PipelineOptions(list(beam_args))) as pipeline:
            pipeline | beam.Create(plans) | beam.Map(work)  # Create spreads its elements over the workers


def _check_output(source: str, output: Path) -> None:
    if output.is_mount():
        raise IngestError(f"{output}: is a mount point and can't be replaced as a whole; give a folder inside it")
    if not builtin_names.resolve(source, builtin_sources.BUILTIN):
        root = Path(source).resolve()
        if root == output or root in output.parents or output in root.parents:
            raise IngestError(f"{output}: source and output lie in one another; give an output outside {root}")
    _check_replaceable(output)
    _check_replaceable(_failed(output))


def _failed(output: Path) -> Path:
    return output.with_name(f"{output.name}.failed")


def _check_replaceable(folder: Path) -> None:
    """Refuses to replace anything but an ingest's own output."""
    try:
        names = {path.name for path in folder.iterdir()}
    except FileNotFoundError:
        return
    except OSError as error:
        raise IngestError(f"{folder}: cannot be used as the output folder: {error.strerror}") from None
    if names and not (INGEST_REPORT_FILE in names and names <= _OUTPUTS):
        stranger = min(names - _OUTPUTS or names)
        raise IngestError(f"{folder}: holds {stranger}, which is no earlier ingest; give a new or an empty folder")


@contextlib.contextmanager
def _staging(output: Path) -> Iterator[Path]:
    """A folder beside `output`, gone at the end unless it was renamed."""
    _sweep(output)
    with contextlib.ExitStack() as stack:
        try:
            folder = output.with_name(f".{output.name}.ingesting-{uuid.uuid4().hex[:8]}")
            staging = stack.enter_context(leftovers.owned(folder))
        except OSError as error:
            raise IngestError(f"{output}: cannot be written: {error.strerror}") from None
        yield staging


def _sweep(output: Path) -> None:
    """Removes what ended processes left beside `output`; what one of them was about to replace goes back."""

    def put_back(earlier: Path) -> None:
        if output.exists():
            shutil.rmtree(earlier)
        else:
            earlier.rename(output)

    ours = re.compile(rf"\.{re.escape(output.name)}\.ingesting-[0-9a-f]{{8}}(\.earlier)?")
    found = [path for path in _neighbours(output) if ours.fullmatch(path.name)]
    leftovers.sweep([path for path in found if path.name.endswith(".earlier")], put_back)
    leftovers.sweep(path for path in found if not path.name.endswith(".earlier"))


def _neighbours(output: Path) -> list[Path]:
    try:
        return list(output.parent.iterdir())
    except OSError:  # the folder is not there yet, or cannot be used, which is told where it is written to
        return []


def _publish(staging: Path, output: Path) -> None:
    if not output.exists():
        staging.rename(output)
        return
    earlier = staging.with_name(f"{staging.name}.earlier")
    with leftovers.locked(output):
        output.rename(earlier)
        staging.rename(output)
        shutil.rmtree(earlier, ignore_errors=True)

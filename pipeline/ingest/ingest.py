"""From labeled images to sharded TFRecords, on any Beam runner.

Its workers prepare the files, unit by unit. Then the driver decides the splits from some 300 bytes an image, and
the prepared records are copied into shards: by the driver where they are few, else by the workers. The data set
is built beside its final place and renamed at the end: what stands there is always whole, and the same input gives the
same bytes.
"""

import functools
import json
import shutil
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import PIL

from atelier import builtin_names, labels
from atelier.files import path_text
from atelier.layout import (
    INGEST_REPORT_FILE,
    QUARANTINE_FILE,
    QUARANTINE_FOLDER,
    SCHEMA_FILE,
)
from atelier.processes.watching import call_repeatedly
from pipeline.beam import worker_pool
from pipeline.beam.pipeline_options import count_processes
from pipeline.config import config
from pipeline.ingest import builtin_sources, ingest_report, output_folder, problems, sources, splits, units
from pipeline.ingest.errors import IngestError, SourceError
from pipeline.records import records

Progress = Callable[[int, int], None]

_DRIVER_COPIES = 2**30
"""Bytes of records that the driver copies itself, at most: seconds, as any runner's start takes seconds or minutes."""


def ingest(
    source: str,
    output: Path,
    settings: config.Ingest,
    beam_args: Sequence[str],
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Makes a data set out of labeled images.

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
      IngestError: the source is missing or is no data set (one class, a class with fewer than three different images,
        no image in a split), the output cannot be used, or more than `max_bad_fraction` of the files are bad; then
        the message holds the table of reasons.
    """
    if path_text.is_url(output):
        raise IngestError(f"{output} is a URL: an ingest writes into a folder of this machine: give one, and copy it")
    output = path_text.resolve_folder(output)
    builtin_names.check(source, builtin_sources.NAMES, "the source")
    try:
        output_folder.check(source, output)
        with output_folder.stage(output) as staging:
            report, problem = _build(source, staging, settings, beam_args, progress)
            report_text = json.dumps(report, indent=2, ensure_ascii=False) + "\n"
            (staging / INGEST_REPORT_FILE).write_text(report_text, encoding="utf-8")
            failed = output_folder.name_failed(output)
            shutil.rmtree(failed, ignore_errors=True)
            if problem:
                staging.rename(failed)
                more = f"The files and their reasons: {failed}/{QUARANTINE_FOLDER}/{QUARANTINE_FILE}"
                raise IngestError(
                    f"{problem}\n{more if report['quarantine']['count'] else f'More: {failed}/{INGEST_REPORT_FILE}'}"
                )
            output_folder.publish(staging, output)
    except SourceError as error:
        raise IngestError(str(error)) from None
    return report


def _build(
    source: str, staging: Path, settings: config.Ingest, beam_args: Sequence[str], progress: Progress | None
) -> tuple[dict[str, Any], str]:
    """Builds the data set in `staging`; returns the report, and why it must not be used ("" if it may)."""
    started = time.monotonic()
    work = staging / "work"
    work.mkdir()
    root = Path(source)
    if word := builtin_names.resolve(source, builtin_sources.NAMES):
        root = work / "source"
        builtin_sources.write_source(word, root)
    listing = sources.scan(root)
    label_ids = {label: number for number, label in enumerate(listing.labels)}

    plans = units.plan_units(listing.files, work)
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
        with call_repeatedly(lambda: progress(units.count_finished(work) * files // len(plans), files), pause=0.2):
            _run(prepare, plans, beam_args)
        progress(files, files)
    else:
        _run(prepare, plans, beam_args)
    prepared = time.monotonic() - preparing

    rows, bad, bytes_read = units.collect_results(plans)
    units.write_quarantine(plans, bad, staging / QUARANTINE_FOLDER)
    by_split, findings = splits.assign(rows, listing.given, settings.eval_fraction, settings.test_fraction)
    problem = problems.find_problem(source, listing, rows, by_split, bad, settings.max_bad_fraction)
    if not problem:
        shards = units.plan_shards(by_split, settings.shards, plans, staging)
        if sum(row.length for members in by_split.values() for row in members) <= _DRIVER_COPIES:
            for shard in shards:
                units.write_shard(shard)
        else:
            _run(units.write_shard, shards, beam_args)
        labels.write_labels(staging, listing.labels)
        (staging / SCHEMA_FILE).write_text(records.build_schema(listing.labels), encoding="utf-8")
    shutil.rmtree(work)
    report = ingest_report.build(
        listing, by_split, findings, bad, source=source, settings=settings, problem=problem, bytes_read=bytes_read
    )
    report["seconds"] = round(time.monotonic() - started, 3)
    report["pictures_per_second"] = round(len(listing.files) / prepared, 1)
    report["versions"] = {"pillow": PIL.__version__}
    return report, problem


def _run(work: Callable[[str], None], plans: list[str], beam_args: Sequence[str]) -> None:
    """Calls `work` with each of `plans`, on whatever runner `beam_args` name.

    On this machine alone it does without Beam, which takes seconds of each process to start.
    """
    count = count_processes(beam_args)
    if count == 1:
        for plan in plans:
            work(plan)
    elif count:
        try:
            deque(worker_pool.map_in_processes(work, plans, count), maxlen=0)
        except worker_pool.WorkerEndedError as error:
            raise IngestError(str(error)) from None
    else:
        # Imported here: a source that is rejected is rejected at once.
        import apache_beam as beam
        from apache_beam.options.pipeline_options import PipelineOptions

        with beam.Pipeline(options=PipelineOptions(list(beam_args))) as pipeline:
            pipeline | beam.Create(plans) | beam.Map(work)  # Create spreads its elements over the workers

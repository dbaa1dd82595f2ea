"""Renders every content in every style: what a person asks of the engine at once, on any Beam runner.

Two Beam pipelines of small elements (a third writes the TFRecords): one prepares the contents, one renders the units
that are not there yet. Both are `Create | Reshuffle | ParDo` and leave files: neither images nor results pass through
Beam, so that every runner can run them and a killed batch goes on where it was.
"""

import contextlib
import os
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import DirectOptions, PipelineOptions
from PIL import Image

from atelier import storage
from atelier.files import leftovers
from atelier.layout import MAX_PIXELS
from components.style_catalog.style import Style, load_pixels, resolve_settings
from components.style_renderer.batch import (
    contents,
    engines,
    manifest,
    outcome,
    progress,
    publishing,
    rendering,
    units,
)
from components.style_renderer.batch.outcome import Report
from components.style_renderer.engine.settings import EngineName, Settings
from components.style_renderer.gallery import gallery, previews

FOLDERS = frozenset({rendering.PICTURES, manifest.SIDECARS, "originals", "styles", previews.THUMBNAILS})
"""What a batch makes in its folder, beside hidden folders."""

_WORK = ".work"


@dataclass(frozen=True)
class Request:
    """What is asked of a batch, beside contents and styles.

    Attributes:
      overrides: fields of `Settings`, over the styles' presets.
      size: longer side of the renderings in pixels; 0: the settings' own.
      strengths: each style is rendered at each of them; empty: at its settings' own.
      picture_format: of the rendered images.
      max_contents: the first ones of the sources; 0 for all.
      max_bad_fraction: share of the units that may be missing at the end before the batch fails.
      max_pixels: of a content.
      code: fingerprint of the engine: images that another one has made are rendered again.
      engine: its name.
      stylizer: file or URL of the stylizer that `fast` and `refined` use; "" for the base network.
    """

    overrides: Mapping[str, Any] = field(default_factory=dict)
    size: int = 0
    strengths: tuple[float, ...] = ()
    picture_format: units.Format = "jpeg"
    max_contents: int = 0
    max_bad_fraction: float = 0.1
    max_pixels: int = MAX_PIXELS
    code: str = ""
    engine: EngineName = "finest"
    stylizer: str = ""


def render_batch(
    sources: Sequence[contents.Source],
    styles: Sequence[Style],
    directory: str,
    request: Request,
    pipelines: Callable[[], beam.Pipeline],
    *,
    output: str = "",
    threads: int = 0,
    engine: engines.Engine | None = None,
    announce: Callable[[str], None] | None = None,
    progress_to: progress.Progress | None = None,
) -> Report:
    """Renders what is missing, and writes the results over all that was asked for.

    Writes into `directory`: `pictures/<content>--<style>[--s<strength>]--<key>.jpg`, for each one in `sidecars/` what
    the manifest says of it, `originals/` and `thumbnails/`. A unit whose image and sidecar are there, under whatever
    name, is not rendered again. Writes into `output`: `manifest.jsonl`, `renders-*.tfrecord`, `dead_letters.jsonl`,
    `gallery.html`, and the images of this batch if it is another folder.

    Args:
      sources: from `contents.list_files` or `contents.list_records`.
      styles: from a catalog.
      directory: a folder or URL that all workers see; it is kept for the next batch.
      request: what is asked for.
      pipelines: makes Beam pipelines, one at a time; see `make_local_pipelines`.
      output: "" for `directory` itself.
      threads: of TensorFlow in a worker process; 0: the processors over the local runner's worker processes.
      engine: another one than the request names; for tests.
      announce: told, before anything is rendered, what memory and time it is expected to take.
      progress_to: told how far the rendering is.

    Raises:
      WeightsError: a network's weights cannot be had.
      RenderError: a network lacks a layer that the settings name, the engine does not use a setting that is given, the
        stylizer cannot be used or does not know a style, or more units are missing at the end than `max_bad_fraction`
        allows.
      CatalogError: settings or a style's image are wrong.
    """
    started = time.monotonic()
    output = output or directory
    variants = units.make_variants([(style, _resolve_settings(style, request)) for style in styles], request.strengths)
    images = {style.sha256: Image.fromarray(load_pixels(style)) for style in styles}
    method = engines.prepare(request.engine, request.code, request.stylizer, request.overrides, directory)
    for sha256, image in images.items():
        storage.write_bytes(rendering.locate_style(directory, sha256), previews.encode(image, "png"))
    size = max(variant.settings.scales[-1].size for variant in variants)
    with _open_work_folder(directory) as work:
        found = _prepare(sources, directory, storage.join(work, "lists"), size, request, pipelines)
        planned = units.plan_units(found.contents, variants, request.picture_format, method)
        present = manifest.find_present(directory, rendering.PICTURES, planned)
        missing = list({unit.key: unit for unit in planned if unit.key not in present}.values())
        in_work = storage.join(work, "units")
        if missing:
            pipeline = pipelines()
            if engine is None:
                engines.check(method, directory, variants, images)
            if announce:
                announce(engines.describe_cost(method, missing, variants, _count_processes(pipeline.options)))
            render = rendering.Render(
                directory,
                in_work,
                variants,
                picture_format=request.picture_format,
                max_pixels=request.max_pixels,
                method=method,
                threads=threads or _choose_threads(pipeline.options),
                engine=engine,
            )
            with progress.follow(in_work, len(missing), progress_to), pipeline:
                _ = pipeline | beam.Create(missing) | beam.Reshuffle() | beam.ParDo(render)
        rendered = manifest.find_present(directory, rendering.PICTURES, missing)
        dead = (*found.dead, *outcome.list_lost(missing, variants, rendered, rendering.read_dead_letters(in_work)))
    page = gallery.Page(
        lines=manifest.list_lines(planned, variants, present | rendered),
        contents=found.contents,
        styles=[gallery.Column(style, images[style.sha256]) for style in styles],
        dead=dead,
        size=size,
    )
    written = publishing.publish(page, directory, output, pipelines)
    outcome.check_budget(dead, found.count, len(variants), request.max_bad_fraction, output)
    seconds = time.monotonic() - started
    return Report(len(found.contents), len(page.lines), len(rendered), dead, seconds, written)


@contextlib.contextmanager
def _open_work_folder(directory: str) -> Iterator[str]:
    """A folder for what workers tell while they work; what batches that were ended have left is removed before."""
    parts = [storage.join(directory, folder) for folder in (rendering.PICTURES, manifest.SIDECARS, contents.FOLDER)]
    work = storage.join(directory, _WORK, uuid.uuid4().hex[:12])
    if not storage.is_url(directory):
        partials = [path for folder in parts for path in storage.list_partials(folder)]
        with leftovers.create_owned(Path(work)):
            works = Path(directory, _WORK)
            leftovers.sweep(path for path in works.iterdir() if path != Path(work))
            if len(list(works.iterdir())) == 1:  # no other batch is at work here, so that nobody finishes these
                for path in partials:
                    storage.remove(path)
            yield work
        return
    for folder in parts:
        storage.remove_abandoned_files(folder)
    storage.remove_abandoned_folders(storage.join(directory, _WORK))
    try:
        yield work
    finally:
        storage.remove(work)


def make_local_pipelines(beam_args: Sequence[str]) -> Callable[[], beam.Pipeline]:
    """Makes Beam pipelines with these arguments."""
    return lambda: beam.Pipeline(options=PipelineOptions(list(beam_args)))


def _resolve_settings(style: Style, request: Request) -> Settings:
    own = resolve_settings(style, request.overrides)
    return own.with_size(request.size) if request.size else own


def _prepare(
    sources: Sequence[contents.Source],
    directory: str,
    lists: str,
    size: int,
    request: Request,
    pipelines: Callable[[], beam.Pipeline],
) -> contents.Found:
    most = request.max_contents
    sources = contents.take_first(sources, most)
    prepare = contents.Prepare(directory, lists, size, request.max_pixels, most)
    with pipelines() as pipeline:
        _ = pipeline | beam.Create(list(enumerate(sources))) | beam.Reshuffle() | beam.ParDo(prepare)
    return contents.collect(lists, len(sources), most)


def _choose_threads(options: PipelineOptions) -> int:
    """Threads of one of the local runner's worker processes; 0 (as TensorFlow likes) elsewhere."""
    direct = options.view_as(DirectOptions)
    if direct.direct_running_mode != "multi_processing":
        return 0
    processors = len(os.sched_getaffinity(0))
    return max(1, processors // (direct.direct_num_workers or processors))


def _count_processes(options: PipelineOptions) -> int:
    """Of the local runner."""
    direct = options.view_as(DirectOptions)
    return direct.direct_num_workers if direct.direct_running_mode == "multi_processing" else 1

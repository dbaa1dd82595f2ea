"""The work of `atelier render`: a folder of images in the styles of a catalog, without the DAG."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from atelier import builtin_names
from compat.standard_streams import send_to_file
from components.style_catalog import catalog
from components.style_renderer.batch import batch, contents, engines, outcome, photographs, units
from components.style_renderer.engine.settings import EngineName
from pipeline.beam import pipeline_options
from pipeline.config.config import ConfigError
from pipeline.config.sections.beam import Beam
from pipeline.fingerprint import fingerprint_code
from pipeline.terminal.console import Console

LOG_FILE = "render.log"


def render_folder(
    content: str,
    styles: str,
    output: Path,
    console: Console,
    *,
    overrides: Mapping[str, Any],
    ids: Sequence[str] = (),
    engine: EngineName = "finest",
    stylizer: str = "",
    size: int | None = None,
    strengths: Sequence[float] = (),
    beam: Beam,
    image_format: units.Format = "jpeg",
    max_bad_fraction: float = 0.1,
) -> str:
    """Renders what `output` lacks, and writes its gallery.

    Args:
      content: a folder of images, or `photos`.
      styles: `builtin`, a `catalog.yaml`, or a folder of images.
      output: folder of this and of later calls.
      console: where progress is shown.
      overrides: fields of `Settings`, before the styles' presets.
      ids: the styles to take; empty: all.
      engine: by which the images are made.
      stylizer: file that `fast` and `refined` use; "" for the base network.
      size: longer side of the renderings in pixels; None: the styles' own.
      strengths: each style at each of them, once; empty: at the preset's own.
      beam: where the work is done.
      image_format: jpeg or png.
      max_bad_fraction: share of the renderings that may be missing at the end.

    Returns:
      The last lines for the terminal.

    Raises:
      AmbiguousError: `content` or `styles` names something built in and a folder.
      ConfigError: the output folder cannot be used.
      BeamError: the Beam runner is not installed, or its job service does not answer.
      CatalogError, contents.ContentError: styles or contents cannot be used.
      outcome.RenderError: too many images could not be rendered; the others are written.
    """
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{output}: cannot be used as the output folder: {error.strerror}") from None
    builtin_names.check(styles, (builtin_names.CATALOG,), "--styles")
    builtin_names.check(content, (builtin_names.PHOTOS,), "--content")
    chosen = catalog.select_styles(styles, catalog.open_catalog(styles, ids=ids), ids)
    _check_output(output, content, styles)
    packaged = builtin_names.resolve(content, (builtin_names.PHOTOS,))
    folder = photographs.write(str(output / "photographs")) if packaged else content
    request = batch.Request(
        overrides=overrides,
        size=size or 0,
        strengths=tuple(dict.fromkeys(strengths)),
        picture_format=image_format,
        max_bad_fraction=max_bad_fraction,
        code=fingerprint_code(engines.MODULES[engine]),
        engine=engine,
        stylizer=stylizer,
    )
    with (
        pipeline_options.explain_missing_service(beam),
        send_to_file(output / LOG_FILE),
        console.show_bar("preparing", counted=False) as progress,
    ):
        report = batch.render_batch(
            contents.list_files(folder, leave_out=str(output)),
            chosen,
            str(output),
            request,
            batch.make_local_pipelines(pipeline_options.build_pipeline_options(beam)),
            announce=console.say,
            progress_to=lambda text, share: progress(round(1000 * share), 1000, text),
        )
    return outcome.summarize(report)


def _check_output(output: Path, content: str, styles: str) -> None:
    """Rejects an output whose own files would be read as contents or styles by the next call."""
    written = output.resolve()
    for key, given in (("--content", content), ("--styles", styles)):
        folder = Path(given).resolve()
        inside = folder.relative_to(written).parts if folder.is_relative_to(written) else None
        if folder.is_dir() and inside is not None and (not inside or inside[0] in batch.FOLDERS):
            raise ConfigError(
                f"--output {output}: {key} reads {given}, where the renderings and their previews would be written: "
                f"give another output, as in {output / 'gallery'}"
            )

"""The work of Beam's workers on units: render one, write it at once.

A unit is in the batch's folder when its image and then its sidecar are there, so that a kill loses the units in work
and no other, and a runner may repeat or double what it likes. A unit that fails becomes a dead letter.
"""

import functools
import importlib.metadata
import io
import json
import os
import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import apache_beam as beam
import numpy as np
from PIL import Image

from atelier import storage
from components.style_renderer.batch import contents, engines, manifest, progress
from components.style_renderer.batch.dead_letters import DeadLetter
from components.style_renderer.batch.units import ENDINGS, Content, Format, Method, Unit, Variant
from components.style_renderer.gallery import previews

PICTURES = "pictures"

_LIBRARIES = ("atelier-tfx", "keras", "numpy", "pillow", "scipy", "tensorflow")
_THREADS = ("TF_NUM_INTRAOP_THREADS", "OMP_NUM_THREADS")
_DEAD = ".dead.json"


class Render(beam.DoFn):
    """Unit -> nothing; its image, thumbnail and sidecar lie in the batch's folder afterwards, or its dead letter."""

    def __init__(
        self,
        directory: str,
        work: str,
        variants: Sequence[Variant],
        *,
        picture_format: Format,
        max_pixels: int,
        method: Method,
        threads: int = 0,
        engine: engines.Engine | None = None,
    ) -> None:
        """Builds the worker.

        Args:
          directory: of the batch.
          work: folder for progress and dead letters.
          variants: which the units name by position.
          picture_format: of the images.
          max_pixels: that a content's header may promise, at most.
          method: which engine; the stylizer's file is in the batch's folder.
          threads: of TensorFlow in this process, unless it runs already; 0 leaves the number to TensorFlow.
          engine: another one than this package's, importable where the workers run.
        """
        self._directory, self._work, self._variants = directory, work, tuple(variants)
        self._picture_format, self._max_pixels, self._method = picture_format, max_pixels, method
        self._threads, self._engine = threads, engine

    def setup(self) -> None:
        """Sets the number of threads, which TensorFlow reads once, when it begins to compute."""
        if self._threads:
            os.environ |= dict.fromkeys(_THREADS, str(self._threads))

    def process(self, unit: Unit) -> None:
        """Renders a unit, unless it is there: a repeated bundle does nothing twice."""
        name = f"{PICTURES}/{unit.stem}{ENDINGS[self._picture_format]}"
        path = storage.join(self._directory, *name.split("/"))
        sidecar = manifest.locate_sidecar(self._directory, unit.stem)
        variant = self._variants[unit.variant]
        reporter = progress.Reporter(self._work, unit.key, f"{unit.content.id} in {variant.style.title}")
        if not manifest.is_there(path, sidecar, unit.key):
            try:
                rendering, seconds = self._render(unit.content, variant, reporter)
                image = Image.fromarray(rendering.image)
                storage.write_bytes(path, previews.encode(image, self._picture_format))
                previews.write_thumbnail(self._directory, name, image)
            except Exception as error:  # noqa: BLE001 (whatever one unit raises must not lose the others)
                write_dead_letter(self._work, unit, variant, error)
            else:
                facts = manifest.Facts(
                    key=unit.key,
                    file=name,
                    picture_format=self._picture_format,
                    height=image.height,
                    width=image.width,
                    losses={name: float(value) for name, value in rendering.losses.items()},
                    iterations=int(rendering.iterations),
                    seconds=round(seconds, 3),
                    seam_score=rendering.seam_score,
                    versions=_list_versions(),
                    method=self._method,
                )
                line = manifest.make_line(unit.content, variant, facts)
                storage.write_bytes(sidecar, json.dumps(line, ensure_ascii=False, indent=1).encode("utf-8"))
        reporter.count_finished()

    def _render(self, content: Content, variant: Variant, reporter: progress.Reporter) -> tuple[Any, float]:
        engine = self._engine or engines.load(self._method, self._directory, variant.style.id)
        image = contents.read(self._directory, content, self._max_pixels)
        started = time.monotonic()
        rendering = engine(
            np.asarray(image),
            [(_read_style_pixels(locate_style(self._directory, variant.style.sha256)), 1.0)],
            variant.settings,
            callback=reporter.iterate,
        )
        return rendering, time.monotonic() - started


def locate_style(directory: str, sha256: str) -> str:
    """Where workers find a style's pixels: they may not see the catalog."""
    return storage.join(directory, ".styles", f"{sha256}.png")


def write_dead_letter(work: str, unit: Unit, variant: Variant, error: Exception) -> None:
    """Writes the dead letter of a unit."""
    lines = str(error).strip().splitlines()
    letter = DeadLetter(
        unit.content.id,
        type(error).__name__,
        lines[0] if lines else "no message",
        variant.style.id,
        variant.settings.strength,
    )
    storage.write_bytes(storage.join(work, f"{unit.key}{_DEAD}"), json.dumps(asdict(letter)).encode("ascii"))


def read_dead_letters(work: str) -> dict[str, DeadLetter]:
    """The dead letters of units by key."""
    return {
        name.removesuffix(_DEAD): DeadLetter(**json.loads(storage.read_bytes(entry.path)))
        for name, entry in storage.list_files(work).items()
        if name.endswith(_DEAD)
    }


@functools.lru_cache(maxsize=8)
def _read_style_pixels(path: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(storage.read_bytes(path))))


@functools.cache
def _list_versions() -> dict[str, str]:
    return {library: version for library in _LIBRARIES if (version := _find_version(library))}


def _find_version(library: str) -> str:
    try:
        return importlib.metadata.version(library)
    except importlib.metadata.PackageNotFoundError:  # run from a checkout
        return ""

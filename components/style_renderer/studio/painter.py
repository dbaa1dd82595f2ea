"""What the worker computes with: the one pass, then the optimizer."""

import functools
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
from PIL import Image

from atelier import images
from atelier.layout import MAX_PIXELS
from atelier.stylization import StylizerError
from components.style_catalog import style as catalog_style
from components.style_catalog.style import Style
from components.style_renderer.batch import engines
from components.style_renderer.engine import canvas, colors, guidance, memory
from components.style_renderer.engine.callbacks import Controls, Iterate
from components.style_renderer.engine.render import render
from components.style_renderer.engine.settings import Scale, Settings
from components.style_renderer.studio.jobs import Place
from components.style_renderer.studio.request import StudioError
from components.style_renderer.studio.worker import Task, Tell
from components.stylizer import cost
from components.stylizer.stylizer import Stylizer, load_base

_FIRST = 512
"""Longer side in pixels of the image that is shown first."""
_RESULT = 3
"""Bytes by pixel of the job's files: the newest image, the one that replaces it, and the result."""
_MB = 2**20
_SILENCE_S = 0.5
"""A long pass tells at most so often how far it is."""


class _MovedError(Exception):
    """The strength has been moved."""

    def __init__(self, strength: float) -> None:
        super().__init__(strength)
        self.strength = strength


class EnginePainter:
    """Paints with the renderer's engines, and with the base network for the one pass."""

    def __init__(self) -> None:
        """Loads the base network."""
        self._stylizer: Stylizer = load_base()
        self._known: dict[str, bool] = {}

    def warm_up(self) -> None:
        """Builds the feature network, and measures how fast it is here: estimates need that.

        With regions, the loss is another graph. Its tracing would hold up the first iterations of the first job.
        """
        memory.estimate((64, 64, 3), Settings().with_size(64))
        cost.estimate(self._stylizer, 1)
        gray, whole = np.full((64, 64, 3), 128, np.uint8), np.full((64, 64), 255, np.uint8)
        render(gray, [(gray, 1.0)], Settings(scales=(Scale(size=64, iterations=1),)), masks=[whole])

    def paint(self, task: Task, tell: Tell) -> np.ndarray:
        """Renders a task.

        Raises:
          StudioError: the one pass alone is asked for, and does not know a style; or the disk has not enough space.
        """
        request, settings = task.request, _make_settings(task)
        expected = self.estimate(task)
        if expected["disk_mb"] > expected["disk_free_mb"]:
            raise StudioError(
                f"it takes {expected['disk_mb']} MB of disk, and {tempfile.gettempdir()} has "
                f"{expected['disk_free_mb']} MB: free some space, or choose a smaller size"
            )
        content = _read(task.content)
        start: np.ndarray | None = None
        schedule = settings
        if task.start and task.place and task.place.size:
            start = _read_own(task.start)
            left = _plan_rest(settings, task.place)
            if left is None:
                return start
            schedule = left
        elif request.engine != "finest" and self._knows(task):
            if request.engine == "fast":
                return self._paint_fast(task, content, settings, tell)
            first = self._run_one_pass(task, content, settings, min(settings.scales[-1].size, _FIRST))
            tell(first, Place(size=0), 0.0, {})
            start, schedule = engines.soften(first), engines.shorten(settings)
        elif request.engine == "fast":
            unknown = [name for name in task.styles if not self._knows_style(task.styles[name])]
            raise StudioError(f"the one pass does not know the style {unknown[0]}; choose another quality")

        def follow(at: Iterate) -> Controls:
            place = Place(size=at.size, iteration=at.iteration, left=at.iterations - at.iteration)
            wanted = tell(at.image(), place, at.done, dict(at.losses))
            return Controls(wanted.strength, wanted.style_weight, wanted.tv_weight)

        pairs, masks = _read_regions(task)
        return render(content, pairs, schedule, masks=masks, start=start, callback=follow).image

    def _paint_fast(self, task: Task, content: np.ndarray, settings: Settings, tell: Tell) -> np.ndarray:
        """The one pass at full size, again where the strength has been moved meanwhile."""
        told = time.monotonic()

        def notify(done: float) -> None:
            nonlocal told
            if time.monotonic() - told > _SILENCE_S:
                told = time.monotonic()
                follow(None, done)

        def follow(image: np.ndarray | None, done: float) -> None:
            strength = tell(image, Place(size=0), done, {}).strength
            if strength != settings.strength:
                raise _MovedError(strength)

        while True:
            try:
                image = self._run_one_pass(task, content, settings, settings.scales[-1].size, notify)
                follow(image, 1.0)
                return image
            except _MovedError as moved:
                settings = settings.model_copy(update={"strength": moved.strength})

    def preview(self, task: Task, size: int) -> np.ndarray | None:
        """The one pass; None if it does not know a style."""
        if not self._knows(task):
            return None
        return self._run_one_pass(task, _read(task.content), _make_settings(task), size)

    def estimate(self, task: Task) -> dict[str, float]:
        """What a task is expected to take: seconds, memory_mb, disk_mb, of which disk_free_mb are free, and tiles."""
        settings = _make_settings(task)
        with Image.open(task.content) as image:
            shape = (image.height, image.width, 3)
        height, width = canvas.compute_sides(shape, settings.scales[-1].size)
        found = {"seconds": 0.0, "memory_mb": 0, "disk_mb": 0, "tiles": 1}
        if task.request.engine == "fast":
            one = cost.estimate(self._stylizer, height * width)
            found |= {"seconds": one.seconds * len(task.masks), "memory_mb": one.memory_mb, "disk_mb": one.disk_mb}
        else:
            if task.request.engine != "finest" and self._knows(task):
                settings = engines.shorten(settings)
            found |= asdict(memory.estimate(shape, settings, sum(mask is not None for mask in task.masks)))
        found["disk_mb"] += round(height * width * _RESULT / _MB)
        return found | {"disk_free_mb": shutil.disk_usage(tempfile.gettempdir()).free // _MB}

    def _run_one_pass(
        self,
        task: Task,
        content: np.ndarray,
        settings: Settings,
        size: int,
        notify: Callable[[float], object] = lambda _: None,
    ) -> np.ndarray:
        """Each region in its styles, over the content."""
        image = canvas.resize(content, *canvas.compute_sides(content.shape, size))
        plain = image
        for number, (region, mask) in enumerate(zip(task.request.regions, task.masks, strict=True)):
            notify_part = functools.partial(_notify_part, notify, number, len(task.masks))
            stylized = engines.restyle(self._stylizer, region.styles, content, settings, size, notify_part)
            if settings.colors == "luminance" and settings.strength > 0:
                stylized = colors.keep_content_colors(stylized, plain)
            if mask:
                stylized = guidance.cover(stylized, image, [guidance.Region(_read_mask(mask), [])])
            image = stylized
        return image

    def _knows(self, task: Task) -> bool:
        return all(self._knows_style(style) for style in task.styles.values())

    def _knows_style(self, style: Style) -> bool:
        if style.sha256 not in self._known:
            try:
                self._stylizer.check_style(style.id, catalog_style.load_pixels(style))
                self._known[style.sha256] = True
            except StylizerError:
                self._known[style.sha256] = False
        return self._known[style.sha256]


def _notify_part(notify: Callable[[float], object], number: int, parts: int, done: float) -> None:
    notify((number + done) / parts)


def _plan_rest(settings: Settings, place: Place) -> Settings | None:
    """The schedule that is left; None: nothing."""
    scales = [scale for scale in settings.scales if scale.size > place.size]
    if place.left:
        scales.insert(0, Scale(size=place.size, iterations=place.left))
    if not scales:
        return None
    return Settings(**settings.model_dump() | {"scales": [scale.model_dump() for scale in scales]})


def _make_settings(task: Task) -> Settings:
    """One style's own preset counts; several have none in common."""
    presets = [dict(style.preset) for style in task.styles.values()]
    return task.request.build_settings(presets[0] if len(presets) == 1 else {})


def _read_regions(task: Task) -> tuple[list[tuple[np.ndarray, float]], list[np.ndarray]]:
    """Styles with their weights, and the mask of each; no masks if they go everywhere."""
    pairs, masks = [], []
    for region, mask in zip(task.request.regions, task.masks, strict=True):
        for name, weight in region.styles.items():
            pairs.append((catalog_style.load_pixels(task.styles[name]), weight))
            if mask:
                masks.append(_read_mask(mask))
    return pairs, masks


@functools.lru_cache(maxsize=2)
def _read(path: Path) -> np.ndarray:
    return np.asarray(images.decode(path.read_bytes(), MAX_PIXELS).image)


def _read_own(path: Path) -> np.ndarray:
    """An image that the studio has made: it may be larger than an upload."""
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def _read_mask(path: Path) -> np.ndarray:
    return np.asarray(images.decode(path.read_bytes(), MAX_PIXELS).image.convert("L"))

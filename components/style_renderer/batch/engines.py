"""The engines of a batch: by optimization, in one pass of the stylizer, or by optimization that starts from that.

Workers find the stylizer's file in the batch's folder. TensorFlow, which takes seconds to load, is loaded where
something is rendered.
"""

import functools
import hashlib
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageFilter

from atelier import storage
from atelier.errors import AtelierError
from components.style_renderer.batch.outcome import RenderError
from components.style_renderer.batch.units import Method, Unit, Variant
from components.style_renderer.engine.settings import EngineName, Settings, find_ignored
from components.stylizer.base import BASE

if TYPE_CHECKING:
    from components.style_renderer.engine.render import Rendering
    from components.stylizer.stylizer import Stylizer

Engine = Callable[..., Any]
"""`components.style_renderer.engine.render.render`, or what takes and gives the same."""

MODULES: Mapping[EngineName, str] = {
    "finest": "components.style_renderer.engine.render",
    "fast": "components.style_renderer.batch.engines",
    "refined": "components.style_renderer.batch.engines",
}
"""Whose code, with all that it imports, decides the pixels."""

_STROKES = 512
"""Longer side in pixels of an image for whose size the stylizer has learned the strokes."""
_GRAIN = 0.7
"""Pixels, of a Gaussian."""
_FOLDER = ".stylizers"


def prepare(engine: EngineName, code: str, stylizer: str, overrides: Collection[str], directory: str) -> Method:
    """Copies the stylizer into the batch's folder.

    Args:
      engine: its name.
      code: fingerprint of its code.
      stylizer: file or URL; "" for the base network.
      overrides: settings that were asked for.
      directory: of the batch.

    Raises:
      RenderError: the engine does not use one of the settings, or the file cannot be read.
    """
    if ignored := find_ignored(engine, overrides):
        raise RenderError(f"the engine {engine} does not use the setting {ignored[0]}: leave it out, or use `finest`")
    if engine == "finest":
        return Method(engine, code)
    content = read_stylizer(stylizer)
    method = Method(engine, code, hashlib.sha256(content).hexdigest())
    storage.write_bytes(_locate_stylizer(directory, method), content)
    return method


def read_stylizer(name: str) -> bytes:
    """Reads a stylizer's file.

    Args:
      name: file or URL; "" for the base network.

    Raises:
      RenderError: it cannot be read.
    """
    try:
        return storage.read_bytes(name or str(BASE))
    except OSError as error:
        raise RenderError(f"{name or BASE}: the stylizer cannot be read: {error.strerror or error}") from None


def hash_stylizer(name: str) -> str:
    """SHA-256 of a stylizer's file; "" for the base network, whose hash is in the code, and for a file elsewhere."""
    try:
        return hashlib.sha256(storage.read_bytes(name)).hexdigest() if name and not storage.is_url(name) else ""
    except OSError:
        return ""


def check(method: Method, directory: str, variants: Sequence[Variant], styles: Mapping[str, Any]) -> None:
    """Checks here, once, what would fail every unit, one by one.

    Args:
      method: of the batch.
      directory: of the batch.
      variants: what is rendered.
      styles: their images by SHA-256, for NumPy.

    Raises:
      WeightsError: a network's weights cannot be had.
      RenderError: a network lacks a layer that the settings name, or the stylizer cannot be used or does not know a
        style.
    """
    if method.stylizer:
        try:
            stylizer = _load_stylizer(_locate_stylizer(directory, method))
            for style in {variant.style.id: variant.style for variant in variants}.values():
                stylizer.check_style(style.id, np.asarray(styles[style.sha256]))
        except AtelierError as error:
            raise RenderError(str(error)) from None
    if method.engine != "fast":
        from components.style_renderer.engine import networks

        try:
            for variant in variants:
                networks.build(variant.settings)
        except ValueError as error:  # an unknown layer
            raise RenderError(f"style settings: {error}") from None


def describe_cost(method: Method, missing: Sequence[Unit], variants: Sequence[Variant], workers: int) -> str:
    """Says what memory and time are expected.

    Args:
      method: of the batch.
      missing: what is rendered.
      variants: which the units name by position.
      workers: processes on this machine.
    """
    if method.engine == "fast":
        return f"{len(missing)} to render in one pass"
    from components.style_renderer.engine import memory

    schedules = [variant.settings for variant in variants]
    if method.engine == "refined":
        schedules = [shorten(settings) for settings in schedules]
    found = [memory.estimate((unit.content.height, unit.content.width), schedules[unit.variant]) for unit in missing]
    # The processors are shared: more workers finish sooner only by what one of them leaves idle.
    minutes = sum(each.seconds for each in found) / 60
    megabytes = max(each.memory_mb for each in found)
    tiled = sum(each.tiles > 1 for each in found)
    return (
        f"{len(missing)} to render: about {max(minutes, 0.1):.1f} min, {megabytes} MB of memory"
        f"{' a worker' if workers > 1 else ''}{f', {tiled} in tiles' if tiled else ''}"
    )


def load(method: Method, directory: str, style: str) -> Engine:
    """Loads the engine, for one style.

    Args:
      method: of the batch.
      directory: of the batch.
      style: its id.
    """
    if not method.stylizer:
        from components.style_renderer.engine import render

        return render.render
    one_pass = functools.partial(restyle, _load_stylizer(_locate_stylizer(directory, method)), {style: 1.0})
    return functools.partial(_render_fast if method.engine == "fast" else _refine, one_pass)


def shorten(settings: Settings) -> Settings:
    """The schedule that is left to the optimizer where it starts from the one pass."""
    kept = [scale for scale in settings.scales if scale.size > _STROKES]
    first = settings.scales[-1 - len(kept)] if len(kept) < len(settings.scales) else None
    if first:
        kept.insert(0, first.model_copy(update={"iterations": -(-first.iterations // 2)}))
    return Settings(**settings.model_dump() | {"scales": [scale.model_dump() for scale in kept]})


def restyle(
    stylizer: "Stylizer",
    weights: Mapping[str, float],
    content: np.ndarray,
    settings: Settings,
    size: int,
    notify: Callable[[float], object] = lambda _: None,
) -> np.ndarray:
    """Restyles a content image in one pass.

    Args:
      stylizer: the network.
      weights: by style id.
      content: [H, W, 3] uint8.
      settings: its strength and colors.
      size: longer side of the result in pixels.
      notify: see `Stylizer.stylize`.

    Returns:
      [h, w, 3] uint8.
    """
    from components.style_renderer.engine import canvas, colors

    # Strokes grow with the image in the other engines. In a small one, they are those of the larger, scaled down.
    height, width = canvas.compute_sides(content.shape, max(size, _STROKES))
    pixels = canvas.resize(content, height, width)
    stylized = stylizer.stylize(pixels, weights, settings.strength, notify)
    if settings.colors == "match":
        recolored = colors.match_colors(stylized, pixels)
        stylized = np.rint(recolored, out=recolored).astype(np.uint8)
    return canvas.resize(stylized, *canvas.compute_sides(content.shape, size))


def soften(stylized: np.ndarray) -> np.ndarray:
    """What the optimizer starts from: the one pass, [H, W, 3] uint8, without its grain.

    With the grain, 30 iterations stay a third farther from the default's loss.
    """
    return np.asarray(Image.fromarray(stylized).filter(ImageFilter.GaussianBlur(_GRAIN)))


def _render_fast(
    one_pass: Callable[[np.ndarray, Settings, int], np.ndarray],
    content: np.ndarray,
    _styles: Sequence[tuple[np.ndarray, float]],
    settings: Settings,
    **_: Any,
) -> "Rendering":
    from components.style_renderer.engine import canvas, colors, render

    began = time.perf_counter()
    image = one_pass(content, settings, settings.scales[-1].size)
    if settings.colors == "luminance" and settings.strength > 0:
        image = colors.keep_content_colors(image, canvas.resize(content, *image.shape[:2]))
    return render.Rendering(image, {}, 0, time.perf_counter() - began, None)


def _refine(
    one_pass: Callable[[np.ndarray, Settings, int], np.ndarray],
    content: np.ndarray,
    styles: Sequence[tuple[np.ndarray, float]],
    settings: Settings,
    *,
    callback: Any = None,
) -> "Rendering":
    from components.style_renderer.engine import render

    schedule = shorten(settings)
    start = soften(one_pass(content, settings, schedule.scales[0].size))
    return render.render(content, styles, schedule, start=start, callback=callback)


@functools.lru_cache(maxsize=1)
def _load_stylizer(path: str) -> "Stylizer":
    from components.stylizer import stylizer

    return stylizer.parse(storage.read_bytes(path), path)


def _locate_stylizer(directory: str, method: Method) -> str:
    return storage.join(directory, _FOLDER, f"{method.stylizer}.npz")

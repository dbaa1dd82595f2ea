"""Trains the base network of the stylizer: a folder of photographs and a catalog in, one file out.

    KERAS_BACKEND=jax python -m components.stylizer.training.train_base \
        --content photographs/train --held-out photographs/held_out --output base.npz --state state

It goes on from the training state in the folder `--state`. It needs no TensorFlow: on a machine with an accelerator,
Keras with JAX is enough.
"""

import argparse
import json
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pydantic
from keras import ops
from PIL import Image

from atelier import builtin_names, images
from atelier.layout import MAX_PIXELS
from components.style_catalog import catalog
from components.style_catalog.style import CatalogError, load_pixels
from components.stylizer import network
from components.stylizer.settings import TrainingSettings
from components.stylizer.stylizer import Stylizer, identify
from components.stylizer.training import loop, objective
from components.stylizer.training.loop import TrainingError
from trainer.backbones import WeightsError

_LONGER_SIDE = 1024
"""Photographs are kept in memory at this size at most."""


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    options = _build_parser().parse_args(arguments)
    try:
        settings = TrainingSettings(**{name: getattr(options, name) for name in TrainingSettings.model_fields})
        _train(options, settings)
    except pydantic.ValidationError as error:
        detail = error.errors()[0]
        option = "".join(f"--{name}: ".replace("_", "-") for name in detail["loc"])
        sys.stderr.write(f"{option}{detail['msg']}\n")
        return 2
    except (CatalogError, TrainingError, WeightsError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def _train(options: argparse.Namespace, settings: TrainingSettings) -> None:
    began = time.monotonic()
    keras.utils.set_random_seed(settings.seed)
    styles = catalog.open_catalog(options.catalog)
    shares = read_shares(options.soften, [style.id for style in styles])
    photographs = read_photographs(options.content)
    held_out = read_photographs(options.held_out) if options.held_out else {}
    options.state.mkdir(parents=True, exist_ok=True)
    ids, pixels = tuple(style.id for style in styles), [load_pixels(style) for style in styles]
    reached = read_reached(options.reached) if options.reached else {}
    stylizer = Stylizer(
        network.build(len(styles), precision=settings.precision),
        ids,
        {style: identify(image, settings.style_size) for style, image in zip(ids, pixels, strict=True)},
        {style: reached[style] for style in ids if style in reached},
    )
    _say(f"{len(photographs)} photographs, {len(styles)} styles, {keras.backend.backend()}")
    judged = objective.build(
        stylizer.model,
        pixels,
        [reached.get(style, objective.TYPICAL) for style in ids],
        settings,
        options.state / "targets.npz",
    )
    _say(f"targets after {time.monotonic() - began:.0f} s")
    report = _Report(stylizer, list(held_out.values()), options.state, options.report_seconds)
    done = loop.train(judged, list(photographs.values()), settings, options.state / "training.npz", callbacks=[report])
    soften(stylizer, shares)
    stylizer.save(options.output)
    _say(f"{done} steps in {time.monotonic() - began:.0f} s: {options.output}")


def read_photographs(folder: Path) -> dict[str, Image.Image]:
    """The images of a folder, mode RGB, 1024 pixels on the longer side at most, by name.

    Raises:
      TrainingError: there is none, or one cannot be read.
    """
    if not folder.is_dir():
        raise TrainingError(f"{folder}: no such folder; give a folder of photographs")
    found = {}
    for file in sorted(folder.iterdir()):
        if file.name.startswith("."):
            continue
        try:
            image = images.decode(file.read_bytes(), MAX_PIXELS).image
        except (OSError, images.RejectedImageError) as error:
            raise TrainingError(f"{file}: {error}; remove it from the folder") from None
        image.thumbnail((_LONGER_SIDE, _LONGER_SIDE), Image.Resampling.LANCZOS)
        found[file.name] = image
    if not found:
        raise TrainingError(f"{folder}: there is no image in it; give a folder of photographs")
    return found


def read_shares(texts: Sequence[str], styles: Sequence[str]) -> dict[str, float]:
    """Reads the values of --soften, STYLE:SHARE.

    Raises:
      TrainingError: one is not of that form, names no style, or is not from 0 to 1.
    """
    found = {}
    for text in texts:
        style, _, share = text.rpartition(":")
        if style not in styles:
            raise TrainingError(f"--soften {text}: expected STYLE:SHARE with one of the styles {', '.join(styles)}")
        try:
            found[style] = float(share)
        except ValueError:
            found[style] = -1.0
        if not 0 <= found[style] <= 1:
            raise TrainingError(f"--soften {text}: expected a share from 0 to 1, such as {style}:0.2")
    return found


def soften(stylizer: Stylizer, shares: Mapping[str, float]) -> None:
    """Moves the values of styles towards "no style", where the subject is lost at full strength.

    Full strength is then what a lower one was, without the image that `network.Blend` lays under that.

    Args:
      stylizer: is changed.
      shares: how far, 0 to 1, by style.
    """
    for variable in stylizer.model.variables:
        if variable.name in ("scale", "offset"):  # of the layers that have a row for each style, and "no style" last
            values = np.array(ops.convert_to_numpy(variable))
            for style, share in shares.items():
                row = stylizer.styles.index(style)
                values[row] += share * (values[-1] - values[row])
            variable.assign(values)


def read_reached(file: Path) -> dict[str, objective.Reached]:
    """The losses that the optimizer reaches, by style, from the file that `benchmarks/style/stylize.py losses` writes.

    Raises:
      TrainingError: the file is not of that kind.
    """
    try:
        told = json.loads(file.read_bytes())
        found = {str(style): (float(losses["content"]), float(losses["style"])) for style, losses in told.items()}
    except (OSError, ValueError, AttributeError, TypeError, KeyError) as error:
        raise TrainingError(
            f"{file}: no losses of the optimizer ({error}); see `benchmarks/style/stylize.py losses`"
        ) from None
    for style, losses in found.items():
        if not all(0 < loss < float("inf") for loss in losses):
            raise TrainingError(f"{file}: {style}: the losses are {losses}: expected numbers above 0")
    return found


class _Report(keras.callbacks.Callback):
    """Tells the losses after each round, and now and then writes a sheet: a row an image, a column a style."""

    def __init__(self, stylizer: Stylizer, held_out: Sequence[Image.Image], folder: Path, seconds: float) -> None:
        super().__init__()
        self._stylizer, self._folder, self._seconds = stylizer, folder, seconds
        self._images = [_crop_square(image, 384) for image in held_out]
        self._began = self._last = time.monotonic()
        self._steps = 0

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        self._steps += 1

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        now = time.monotonic()
        step = int(ops.convert_to_numpy(self.model.optimizer.iterations))
        rate = self._steps / (now - self._began)
        shown = " ".join(f"{name} {float(value):.4g}" for name, value in (logs or {}).items())
        _say(f"step {step}, {rate:.2f} steps/s: {shown}")
        if self._images and now - self._last >= self._seconds:
            self._last = now
            self._draw_sheet().save(self._folder / f"sheet-{step:06d}.jpg", quality=85)

    def _draw_sheet(self) -> Image.Image:
        count, side = len(self._stylizer.styles), self._images[0].shape[0]
        sheet = Image.new("RGB", ((count + 1) * side, len(self._images) * side))
        for row, image in enumerate(self._images):
            sheet.paste(Image.fromarray(image), (0, row * side))
            found = self._stylizer.model.predict_on_batch(
                {
                    "image": np.repeat(image[np.newaxis], count, 0),
                    "style": np.eye(count, dtype=np.float32),
                    "strength": np.ones(count, np.float32),
                }
            )
            for column, pixels in enumerate(np.clip(np.rint(found), 0, 255).astype(np.uint8), 1):
                sheet.paste(Image.fromarray(pixels), (column * side, row * side))
        return sheet


def _crop_square(image: Image.Image, side: int) -> np.ndarray:
    shorter = min(image.size)
    left, top = ((length - shorter) // 2 for length in image.size)
    box = (left, top, left + shorter, top + shorter)
    return np.asarray(image.resize((side, side), Image.Resampling.LANCZOS, box))


def _build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m components.stylizer.training.train_base",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--content", type=Path, required=True, help="Train on the photographs in this folder.")
    parser.add_argument("--held-out", type=Path, help="Show the photographs in this folder on the sample sheets.")
    parser.add_argument(
        "--catalog",
        default=builtin_names.CATALOG,
        help="Learn the styles of this catalog: builtin, a file or a folder.",
    )
    parser.add_argument(
        "--reached",
        type=Path,
        help="Weigh each style by the losses that the optimizer reaches in it, from a file that "
        "`benchmarks/style/stylize.py` writes. Without it, all styles are weighed alike.",
    )
    parser.add_argument(
        "--soften",
        metavar="STYLE:SHARE",
        action="append",
        default=[],
        help='Move a style so far towards "no style" at the end, 0 to 1, where its full strength hides the subject. '
        "Repeat the option for several styles.",
    )
    parser.add_argument("--output", type=Path, required=True, help="Write the network into this file.")
    parser.add_argument(
        "--state", type=Path, required=True, help="Keep the training state and the sample sheets in this folder."
    )
    parser.add_argument(
        "--report-seconds", type=float, default=60.0, help="Write a sample sheet once in this many seconds."
    )
    for name, field in TrainingSettings.model_fields.items():
        kind = float if field.default is None else type(field.default)
        text = " ".join((field.description or "").split()).replace("%", "%%")
        default = "" if field.default is None else f" Default: {field.default}."
        parser.add_argument(f"--{name.replace('_', '-')}", type=kind, default=field.default, help=f"{text}{default}")
    return parser


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())

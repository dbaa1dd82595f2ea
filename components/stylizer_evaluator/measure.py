"""Measures what a stylizer serves: losses against the optimizer's, the image at a strength of 0, bytes and time."""

import math
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter
from skimage.metrics import structural_similarity

from atelier import labels
from atelier.layout import ASSETS_EXTRA
from components.style_renderer.engine import canvas, objective
from components.style_renderer.engine.objective import Objective
from components.style_renderer.engine.settings import Settings
from components.stylizer.exports import tflite

_ROUNDS = 5

Stylize = Callable[[np.ndarray, str, float], np.ndarray]
"""Image [H, W, 3] uint8, style id and strength to the stylized image [H, W, 3] uint8."""


@dataclass(frozen=True)
class StyleLosses:
    """One style's losses, as means over the images."""

    style: str
    style_loss: float
    optimizer_style_loss: float
    content_loss: float
    optimizer_content_loss: float

    @property
    def style_ratio(self) -> float:
        """Style loss in units of the optimizer's; not a number where that is 0."""
        return _divide(self.style_loss, self.optimizer_style_loss)

    @property
    def content_ratio(self) -> float:
        """Content loss in units of the optimizer's."""
        return _divide(self.content_loss, self.optimizer_content_loss)

    def describe(self) -> dict[str, Any]:
        """The fields and both ratios."""
        return asdict(self) | {"style_ratio": self.style_ratio, "content_ratio": self.content_ratio}


@dataclass(frozen=True)
class Compared:
    """One image in one style: what a person looks at."""

    content: np.ndarray
    optimized: np.ndarray
    stylized: np.ndarray
    half: np.ndarray
    """At a strength of 0.5."""


class Served:
    """The SavedModel that would be pushed, asked by its signature `serving_pixels`."""

    def __init__(self, folder: Path) -> None:
        """Loads it."""
        self._loaded = tf.saved_model.load(str(folder))
        self.styles = tuple(labels.read_labels(folder / ASSETS_EXTRA))

    def __call__(self, image: np.ndarray, style: str, strength: float) -> np.ndarray:
        """See `Stylize`."""
        found = self._loaded.signatures["serving_pixels"](
            pixels=tf.constant(image[np.newaxis]),
            style_weights=tf.constant(np.eye(len(self.styles), dtype=np.float32)[[self.styles.index(style)]]),
            strength=tf.constant([strength], tf.float32),
        )
        return found["stylized"].numpy()[0]


def measure_losses(style: str, target: np.ndarray, compared: list[Compared], style_size: int) -> StyleLosses:
    """Measures style and content loss of both renderers with the optimizer's own objective.

    Args:
      style: its id.
      target: its image, [h, w, 3] uint8.
      compared: the images.
      style_size: longer side in pixels at which the style image is looked at.
    """
    judge = objective.get_objective(Settings(), "float32")
    grams = judge.compute_style_targets(target, style_size)
    found = np.array(
        [[_measure(judge, image, one.content, grams) for image in (one.stylized, one.optimized)] for one in compared]
    )
    (content, style_loss), (optimizer_content, optimizer_style) = found.mean(axis=0)
    return StyleLosses(style, float(style_loss), float(optimizer_style), float(content), float(optimizer_content))


def compute_ssim(image: np.ndarray, other: np.ndarray) -> float:
    """Structural similarity of two images [H, W, 3] uint8, as Wang et al. 2004 define it: 1 for the same image.

    "Image quality assessment: from error visibility to structural similarity", with its Gaussian window of 11 pixels.
    """
    return float(
        structural_similarity(
            image, other, channel_axis=2, data_range=255, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
        )
    )


def measure_latency(stylize: Stylize, image: np.ndarray, style: str) -> float:
    """Median time of one image in milliseconds, after one that is not counted."""
    times = []
    for _ in range(_ROUNDS + 1):
        began = time.perf_counter()
        stylize(image, style, 1.0)
        times.append(1e3 * (time.perf_counter() - began))
    return statistics.median(times[1:])


def measure_tflite(file: Path, served: Served, image: np.ndarray, style: str) -> dict[str, Any]:
    """Runs a TFLite file of the stylizer, and compares what it gives with what the SavedModel gives.

    Args:
      file: see `components.stylizer.exports.tflite`.
      served: the SavedModel beside it.
      image: [H, W, 3] uint8; both take it scaled to the file's square.
      style: its id.

    Returns:
      `bytes`; `difference`, the mean in gray levels of both as uint8; `latency_ms` on one thread; `outside_xnnpack`,
      the operations that XNNPACK does not take; `fault`: why the file cannot be run, or None.
    """
    found: dict[str, Any] = {"bytes": file.stat().st_size, "difference": math.nan, "latency_ms": math.nan}
    try:
        interpreter = Interpreter(model_path=str(file), num_threads=1)
        interpreter.allocate_tensors()
        run = interpreter.get_signature_runner()
        size = int(run.get_input_details()[tflite.IMAGE]["shape"][1])
        inputs = tflite.make_inputs(image, size, len(served.styles), served.styles.index(style))
        began = time.perf_counter()
        stylized = run(**inputs)[tflite.STYLIZED][0]
        milliseconds = 1e3 * (time.perf_counter() - began)
    except (ValueError, KeyError, RuntimeError) as error:
        return found | {"outside_xnnpack": [], "fault": f"cannot be run: {' '.join(str(error).split())}"}
    expected = served(inputs[tflite.IMAGE][0], style, 1.0).astype(np.float32)
    return found | {
        "difference": float(np.abs(np.rint(stylized).clip(0, 255) - expected).mean()),
        "latency_ms": round(milliseconds, 1),
        "outside_xnnpack": tflite.find_outside(interpreter)[0],
        "fault": None,
    }


def count_bytes(folder: Path) -> int:
    """Bytes of all files below a folder."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def _measure(judge: Objective, image: np.ndarray, content: np.ndarray, grams: list[tf.Tensor]) -> tuple[float, float]:
    """Content and style loss."""
    stride = judge.network.stride
    stylized, original = (
        tf.constant(canvas.pad(each, stride)[np.newaxis].astype(np.float32)) for each in (image, content)
    )
    terms, _ = judge.evaluate(stylized, judge.compute_contents(original), grams, [1.0, 1.0, 1.0])
    _, content_loss, style_loss, _ = terms.numpy()
    return content_loss, style_loss


def _divide(value: float, unit: float) -> float:
    return value / unit if unit else float("nan")

"""Test images that the model got wrong and right, for people to look at."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from pipeline.report.confusion import find_class_name

MOST_RECORDS = 512
"""Images that are predicted again: enough to find telling ones, and a few seconds of work."""
WRONG, RIGHT = 24, 12
"""Images shown."""

_TINY = 64
"""Up to this side, an image goes into the page to the bit and is shown with its pixels."""
_SIDE = 192
"""Larger ones are shrunk to this: twice what the page gives them, for fine screens."""
_BATCH = 32
_TOP = 3


@dataclass(frozen=True)
class Predictions:
    """What the model says about N images."""

    pixels: np.ndarray
    """[N, H, W, 3] uint8 RGB."""
    labels: np.ndarray
    """[N] integer class ids."""
    probabilities: np.ndarray
    """[N, C] float."""


@dataclass(frozen=True)
class Guess:
    """One class and what the model gave it."""

    name: str
    probability: float
    right: bool


@dataclass(frozen=True)
class ShownImage:
    """One image with its probabilities."""

    actual: str
    predicted: str
    source: str
    """A data: URL."""
    tiny: bool
    guesses: list[Guess]
    """The most probable classes in order; then the actual one, if it is not among them."""


@dataclass(frozen=True)
class Showcase:
    """A choice of images."""

    seen: int
    """Images from which they were chosen."""
    cut: bool
    """There may have been more."""
    wrong_count: int
    wrong: list[ShownImage]
    """Most confident mistakes first."""
    right: list[ShownImage]
    """From the least to the most certain, evenly spread over the ranks between."""


def predict(model: Path, split: Path) -> Predictions | None:
    """Runs a SavedModel's `serving_pixels` on the first records of a split; None if the split has none.

    Args:
      model: folder of the SavedModel.
      split: folder with what Transform wrote for one split.
    """
    # Here, since it takes seconds and not every run gets this far.
    import tensorflow as tf

    from trainer import features

    signature = tf.saved_model.load(str(model)).signatures["serving_pixels"]
    size = signature.structured_input_signature[1]["pixels"].shape[1]
    files = sorted(str(file) for file in split.glob("*.gz"))
    records = tf.data.TFRecordDataset(files, compression_type="GZIP").take(MOST_RECORDS)
    records = records.map(lambda record: features.parse_transformed(record, size))
    pixels, labels, probabilities = [], [], []
    for batch, ids in records.batch(_BATCH):
        pixels.append(batch.numpy())
        labels.append(ids.numpy())
        probabilities.append(signature(pixels=batch)["probabilities"].numpy())
    if not pixels:
        return None
    return Predictions(*(np.concatenate(parts) for parts in (pixels, labels, probabilities)))


def choose(predictions: Predictions, names: Sequence[str]) -> Showcase:
    """Picks the most confident mistakes, and right answers from all ranks of certainty."""
    predicted = predictions.probabilities.argmax(axis=1)
    certainty = predictions.probabilities.max(axis=1)
    order = np.argsort(certainty, kind="stable")
    is_right = (predicted == predictions.labels)[order]
    right, wrong = order[is_right], order[~is_right][::-1]
    spread = np.unique(np.linspace(0, max(len(right) - 1, 0), min(RIGHT, len(right))).round().astype(int))
    return Showcase(
        seen=len(predicted),
        cut=len(predicted) == MOST_RECORDS,
        wrong_count=len(wrong),
        wrong=[_show(predictions, index, names) for index in wrong[:WRONG]],
        right=[_show(predictions, index, names) for index in right[spread]],
    )


def _show(predictions: Predictions, index: int, names: Sequence[str]) -> ShownImage:
    actual = int(predictions.labels[index])
    probabilities = predictions.probabilities[index]
    shown = [int(number) for number in np.argsort(-probabilities, kind="stable")[:_TOP]]
    if actual not in shown and actual < len(probabilities):
        shown.append(actual)
    pixels = predictions.pixels[index]
    return ShownImage(
        actual=find_class_name(actual, names),
        predicted=find_class_name(shown[0], names),
        source=_encode_data_url(pixels),
        tiny=_is_tiny(pixels),
        guesses=[Guess(find_class_name(n, names), float(probabilities[n]), n == actual) for n in shown],
    )


def _is_tiny(pixels: np.ndarray) -> bool:
    return max(pixels.shape[:2]) <= _TINY


def _encode_data_url(pixels: np.ndarray) -> str:
    """PNG where pixels shall be seen; JPEG for the rest, a tenth of the size in a page that holds dozens."""
    image = Image.fromarray(pixels)
    content = io.BytesIO()
    if _is_tiny(pixels):
        image.save(content, "PNG", optimize=True)
        kind = "png"
    else:
        image.thumbnail((_SIDE, _SIDE), Image.Resampling.LANCZOS)
        image.save(content, "JPEG", quality=85)
        kind = "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(content.getvalue()).decode()}"

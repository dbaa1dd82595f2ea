"""Backbones: EfficientNets without their classification head, weights loaded, pixels of 0..255 going in.

    backbone = build("efficientnet_lite0", size=224)
    set_trainable(backbone, fine_tune_at=4)

Importing this package is cheap: Keras comes in when a network is built.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

from trainer.backbones.weights_file import WeightsError
from trainer.transform_settings import MIN_SIZE

if TYPE_CHECKING:
    import keras

__all__ = [
    "BLOCK_COUNTS",
    "NAMES",
    "Backbone",
    "WeightsError",
    "build",
    "set_trainable",
    "weights_endings",
]

NAMES = (
    *(f"efficientnet_lite{n}" for n in range(3)),
    *(f"efficientnet_b{n}" for n in range(8)),
    *(f"efficientnet_v2_b{n}" for n in range(4)),
    *(f"efficientnet_v2_{size}" for size in "sml"),
)
BLOCK_COUNTS = {name: 8 if re.fullmatch("efficientnet_v2_(b[0-3]|s)", name) else 9 for name in NAMES}
"""Blocks of each backbone, stem and head included. These V2 networks have six stages, all others seven."""


@dataclass(frozen=True)
class Backbone:
    """A feature extractor without its classification head."""

    model: keras.Model
    """[N, size, size, 3] float32 RGB, 0..255, to a feature map [N, h, w, pooled_channels]."""
    blocks: tuple[tuple[str, ...], ...]
    """Layer names by block: the stem with the normalisation, the stages, the head convolution. No layer is in two."""
    normalises: bool
    """The model normalises its own pixels, so nothing may do it before; True for every backbone here."""
    pooled_channels: int
    """Length of the vector that global pooling makes of a feature map."""


def build(
    name: str,
    size: int,
    weights: str = "imagenet",
    weights_sha256: str = "",
    mean: Sequence[float] | None = None,
    variance: Sequence[float] | None = None,
    drop_connect: float = 0.0,
) -> Backbone:
    """Builds a backbone of stock Keras layers, so that a saved `.keras` file loads without this package.

    Args:
      name: one of `NAMES`.
      size: height and width of the pictures in pixels, at least 32.
      weights: `imagenet`, `none` (random), or a weights file: `.pth` for the Lite networks, `.weights.h5` or `.h5`
        for Keras' own. The file may lie wherever TensorFlow's file system reaches (`gs://`).
      weights_sha256: the file's hash in hexadecimal; required with a file, not read otherwise.
      mean: the training set's mean by channel, 0..255. Used by a Lite network with `weights="none"` alone: pretrained
        weights need the constants they were trained with, and Keras' networks bring their own.
      variance: the training set's variance by channel, in squared units of 0..255; goes with `mean`.
      drop_connect: how often a residual branch is dropped while training; block b of B has drop_connect * b / B
        (Huang et al. 2016, "Deep networks with stochastic depth", section 3).

    Raises:
      ValueError: the name is unknown (the nearest is named), or another argument is out of its range.
      WeightsError: the weights cannot be had, have another hash than stated, or do not fit the network.
    """
    _check(name, size, mean, variance, drop_connect)
    if name.startswith("efficientnet_lite"):
        from trainer.backbones import efficientnet_lite, lite_weights

        statistics = (mean, variance) if weights == "none" and mean is not None and variance is not None else None
        model = efficientnet_lite.build(name, size, statistics=statistics, drop_connect=drop_connect)
        if weights != "none":
            lite_weights.load(model, name, weights, weights_sha256)
    else:
        from trainer.backbones import keras_applications

        model = keras_applications.build(name, size, weights, weights_sha256, drop_connect)
    return Backbone(
        model=model,
        blocks=_blocks([layer.name for layer in model.layers[1:]]),
        normalises=True,
        pooled_channels=model.output_shape[-1],
    )


def weights_endings(name: str) -> tuple[str, ...]:
    """How the name of a weights file for the backbone `name` ends."""
    return (".pth",) if name.startswith("efficientnet_lite") else (".weights.h5", ".h5")


def set_trainable(backbone: Backbone, fine_tune_at: int | None) -> None:
    """Freezes the backbone (None), or all of it before block `fine_tune_at` (0: nothing).

    Batch normalisation stays frozen in every case, which in Keras also means that it uses its stored statistics
    while training: those of a small batch would undo what pretraining learned. A model compiled before must be
    compiled again.

    Raises:
      ValueError: there is no block of that number.
    """
    import keras

    count = len(backbone.blocks)
    if fine_tune_at is not None and not 0 <= fine_tune_at < count:
        raise ValueError(f"fine_tune_at is {fine_tune_at}: {backbone.model.name} has the blocks 0 to {count - 1}")
    thawed = set() if fine_tune_at is None else set(chain.from_iterable(backbone.blocks[fine_tune_at:]))
    backbone.model.trainable = bool(thawed)
    for layer in backbone.model.layers:
        layer.trainable = layer.name in thawed and not isinstance(layer, keras.layers.BatchNormalization)


def _check(
    name: str, size: int, mean: Sequence[float] | None, variance: Sequence[float] | None, drop_connect: float
) -> None:
    if name not in NAMES:
        near = difflib.get_close_matches(name, NAMES, n=1, cutoff=0.0)[0]
        raise ValueError(f"unknown backbone {name}; did you mean {near}?")
    if size < MIN_SIZE:
        raise ValueError(f"size is {size}: a backbone needs pictures of at least {MIN_SIZE} pixels")
    if not 0.0 <= drop_connect < 1.0:
        raise ValueError(f"drop_connect is {drop_connect}: expected a probability below 1")
    if (mean is None) != (variance is None):
        raise ValueError("mean and variance go together: give both or neither")
    if mean is None or variance is None:
        return
    if len(mean) != 3 or not all(0.0 <= m <= 255.0 for m in mean):
        raise ValueError(f"mean is {list(mean)}: expected three values of 0..255, one a channel")
    if len(variance) != 3 or not all(0.0 <= v <= 127.5**2 for v in variance):
        raise ValueError(f"variance is {list(variance)}: expected three values of 0..{127.5**2} (pixels of 0..255)")


def _blocks(names: list[str]) -> tuple[tuple[str, ...], ...]:
    """Groups layer names by the stage in them: `block3b_expand_conv` is of stage 3; `top_*` is the head."""
    stages = {name: int(match[1]) for name in names if (match := re.match(r"block(\d+)[a-z]+_", name))}
    head = max(stages.values()) + 1
    blocks: list[list[str]] = [[] for _ in range(head + 1)]
    for name in names:
        blocks[stages.get(name, head if name.startswith("top_") else 0)].append(name)
    return tuple(tuple(block) for block in blocks)

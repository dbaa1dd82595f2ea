"""Backbones: EfficientNets without their classification head, weights loaded, pixels of 0..255 going in.

    backbone = build("efficientnet_lite0", size=224)
    set_trainable(backbone, fine_tune_at=4)

Importing this package is cheap: Keras comes in when a network is built.
"""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

from trainer.backbones import families
from trainer.backbones.registry import NETWORKS, Blocks
from trainer.backbones.weights_file import WeightsError
from trainer.transform_settings import MIN_SIZE

if TYPE_CHECKING:
    import keras

__all__ = ["NAMES", "NETWORKS", "Backbone", "WeightsError", "build", "set_trainable"]

for _module in pkgutil.iter_modules(families.__path__):
    importlib.import_module(f"{families.__name__}.{_module.name}")
NAMES = tuple(NETWORKS)


@dataclass(frozen=True)
class Backbone:
    """A feature extractor without its classification head."""

    model: keras.Model
    """[N, size, size, 3] float32 RGB, 0..255, to a feature map [N, h, w, pooled_channels]."""
    blocks: Blocks
    """Layer names by block: the stem with the normalization, the stages, the head convolution. No layer is in two."""
    normalizes: bool
    """The model normalizes its own pixels, so nothing may do it before; True for every backbone here."""
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
      size: height and width of the images in pixels, at least 32.
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
    network = NETWORKS[name]
    model = network.build_model(
        name,
        size,
        weights=weights,
        weights_sha256=weights_sha256,
        mean=mean,
        variance=variance,
        drop_connect=drop_connect,
    )
    return Backbone(
        model=model,
        blocks=network.group_layers([layer.name for layer in model.layers[1:]]),
        normalizes=True,
        pooled_channels=model.output_shape[-1],
    )


def set_trainable(backbone: Backbone, fine_tune_at: int | None) -> None:
    """Freezes the backbone (None), or all of it before block `fine_tune_at` (0: nothing).

    Batch normalization stays frozen in every case, which in Keras also means that it uses its stored statistics
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
        raise ValueError(f"size is {size}: a backbone needs images of at least {MIN_SIZE} pixels")
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

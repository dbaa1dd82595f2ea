"""EfficientNet-Lite0, 1 and 2."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from trainer.backbones.registry import Network, register

if TYPE_CHECKING:
    import keras


def _build_model(
    name: str,
    size: int,
    *,
    weights: str,
    weights_sha256: str,
    mean: Sequence[float] | None,
    variance: Sequence[float] | None,
    drop_connect: float,
) -> keras.Model:
    from trainer.backbones import efficientnet_lite, lite_weights  # bring Keras

    statistics = (mean, variance) if weights == "none" and mean is not None and variance is not None else None
    model = efficientnet_lite.build(name, size, statistics=statistics, drop_connect=drop_connect)
    if weights != "none":
        lite_weights.load(model, name, weights, weights_sha256)
    return model


for _number in range(3):
    register(Network(f"efficientnet_lite{_number}", 9, (".pth",), _build_model))

"""EfficientNet B0 to B7 and EfficientNetV2, as Keras ships them."""

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
    from trainer.backbones import keras_applications  # brings Keras

    del mean, variance  # these networks bring their own
    return keras_applications.build(name, size, weights, weights_sha256, drop_connect)


_BLOCK_COUNTS = {
    **{f"efficientnet_b{number}": 9 for number in range(8)},
    # Six stages instead of seven.
    **{f"efficientnet_v2_b{number}": 8 for number in range(4)},
    "efficientnet_v2_s": 8,
    "efficientnet_v2_m": 9,
    "efficientnet_v2_l": 9,
}
for _name, _count in _BLOCK_COUNTS.items():
    register(Network(_name, _count, (".weights.h5", ".h5"), _build_model))

"""EfficientNet-Lite0, 1 and 2: no squeeze-and-excitation, ReLU6, and a stem and head that do not grow.

Source: Tan and Le 2019, "EfficientNet: rethinking model scaling for convolutional neural networks" (arXiv:1905.11946),
table 1 for the stages and section 3.3 for the scaling; for what Lite changes, the README under
models/official/efficientnet/lite of the repository tensorflow/tpu. Layers are named as in keras.applications.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import keras
from keras import layers


class Stage(NamedTuple):
    """Blocks of the same shape; only the first of them has the stride."""

    repeats: int
    kernel: int
    stride: int
    expand: int
    filters: int


class Variant(NamedTuple):
    """How a network is scaled from Lite0, and how it was trained."""

    width: float
    depth: float
    size: int
    dropout: float


STAGES = (
    Stage(repeats=1, kernel=3, stride=1, expand=1, filters=16),
    Stage(repeats=2, kernel=3, stride=2, expand=6, filters=24),
    Stage(repeats=2, kernel=5, stride=2, expand=6, filters=40),
    Stage(repeats=3, kernel=3, stride=2, expand=6, filters=80),
    Stage(repeats=3, kernel=5, stride=1, expand=6, filters=112),
    Stage(repeats=4, kernel=5, stride=2, expand=6, filters=192),
    Stage(repeats=1, kernel=3, stride=1, expand=6, filters=320),
)
VARIANTS = {
    "efficientnet_lite0": Variant(width=1.0, depth=1.0, size=224, dropout=0.2),
    "efficientnet_lite1": Variant(width=1.0, depth=1.1, size=240, dropout=0.2),
    "efficientnet_lite2": Variant(width=1.1, depth=1.2, size=260, dropout=0.3),
}
STEM_FILTERS = 32
HEAD_FILTERS = 1280


def build(
    name: str,
    size: int | None = None,
    include_top: bool = False,
    statistics: tuple[Sequence[float], Sequence[float]] | None = None,
    drop_connect: float = 0.0,
) -> keras.Model:
    """Builds a network with random weights.

    Args:
      name: a key of `VARIANTS`.
      size: height and width of the images in pixels; None: those that it was trained on.
      include_top: ends in 1000 ImageNet logits instead of the feature map.
      statistics: mean and variance by channel of the pixels, which then normalize them; None: the constants that the
        ImageNet weights were trained with.
      drop_connect: see `trainer.backbones.build`.

    Returns:
      A model from [N, size, size, 3] float32 RGB of 0..255 to a map [N, h, w, 1280], or to logits [N, 1000].
    """
    variant = VARIANTS[name]
    size = size or variant.size
    pixels = keras.Input((size, size, 3), name="pixels")
    x = _build_normalization(statistics)(pixels)
    x = _normalize_and_activate(_build_conv(STEM_FILTERS, 3, "stem_conv", stride=2)(x), "stem")

    repeats = [_round_repeats(stage, variant.depth, at) for at, stage in enumerate(STAGES)]
    done = 0
    for number, (stage, count) in enumerate(zip(STAGES, repeats, strict=True), start=1):
        for repeat in range(count):
            x = _apply_mbconv(
                x,
                f"block{number}{chr(ord('a') + repeat)}",
                stage._replace(stride=stage.stride if repeat == 0 else 1, filters=_round_filters(stage, variant.width)),
                drop=drop_connect * done / sum(repeats),
            )
            done += 1

    x = _normalize_and_activate(_build_conv(HEAD_FILTERS, 1, "top_conv")(x), "top")
    if include_top:
        x = layers.GlobalAveragePooling2D(name="avg_pool")(x)
        x = layers.Dropout(variant.dropout, name="top_dropout")(x)
        x = layers.Dense(1000, name="predictions")(x)
    return keras.Model(pixels, x, name=name)


def _build_normalization(statistics: tuple[Sequence[float], Sequence[float]] | None) -> layers.Layer:
    # float32 under any policy: bfloat16 has no bits left for a fractional mean beside a pixel of 255.
    if statistics is None:
        return layers.Rescaling(1 / 128, offset=-127 / 128, dtype="float32", name="rescaling")
    mean, variance = statistics
    return layers.Normalization(mean=list(mean), variance=list(variance), dtype="float32", name="normalization")


def _apply_mbconv(x: keras.KerasTensor, name: str, stage: Stage, drop: float) -> keras.KerasTensor:
    """An inverted residual block (Sandler et al. 2018, "MobileNetV2", section 3.3): expand, filter, project."""
    channels = x.shape[-1]
    y = x
    if stage.expand != 1:
        y = _normalize_and_activate(_build_conv(channels * stage.expand, 1, f"{name}_expand_conv")(y), f"{name}_expand")
    y = layers.DepthwiseConv2D(
        stage.kernel,
        strides=stage.stride,
        padding="same",
        use_bias=False,
        depthwise_initializer=_build_initializer(),
        name=f"{name}_dwconv",
    )(y)
    y = layers.ReLU(6.0, name=f"{name}_activation")(_build_batch_norm(f"{name}_bn")(y))
    y = _build_batch_norm(f"{name}_project_bn")(_build_conv(stage.filters, 1, f"{name}_project_conv")(y))
    if stage.stride != 1 or channels != stage.filters:
        return y
    if drop:
        y = layers.Dropout(drop, noise_shape=(None, 1, 1, 1), name=f"{name}_drop")(y)
    return layers.Add(name=f"{name}_add")([x, y])


def _build_conv(filters: int, kernel: int, name: str, stride: int = 1) -> layers.Layer:
    return layers.Conv2D(
        filters, kernel, stride, padding="same", use_bias=False, kernel_initializer=_build_initializer(), name=name
    )


def _normalize_and_activate(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    return layers.ReLU(6.0, name=f"{name}_activation")(_build_batch_norm(f"{name}_bn")(x))


def _build_batch_norm(name: str) -> layers.Layer:
    return layers.BatchNormalization(momentum=0.99, epsilon=1e-3, name=name)


def _build_initializer() -> keras.Initializer:
    """He et al. 2015 on the fan-out, as the reference code and keras.applications have it."""
    return keras.initializers.VarianceScaling(2.0, mode="fan_out", distribution="truncated_normal")


def _round_repeats(stage: Stage, depth: float, at: int) -> int:
    """Lite deepens neither the first nor the last stage."""
    return stage.repeats if at in (0, len(STAGES) - 1) else math.ceil(depth * stage.repeats)


def _round_filters(stage: Stage, width: float) -> int:
    """The nearest multiple of 8, but never below nine tenths of what was asked for."""
    wanted = stage.filters * width
    rounded = max(8, int(wanted + 4) // 8 * 8)
    return rounded if rounded >= 0.9 * wanted else rounded + 8

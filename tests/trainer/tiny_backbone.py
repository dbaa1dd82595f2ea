"""A network that trains in seconds."""

import keras

from trainer import backbones


def build_tiny_backbone(name, size, *, weights, weights_sha256, mean, variance):
    """Three convolutions with the names and the blocks that a real one has."""
    x = pixels = keras.Input((size, size, 3), name="pixels")
    x = keras.layers.Rescaling(1 / 255)(x)
    for block, filters in (("stem", 6), ("block1a", 8), ("top", 12)):
        x = keras.layers.Conv2D(filters, 3, 2, use_bias=False, name=f"{block}_conv")(x)
        x = keras.layers.BatchNormalization(name=f"{block}_bn")(x)
        x = keras.layers.ReLU(name=f"{block}_activation")(x)
    model = keras.Model(pixels, x, name="tiny")
    blocks = tuple((f"{block}_conv", f"{block}_bn") for block in ("stem", "block1a", "top"))
    return backbones.Backbone(model, blocks, normalizes=True, pooled_channels=12)

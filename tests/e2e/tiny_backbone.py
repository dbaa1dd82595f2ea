"""A backbone of a few layers, for runs about something else: what takes a minute of each is EfficientNet's graph."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import keras

NAME = "tiny"
CHANNELS = 64


def register() -> None:
    """Adds it to those that a configuration can name; before anything imports `trainer.settings`."""
    from trainer import backbones
    from trainer.backbones import registry

    if NAME not in backbones.NETWORKS:
        registry.register(registry.Network(NAME, 3, (".pth",), _build_model, _group_each_layer))
        backbones.NAMES = tuple(backbones.NETWORKS)


def _group_each_layer(layers: Sequence[str]) -> tuple[tuple[str], ...]:
    return tuple((name,) for name in layers)


def _build_model(name: str, size: int, **_: object) -> "keras.Model":
    return build(size)


def build(size: int) -> "keras.Model":
    """A thumbnail of 8 x 8 pixels or a few more, and `CHANNELS` filters of 8 x 8: random ones, the same each time.

    Digits are told apart by a dense layer behind it.
    """
    import keras

    pixels = keras.Input((size, size, 3))
    thumbnail = keras.layers.AveragePooling2D(size // 8, name="thumbnail")(pixels)
    scaled = keras.layers.Rescaling(1 / 255, name="scaled")(thumbnail)
    initializer = keras.initializers.HeNormal(seed=0)
    filters = keras.layers.Conv2D(CHANNELS, 8, activation="relu", kernel_initializer=initializer, name="filters")
    return keras.Model(pixels, filters(scaled), name=NAME)

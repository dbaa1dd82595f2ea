"""Teaches a stylizer further styles in minutes.

Only their normalization values are trained, so that the other styles stay as they are.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
from PIL import Image

from atelier.stylization import StylizerError
from components.style_renderer.engine import networks
from components.style_renderer.engine.settings import Settings
from components.stylizer import network
from components.stylizer.settings import TrainingSettings
from components.stylizer.stylizer import Stylizer, identify
from components.stylizer.training import loop, objective, targets

SETTINGS = TrainingSettings(
    steps=500,
    minutes=2.5,
    batch_size=2,
    learning_rate=0.02,
    # At other strengths the row "no style" would be trained, which all styles share.
    full_strength=1.0,
    blends=0.0,
    large_share=0.0,
    steps_per_round=25,
)
"""For two processors: with the start, a style takes less than three minutes."""

_CONDITIONAL = (network.ConditionalNormalization, network.ConditionalOffset)

Progress = Callable[[int, Mapping[str, float]], None]
"""Told the steps that are done, and the losses."""


def add_styles(
    stylizer: Stylizer,
    styles: Mapping[str, np.ndarray],
    photographs: Sequence[Image.Image],
    settings: TrainingSettings = SETTINGS,
    progress: Progress = lambda *_: None,
) -> Stylizer:
    """Returns a stylizer with further styles; those that it has give what they gave.

    Args:
      stylizer: what is extended; it is not changed.
      styles: images [H, W, 3] uint8 by id.
      photographs: mode RGB, to train on.
      settings: of the training; `full_strength` is 1.
      progress: told after each round.

    Raises:
      StylizerError: an id is taken, or there is no style.
      TrainingError: there is no photograph, or the loss is no longer a number.
    """
    if not styles:
        raise StylizerError("there is no style to add; name at least one")
    if taken := [style for style in styles if style in stylizer.styles]:
        raise StylizerError(f"the stylizer has the style {taken[0]} already; give the new one another id")
    if settings.full_strength < 1:
        raise StylizerError(f"full_strength is {settings.full_strength}: it must be 1, or all styles would change")
    model = extend(stylizer.model, range(len(stylizer.styles)), len(styles))
    set_trainable(model, values_only=True)
    recipe = networks.choose_recipe(Settings())
    count = len(stylizer.styles)
    grams = [
        np.concatenate([np.zeros((count, *gram.shape[1:]), np.float32), gram])
        for gram in targets.compute(recipe, list(styles.values()), settings.style_size)
    ]
    reached = [objective.TYPICAL] * (count + len(styles))
    judged = objective.Objective(model, networks.build(Settings()), recipe, grams, reached, settings)
    loop.train(judged, photographs, settings, first_style=count, callbacks=[_Told(progress)])
    images = {style: identify(image, settings.style_size) for style, image in styles.items()}
    return Stylizer(model, (*stylizer.styles, *styles), {**stylizer.images, **images}, stylizer.reached)


def set_trainable(model: keras.Model, *, values_only: bool) -> None:
    """Lets the normalization values be trained, and the convolutions unless `values_only`."""
    for layer in model.layers:  # the model's own `trainable` does not reach its layers once they differ
        layer.trainable = not values_only or isinstance(layer, _CONDITIONAL)


def extend(model: keras.Model, kept: Sequence[int], new: int, precision: str = "float32") -> keras.Model:
    """The network with some of its styles' rows, and new ones behind them; the last row is "no style" again.

    Args:
      model: what is extended; it is not changed.
      kept: its styles that stay, by row.
      new: how many rows are added. They begin as the mean of all styles of `model`.
      precision: in which the features are computed; see `network.build`.
    """
    extended = network.build(
        len(kept) + new,
        channels=network.read_channels(model),
        blocks=sum(layer.name.endswith("_add") for layer in model.layers),
        precision=precision,
    )
    values = {variable.path: np.asarray(keras.ops.convert_to_numpy(variable)) for variable in model.variables}
    for layer in extended.layers:
        for variable in layer.variables:
            value = values[variable.path]
            if isinstance(layer, _CONDITIONAL):
                mean = np.repeat(value[:-1].mean(0, keepdims=True), new, axis=0)
                value = np.concatenate([value[list(kept)], mean, value[-1:]])
            variable.assign(value)
    return extended


class _Told(keras.callbacks.Callback):
    def __init__(self, progress: Progress) -> None:
        super().__init__()
        self._progress, self._done = progress, 0

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        self._done += 1

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._progress(self._done, {name: float(value) for name, value in (logs or {}).items()})

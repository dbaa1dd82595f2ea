"""Trains a stylizer with the losses, the feature network and the style targets of the optimizing renderer.

It runs on every Keras backend: on TensorFlow here, on JAX where an accelerator is.
"""

import hashlib
import math
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops
from PIL import Image

from atelier.errors import AtelierError
from components.style_renderer.engine import canvas, losses, networks
from components.style_renderer.engine.networks import FeatureNetwork
from components.style_renderer.engine.settings import Settings
from components.stylizer.crops import Crops
from components.stylizer.settings import TrainingSettings

_WARMUP_STEPS = 500
_FIRST_RATE, _LAST_RATE = 0.25, 0.01
"""Of the learning rate, by the highest. It rises and falls from round to round."""


class TrainingError(AtelierError):
    """A training that cannot begin or go on; the message says why, and what to do."""


class Objective(keras.Model):
    """The network with what it is trained by: inputs as the network's, a loss of its own."""

    def __init__(
        self,
        network: keras.Model,
        features: FeatureNetwork,
        recipe: networks.Recipe,
        targets: Sequence[np.ndarray],
        settings: TrainingSettings,
    ) -> None:
        """Puts the parts together.

        Args:
          network: what is trained.
          features: what judges it, with the layers of the recipe.
          recipe: the optimizer's layers and weights.
          targets: Gram matrices [S, C, C], by style layer, in the order of the network's styles.
          settings: of the training.
        """
        super().__init__(name="objective")
        self.network = network
        self.feature_model = features.model
        self._features = features
        self._recipe = recipe
        # Variables instead of constants: the compiler would copy those into the program.
        self._weights = self.add_weight(shape=(3,), trainable=False, name="weights")
        self._weights.assign(
            [
                recipe.content_weight * settings.content_weight,
                recipe.style_weight * settings.style_weight,
                recipe.tv_weight * settings.tv_weight,
            ]
        )
        self._targets = []
        for number, target in enumerate(targets):
            self._targets.append(self.add_weight(shape=target.shape, trainable=False, name=f"target{number}"))
            self._targets[-1].assign(target)
        self._shown = [keras.metrics.Mean(name) for name in ("content", "style", "tv")]

    def call(self, inputs: dict[str, keras.KerasTensor], training: bool | None = None) -> keras.KerasTensor:
        """What the network gives."""
        return self.network(inputs)

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> keras.KerasTensor:
        """The optimizer's loss of each image, its style weighted by the strength, as a mean over the batch."""
        content, style, tv = self.terms(x["image"], x["style"], y_pred)
        for metric, values in zip(self._shown, (content, style, tv), strict=True):
            metric.update_state(values)
        # As `engine.objective.Weights.at_strength` has it.
        pull = x["strength"] ** 3
        weights = ops.convert_to_tensor(self._weights)
        return ops.mean(weights[0] * content + pull * (weights[1] * style + weights[2] * tv))

    def terms(
        self, image: keras.KerasTensor, style: keras.KerasTensor, stylized: keras.KerasTensor
    ) -> tuple[keras.KerasTensor, keras.KerasTensor, keras.KerasTensor]:
        """Content, style and total variation loss [N] of stylized images, unweighted.

        Args:
          image: [N, H, W, 3] of 0..255, sides that are multiples of the feature network's stride.
          style: [N, S]; the target of a blend is the blend of the targets.
          stylized: [N, H, W, 3] float32 of 0..255.
        """
        wanted = self._features(ops.cast(image, "float32"))
        found = self._features(stylized)
        content = sum(
            losses.content_loss(found[name], ops.stop_gradient(wanted[name])) for name in self._recipe.content_layers
        ) / len(self._recipe.content_layers)
        targets = [ops.tensordot(style, ops.convert_to_tensor(target), 1) for target in self._targets]
        layers = self._recipe.style_layers
        grams = [losses.gram(found[name]) for name in layers]
        return content, losses.style_loss(grams, targets, tuple(layers.values())), losses.total_variation(stylized)


def build(
    model: keras.Model, styles: Sequence[np.ndarray], settings: TrainingSettings, cache: Path | None = None
) -> Objective:
    """The objective with the optimizer's default feature network.

    Args:
      model: the stylizer's network.
      styles: images [H, W, 3] uint8, in the order of the network's styles.
      settings: of the training.
      cache: file for the styles' targets, whose computation takes a while where each size is compiled by itself.

    Raises:
      WeightsError: the feature network's weights cannot be had.
    """
    rendering = Settings()
    features = networks.build(rendering, "bfloat16" if settings.precision == "mixed_bfloat16" else "float32")
    recipe = networks.recipe(rendering)
    return Objective(model, features, recipe, style_targets(recipe, styles, settings.style_size, cache), settings)


def style_targets(
    recipe: networks.Recipe, styles: Sequence[np.ndarray], size: int, cache: Path | None = None
) -> list[np.ndarray]:
    """Gram matrices [S, C, C], by style layer, as `engine.objective.Objective.style_targets` computes them.

    Args:
      recipe: the optimizer's.
      styles: images [H, W, 3] uint8.
      size: longer side in pixels at which they are looked at.
      cache: file that holds them between two trainings of the same styles.
    """
    digest = hashlib.sha256(repr((recipe, size)).encode())
    for style in styles:
        digest.update(repr(style.shape).encode() + style.tobytes())
    if cache is not None and cache.exists():
        with np.load(cache, allow_pickle=False) as kept:
            if str(kept["digest"]) == digest.hexdigest():
                return [kept[name] for name in recipe.style_layers]
    features = networks.build(Settings())  # in float32, whatever the training computes in
    grams = [_grams(features, recipe, style, size) for style in styles]
    targets = {name: np.stack([gram[name] for gram in grams]) for name in recipe.style_layers}
    if cache is not None:
        _write(cache, digest=np.array(digest.hexdigest()), **targets)
    return list(targets.values())


def _grams(features: FeatureNetwork, recipe: networks.Recipe, style: np.ndarray, size: int) -> dict[str, np.ndarray]:
    height, width = canvas.compute_sides(style.shape, min(size, max(style.shape[:2])))
    pixels = canvas.crop(canvas.resize(style, height, width), features.stride).astype(np.float32)
    found = features.model.predict_on_batch(pixels[np.newaxis])
    return {name: ops.convert_to_numpy(losses.gram(found[name]))[0] for name in recipe.style_layers}


def train(
    objective: Objective,
    photographs: Sequence[Image.Image],
    settings: TrainingSettings,
    state: Path | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    first_style: int = 0,
) -> int:
    """Trains the objective's network, from where the training state in `state` is if there is one.

    Args:
      objective: built for the settings.
      photographs: mode RGB; crops of them are the content images.
      settings: of the training.
      state: file for the training state; None keeps none.
      callbacks: Keras'.
      first_style: the styles before it are not trained.

    Returns:
      How many steps are done.

    Raises:
      TrainingError: there is no photograph, the state is another training's, or the loss is no longer a number.
    """
    if not photographs:
        raise TrainingError("there are no photographs to train on: give a folder of images")
    objective.compile(optimizer=keras.optimizers.Adam(settings.learning_rate))
    objective.optimizer.build(objective.trainable_variables)
    limits = _Limits(settings)
    keeper = _State(objective, state, settings, limits)
    keeper.load()
    if not limits.reached():
        styles = range(first_style, objective.network.input["style"].shape[-1])
        crops = Crops(photographs, styles, settings, limits.done)
        rounds = -(-(settings.steps - limits.done) // settings.steps_per_round)
        objective.fit(crops, epochs=rounds, shuffle=False, verbose=0, callbacks=[limits, keeper, *callbacks])
        if limits.broken:
            raise TrainingError(f"the loss is not a number after {limits.done} steps: give a smaller learning rate")
    return limits.done


class _Limits(keras.callbacks.Callback):
    """Sets the learning rate of each round, and stops after the steps or the minutes of the settings."""

    def __init__(self, settings: TrainingSettings) -> None:
        super().__init__()
        self._settings = settings
        self.done = 0
        self.broken = False
        self.go_on(0, 0.0)

    def go_on(self, done: int, seconds: float) -> None:
        """Counts on from so many steps and seconds."""
        self.done = done
        self._began = time.monotonic() - seconds

    @property
    def seconds(self) -> float:
        """How long the training has taken, before a stop too."""
        return time.monotonic() - self._began

    def reached(self) -> bool:
        """Whether the steps or the minutes are over."""
        return self.done >= self._settings.steps or self._elapsed() >= 1

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        progress = max(self.done / self._settings.steps, self._elapsed())
        falling = max(_LAST_RATE, (1 + math.cos(math.pi * min(1.0, progress))) / 2)
        rising = min(1.0, _FIRST_RATE + self.done / _WARMUP_STEPS)
        self.model.optimizer.learning_rate = self._settings.learning_rate * rising * falling

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        self.done += 1
        if self.reached():
            self.model.stop_training = True

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Also stops when the loss is no longer a number."""
        if not np.isfinite((logs or {})["loss"]):
            self.broken = True
            self.model.stop_training = True

    def _elapsed(self) -> float:
        """Share of the minutes that are over."""
        return self.seconds / 60 / (self._settings.minutes or math.inf)


class _State(keras.callbacks.Callback):
    """Saves what a training goes on from after each round: weights, the optimizer's variables, and its seconds.

    The optimizer's variables tell the steps.
    """

    def __init__(self, objective: Objective, file: Path | None, settings: TrainingSettings, limits: _Limits) -> None:
        super().__init__()
        self._file, self._limits = file, limits
        self._iterations = objective.optimizer.iterations
        self._variables = [*objective.network.variables, *objective.optimizer.variables]
        # Where it is trained, and how fast, may change on the way.
        self._settings = settings.model_dump_json(exclude={"minutes", "workers", "steps_per_round"})

    def load(self) -> None:
        """Takes up the state in the file, if there is one."""
        if self._file is None or not self._file.exists():
            return
        try:
            with np.load(self._file, allow_pickle=False) as state:
                values = [state[f"v{number}"] for number in range(len(state.files) - 2)]
                settings, seconds = str(state["settings"]), float(state["seconds"])
        except (OSError, ValueError, KeyError) as error:
            raise TrainingError(
                f"{self._file}: the file is not a training state ({error}); remove it to start again"
            ) from None
        shapes = [value.shape for value in values]
        if settings != self._settings or shapes != [tuple(variable.shape) for variable in self._variables]:
            raise TrainingError(
                f"{self._file}: the file is the state of a training with other settings or styles; "
                "remove it to start again"
            )
        for variable, value in zip(self._variables, values, strict=True):
            variable.assign(value)
        self._limits.go_on(int(ops.convert_to_numpy(self._iterations)), seconds)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if self._file is None:
            return
        values = {f"v{number}": ops.convert_to_numpy(variable) for number, variable in enumerate(self._variables)}
        seconds = np.array(self._limits.seconds)
        _write(self._file, settings=np.array(self._settings), seconds=seconds, **values)


def _write(file: Path, **arrays: np.ndarray) -> None:
    """Writes or replaces a file whole: a kill leaves the old one."""
    partial = file.with_name(f".{file.name}.partial")
    with partial.open("wb") as stream:
        np.savez(stream, **arrays)  # type: ignore[arg-type]
        stream.flush()
        os.fsync(stream.fileno())
    partial.replace(file)

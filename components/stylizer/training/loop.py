"""Trains a stylizer: how long, how fast, and from where it goes on.

It runs on every Keras backend: on TensorFlow here, on JAX where an accelerator is.
"""

import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops
from PIL import Image

from atelier.errors import AtelierError
from compat import freed_memory
from components.stylizer.settings import TrainingSettings
from components.stylizer.training import targets
from components.stylizer.training.crops import Crops
from components.stylizer.training.objective import Objective

_WARMUP_STEPS = 500
_FIRST_RATE, _LAST_RATE = 0.25, 0.01
"""Of the learning rate, by the highest. It rises and falls from round to round."""


class TrainingError(AtelierError):
    """A training that cannot begin or go on; the message says why, and what to do."""


@freed_memory.keep()
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
    styles = range(first_style, objective.network.input["style"].shape[-1])
    # Two trainings: TensorFlow wants images of one size in each.
    for large, limits.end in ((False, 1 - settings.large_share), (True, 1.0)):
        if not limits.is_reached():
            crops = Crops(photographs, styles, settings, limits.done, large=large)
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
        self.end = 1.0
        """The share of the training after which it stops."""
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

    def is_reached(self) -> bool:
        """Whether `end` is."""
        return self._compute_progress() >= self.end

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        falling = max(_LAST_RATE, (1 + math.cos(math.pi * min(1.0, self._compute_progress()))) / 2)
        rising = min(1.0, _FIRST_RATE + self.done / _WARMUP_STEPS)
        self.model.optimizer.learning_rate = self._settings.learning_rate * rising * falling

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        self.done += 1
        if self.is_reached():
            self.model.stop_training = True

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Also stops when the loss is no longer a number."""
        if not np.isfinite((logs or {})["loss"]):
            self.broken = True
            self.model.stop_training = True

    def _compute_progress(self) -> float:
        """Share of the steps or of the minutes that are over."""
        seconds = 60 * (self._settings.minutes or math.inf)
        return max(self.done / self._settings.steps, self.seconds / seconds)


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
        targets.write(self._file, settings=np.array(self._settings), seconds=seconds, **values)

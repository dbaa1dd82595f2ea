"""One phase of training: it keeps its best weights, and goes on where it was stopped."""

import csv
import logging
import math
import shutil
import time
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from atelier.errors import AtelierError
from compat import freed_memory

_AFTER = "after-{}.npz"
"""Weights and optimizer after so many epochs."""
_log = logging.getLogger("atelier.trainer")


class DivergedError(AtelierError):
    """The loss is no longer a finite number, and no epoch before has weights to go back to."""


@freed_memory.keep()
def fit(
    model: keras.Model,
    train: Any,
    evaluation: Any,
    *,
    name: str,
    epochs: int,
    steps: int | None,
    patience: int,
    class_weight: Mapping[int, float] | None,
    state: Path,
    log_dir: str | None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> list[dict[str, float]]:
    """Fits from where an earlier call was killed, if one was, and leaves the best weights in `model`.

    Args:
      model: compiled, with a metric named `accuracy`.
      train: batches of (input, one-hot label), an epoch long, in an order of their own in every epoch.
      evaluation: the same; its accuracy decides which weights are best.
      name: of the phase; names its folders in `state` and `log_dir`, too.
      epochs: at most this many, those of earlier calls included.
      steps: at most this many of the optimizer's, None for all: whole epochs as far as they go, or a part of one.
      patience: epochs without a better eval accuracy before training stops.
      class_weight: by class id; None weighs all alike.
      state: folder of what a killed call leaves behind. Once a phase is done, it is not trained again.
      log_dir: folder of the TensorBoard logs; None: there are none, and no epoch is told of, as in a search's trials.
      callbacks: more of them, called before the phase's own.

    Returns:
      A row an epoch: `epoch` (from 0), `loss`, `accuracy`, `val_loss`, `val_accuracy` and `seconds`. Where the loss
      is NaN or infinite after an epoch, training ends, and that epoch and its weights do not count.

    Raises:
      DivergedError: that happened in the first epoch.
    """
    directory = state / name
    directory.mkdir(parents=True, exist_ok=True)
    done, best, log = directory / "done.npz", directory / "best.npz", directory / "epochs.csv"
    if not done.exists():
        epochs, steps_an_epoch = limit_steps(steps, len(train), epochs)
        reached = max((row["val_accuracy"] for row in _read_epochs(log)), default=None)
        new = directory / "new.npz"
        try:
            model.fit(
                train,
                validation_data=evaluation,
                initial_epoch=_restore(model, directory),
                epochs=epochs,
                steps_per_epoch=steps_an_epoch,
                class_weight=class_weight,
                shuffle=False,  # `train` does it
                verbose=0,
                callbacks=[
                    *callbacks,
                    *([keras.callbacks.TensorBoard(f"{log_dir}/{name}", write_graph=False)] if log_dir else []),
                    _EpochSeconds(name, epochs, logging.INFO if log_dir else logging.DEBUG),
                    _RequireFiniteLoss(name),
                    # In this order a kill between any two is harmless: no accuracy is logged whose weights are not
                    # kept, and an epoch that is trained again since its state was not saved is read from the log once.
                    _Save(new, best, reached),
                    keras.callbacks.CSVLogger(str(log), append=True),
                    keras.callbacks.EarlyStopping("val_accuracy", mode="max", patience=patience, baseline=reached),
                    _EndEpoch(new),
                ],
            )
        except DivergedError as error:
            if not best.exists():
                raise
            _log.warning("%s; the best weights of the epochs before are taken", error)
        best.rename(done)
        for file in directory.glob(_AFTER.format("*")):
            file.unlink()
    _load(model, done)
    return _read_epochs(log)


def limit_steps(steps: int | None, batches: int, epochs: int) -> tuple[int, int | None]:
    """Returns epochs, and steps an epoch (None: all of its batches), that stay within `steps` of the optimizer."""
    if steps is None or steps >= batches * epochs:
        return epochs, None
    return (steps // batches, None) if steps >= batches else (1, steps)


class _EpochSeconds(keras.callbacks.Callback):
    """Adds each epoch's seconds to its logs, and says how it went."""

    def __init__(self, name: str, epochs: int, level: int) -> None:
        super().__init__()
        self._name, self._epochs, self._level, self._started = name, epochs, level, 0.0

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self._started = time.monotonic()

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        assert logs is not None  # Keras always passes them; its signature says otherwise
        logs["seconds"] = time.monotonic() - self._started
        message = "%s epoch %d/%d: eval accuracy %.3f"
        _log.log(self._level, message, self._name, epoch + 1, self._epochs, logs["val_accuracy"])


class _RequireFiniteLoss(keras.callbacks.Callback):
    """Ends the training before weights are kept that give NaN."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self._name = name

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        assert logs is not None
        for key in ("loss", "val_loss"):
            if not math.isfinite(logs[key]):
                raise DivergedError(
                    f"{self._name} epoch {epoch + 1}: {key} is {logs[key]}: the training has diverged; lower the "
                    "learning rate, or set trainer.mixed_precision to float32 if it is a 16-bit format"
                )


class _Save(keras.callbacks.Callback):
    """Saves the epoch's weights and optimizer, once, since that takes long; a better epoch's are copied to `best`.

    Both are whole at any moment under their last names: `best`, and that which `_EndEpoch` gives.
    """

    def __init__(self, new: Path, best: Path, reached: float | None) -> None:
        super().__init__()
        self._new, self._best, self._reached = new, best, -1.0 if reached is None else reached

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        assert logs is not None
        np.savez(self._new, *(variable.numpy() for variable in _list_variables(self.model)))
        if logs["val_accuracy"] > self._reached:
            self._reached = logs["val_accuracy"]
            copy = self._new.with_name("copy.npz")
            shutil.copyfile(self._new, copy)
            copy.replace(self._best)


class _EndEpoch(keras.callbacks.Callback):
    """Gives what `_Save` saved the name from which a next call knows where to go on."""

    def __init__(self, new: Path) -> None:
        super().__init__()
        self._new = new

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self._new.replace(self._new.with_name(_AFTER.format(epoch + 1)))
        # The one before is kept: where the power fails, a file may lose what it had not yet brought to the disk.
        self._new.with_name(_AFTER.format(epoch - 1)).unlink(missing_ok=True)


def _restore(model: keras.Model, directory: Path) -> int:
    """Loads the state of the last epoch whose file is whole, if there is one; returns the epochs until then."""
    prefix, suffix = _AFTER.split("{}")
    files = {
        int(file.name.removeprefix(prefix).removesuffix(suffix)): file for file in directory.glob(_AFTER.format("*"))
    }
    return next((epochs for epochs in sorted(files, reverse=True) if _load_whole(model, files[epochs])), 0)


def _load_whole(model: keras.Model, file: Path) -> bool:
    """Loads `file` unless it is damaged, which it says."""
    try:
        _load(model, file)
    except (OSError, EOFError, zipfile.BadZipFile) as error:
        _log.warning("%s is damaged (%s): training goes on from an earlier epoch", file, error)
        return False
    return True


def _load(model: keras.Model, file: Path) -> None:
    model.optimizer.build(model.trainable_variables)  # the file holds its state, too
    with np.load(file) as arrays:
        values = [arrays[name] for name in arrays.files]  # all of them, before anything is changed
    for variable, value in zip(_list_variables(model), values, strict=True):
        variable.assign(value)


def _list_variables(model: keras.Model) -> list[keras.Variable]:
    """The whole state, in an order that the architecture gives.

    `save_weights` would search every layer's attributes for it, which takes longer than to write it down.
    """
    return [*model.variables, *model.optimizer.variables]


def _read_epochs(log: Path) -> list[dict[str, float]]:
    if not log.exists():
        return []
    with log.open(newline="", encoding="utf-8") as lines:
        rows = {int(row["epoch"]): {key: float(value) for key, value in row.items()} for row in csv.DictReader(lines)}
    return [rows[epoch] for epoch in sorted(rows)]

"""One way to train beside another: the Trainer's, and that of `keras_script`, on one backbone and the same images."""

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from benchmarks import photos
from benchmarks.training import keras_script
from trainer import backbones
from trainer.model import build_classifier
from trainer.training import feature_cache, phase

BATCH = 32
HEAD_RATE, FINE_TUNE_RATE = 1e-3, 1e-4
FINE_TUNE_AT = 4
"""First block that fine-tuning changes, as in the Trainer's default."""
STEPS_PER_EXECUTION = 32
"""The Trainer's, on kept features."""


class Clock(keras.callbacks.Callback):
    """Notes the seconds from its making to each epoch's end; ends training at an eval accuracy, if one is given."""

    def __init__(self, until: float | None = None) -> None:
        super().__init__()
        self._until, self._began = until, time.perf_counter()
        self._train_began = self.fit_seconds = 0.0
        """Of all epochs with what callbacks do after them; without what comes before the first and after the last."""
        self.seconds: list[float] = []
        self.accuracy: list[float] = []
        """On the eval split, after each epoch."""

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Keras calls it once, right before the first epoch."""
        self._train_began = time.perf_counter()

    def on_train_end(self, logs: dict[str, float] | None = None) -> None:
        """Keras calls it once, after everything that follows the last epoch."""
        self.fit_seconds = time.perf_counter() - self._train_began

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Keras calls it after the epoch's evaluation."""
        self.seconds.append(time.perf_counter() - self._began)
        assert logs is not None  # Keras always passes them; its signature says otherwise
        self.accuracy.append(logs["val_accuracy"])
        if self._until is not None and self.accuracy[-1] >= self._until:
            self.model.stop_training = True


@dataclass
class Data:
    """How many batches of a run's images an epoch has; None: all."""

    run: photos.Run
    train: int | None
    evaluation: int | None

    def read_ours(self, split: str, **options: Any) -> tf.data.Dataset:
        """Transformed examples as the Trainer reads them."""
        dataset, limit = self.run.read_batches(split, BATCH, **options), self._limit_batches(split)
        return dataset if limit is None else dataset.take(limit)

    def read_labeled(self, split: str, **options: Any) -> tf.data.Dataset:
        """The same with one-hot labels and a known length, as the Trainer passes them to `fit`."""
        count, limit = len(list((self.run.images / split).rglob("*.jpg"))), self._limit_batches(split)
        batches = -(-count // BATCH) if limit is None else limit
        dataset = self.read_ours(split, **options).map(
            lambda pixels, label: (pixels, tf.one_hot(label, photos.CLASSES))
        )
        return dataset.apply(tf.data.experimental.assert_cardinality(batches))

    def read_theirs(self, split: str) -> tf.data.Dataset:
        """The images' files, as the Keras script reads them; nothing is decoded yet."""
        folder = self.run.images / split
        return keras_script.read_images(
            folder, photos.SIZE, BATCH, self._limit_batches(split), training=split == "train"
        )

    def _limit_batches(self, split: str) -> int | None:
        return self.train if split == "train" else self.evaluation


class Ours:
    """The Trainer's path. The first call after compiling traces."""

    def __init__(self, data: Data, backbone: backbones.Backbone) -> None:
        self._data, self._backbone = data, backbone
        self.classifier = build_classifier(backbone, photos.CLASSES, keras_script.DROPOUT)

    def compile_frozen(self) -> None:
        """For `train_frozen`: the head alone is trained."""
        backbones.set_trainable(self._backbone, None)
        self._extract = feature_cache.freeze_weights(self.classifier.features)
        keras_script.compile_model(self.classifier.head, HEAD_RATE, STEPS_PER_EXECUTION)

    def train_frozen(self, epochs: int, until: float | None = None) -> tuple[Clock, float]:
        """Features of both splits, then epochs of the head on them; returns the clock, and the seconds of it all."""
        clock, began = Clock(until), time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            caches = {
                split: feature_cache.FeatureCache(
                    *feature_cache.compute(self._extract, self._data.read_ours(split), Path(folder), split),
                    photos.CLASSES,
                    BATCH,
                    seed=0 if split == "train" else None,
                )
                for split in ("train", "eval")
            }
            fit(self.classifier.head, caches["train"], caches["eval"], epochs, Path(folder), clock)
            return clock, time.perf_counter() - began

    def compile_fine_tuning(self) -> None:
        """For `train_whole_model`: the upper blocks are trained, too."""
        backbones.set_trainable(self._backbone, FINE_TUNE_AT)
        keras_script.compile_model(self.classifier.model, FINE_TUNE_RATE)

    def train_whole_model(self, epochs: int) -> Clock:
        """Epochs of the whole model, for which it must be compiled; with what the phase keeps after each."""
        train, evaluation = self._data.read_labeled("train", seed=0), self._data.read_labeled("eval")
        clock = Clock()
        with tempfile.TemporaryDirectory() as folder:
            fit(self.classifier.model, train, evaluation, epochs, Path(folder), clock)
        return clock


class Theirs:
    """The Keras script's path, on the same backbone."""

    def __init__(self, data: Data, backbone: backbones.Backbone) -> None:
        self._data = data
        self.model = keras_script.build_model(backbone, photos.SIZE, photos.CLASSES)
        self._decoded: tuple[tf.data.Dataset, tf.data.Dataset] | None = None

    def compile(self, learning_rate: float) -> None:
        """After `Ours` has set which blocks are trained."""
        keras_script.compile_model(self.model, learning_rate)

    def train_frozen(self, epochs: int, until: float | None = None) -> tuple[Clock, float]:
        """Epochs from files that nobody has decoded yet; returns the clock, and the seconds of it all."""
        clock, began = Clock(until), time.perf_counter()
        self._decoded = (self._data.read_theirs("train"), self._data.read_theirs("eval"))
        self._fit(epochs, clock)
        return clock, time.perf_counter() - began

    def fine_tune(self, epochs: int) -> Clock:
        """Epochs after `train_frozen`, whose decoded images are in memory."""
        clock = Clock()
        self._fit(epochs, clock)
        return clock

    def _fit(self, epochs: int, clock: Clock) -> None:
        assert self._decoded
        train, evaluation = self._decoded
        self.model.fit(
            train,
            validation_data=evaluation,
            epochs=epochs,
            shuffle=False,  # the dataset does it
            verbose=0,
            callbacks=[clock],
        )


def fit(model: keras.Model, train: Any, evaluation: Any, epochs: int, state: Path, clock: Clock) -> list[dict]:
    """One phase as the Trainer trains it, with all that it keeps on disk; returns its rows."""
    return phase.fit(
        model,
        train,
        evaluation,
        name="phase",
        epochs=epochs,
        steps=None,
        patience=epochs,
        class_weight=None,
        state=state,
        log_dir=str(state / "logs"),
        callbacks=[clock],
    )

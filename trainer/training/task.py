"""What the Trainer and the Tuner share: the data, the network, and the two phases of training.

1. The head, on features of the frozen backbone that are computed once.
2. The blocks from `fine_tune_at` on, with batch normalization in inference mode, a linear warm-up
   and a cosine decay (Loshchilov & Hutter 2017, section 3, without restarts).
"""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tensorflow_transform as tft
from tensorflow_metadata.proto.v0 import schema_pb2
from tfx.components.trainer.fn_args_utils import FnArgs
from tfx.utils import io_utils

from atelier.layout import EVAL, TRAIN
from trainer import augmentation, backbones, features
from trainer.model import Classifier, build_classifier
from trainer.settings import Trainer, TrainingConfig
from trainer.training import batches, feature_cache, phase, precision
from trainer.training.devices import choose_strategy
from trainer.training.optimization import build_warmup_and_cosine, compile_model
from trainer.training.state import hash_json

PRECISION_FILE = "precision.json"

_log = logging.getLogger("atelier.trainer")


class Task:
    """The training data of one run, and networks for them."""

    def __init__(self, fn_args: FnArgs, config: TrainingConfig, state: Path) -> None:
        """Reads what Transform left, chooses the precision for what is built from now on, and sets the random seed.

        Args:
          fn_args: TFX's, for the places of the data.
          config: its `custom_config`, with tuned values in the section `trainer`.
          state: folder of what a killed training leaves behind; the choice of the precision is kept there.
        """
        self.settings = config.trainer
        self.size = config.image.size
        self.transform_output = tft.TFTransformOutput(fn_args.transform_graph_path)
        schema = io_utils.parse_pbtxt_file(fn_args.schema_path, schema_pb2.Schema())
        self.classes = features.read_classes(
            schema,
            config.data.label_key,
            self.transform_output,
            names=config.class_names,
            text_key=config.data.text_key,
        )
        self.files = {TRAIN: fn_args.train_files, EVAL: fn_args.eval_files}
        self.steps: int | None = fn_args.train_steps
        self.class_weight = _compute_class_weights(self.classes.counts) if self.settings.class_weights else None
        self._augmentation = config.augmentation
        self._accessor = fn_args.data_accessor
        self._mean, self._variance = batches.read_channel_statistics(
            self.files[TRAIN], self._accessor, self.transform_output
        )
        self.precision = precision.choose(
            self.settings.mixed_precision, self._count_steps(), self._build_steps, state / PRECISION_FILE
        )
        self.policy = self.precision.policy
        keras.config.set_dtype_policy(self.policy)
        # Last: what was built for a measurement has drawn random numbers, and without one none were drawn.
        keras.utils.set_random_seed(self.settings.seed)

    def read_batches(self, split: str, batch_size: int, **options: Any) -> tf.data.Dataset:
        """Reads a split once; see `batches.read_batches` for `options`."""
        return batches.read_batches(
            self.files[split],
            self._accessor,
            self.transform_output,
            size=self.size,
            batch_size=batch_size,
            **options,
        )

    def build_backbone(self) -> backbones.Backbone:
        """Builds the backbone again, with its first weights."""
        settings = self.settings
        return backbones.build(
            settings.backbone,
            self.size,
            weights=settings.weights,
            weights_sha256=settings.weights_sha256,
            mean=self._mean,
            variance=self._variance,
        )

    def build_classifier(self, backbone: backbones.Backbone, settings: Trainer) -> Classifier:
        """Puts a new head on `backbone`."""
        return build_classifier(backbone, len(self.classes.names), settings.dropout)

    def compute_features(self, extractor: keras.Model, directory: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Returns features and labels by split: computed, or read from `directory`; see `feature_cache.compute`.

        Raises:
          ValueError: a label is none of the classes, or a split is empty.
        """
        extract = feature_cache.freeze_weights(extractor)
        found = {}
        for split in self.files:
            batches = self.read_batches(split, self.settings.batch_size)
            found[split] = feature_cache.compute(extract, batches, directory, split)
            _check_labels(found[split][1], len(self.classes.names), split)
        return found

    def name_features_directory(self, parent: Path) -> Path:
        """Returns the folder below `parent` for the features of this data under this backbone, whatever else is set."""
        network = [self.settings.backbone, self.settings.weights, self.settings.weights_sha256]
        same = [network, self.policy, self.size, self.files, self.transform_output.transform_savedmodel_dir]
        return parent / f"features-{hash_json(same)}"

    def train_head(
        self,
        classifier: Classifier,
        kept: Mapping[str, tuple[np.ndarray, np.ndarray]],
        settings: Trainer,
        state: Path,
        log_dir: str | None = None,
        callbacks: Sequence[keras.callbacks.Callback] = (),
    ) -> list[dict[str, float]]:
        """Trains the head alone on `kept` features; returns the phase's curves. See `phase.fit` for the rest."""
        class_count, batch_size = len(self.classes.names), settings.batch_size
        caches = {
            split: feature_cache.FeatureCache(
                *kept[split], class_count, batch_size, settings.seed if split == TRAIN else None
            )
            for split in kept
        }
        # Keras' own work around a step takes longer than the step on kept features: many at once halve the epoch.
        compile_model(classifier.head, settings.head_learning_rate, settings, steps_per_execution=32)
        return self._fit("head", settings.head_epochs, classifier.head, caches, settings, state, log_dir, callbacks)

    def fine_tune(
        self,
        classifier: Classifier,
        backbone: backbones.Backbone,
        examples: Mapping[str, int],
        settings: Trainer,
        state: Path,
        log_dir: str | None = None,
        callbacks: Sequence[keras.callbacks.Callback] = (),
    ) -> list[dict[str, float]]:
        """Trains the head and the backbone's blocks from `fine_tune_at` on; returns the phase's curves.

        `examples` has the number of examples by split, which the records do not tell before they are read.
        """
        backbones.set_trainable(backbone, settings.fine_tune_at)
        class_count, batch_size = len(self.classes.names), settings.batch_size
        counts = {split: -(-count // batch_size) for split, count in examples.items()}

        def read_one_hot(split: str, **options: Any) -> tf.data.Dataset:
            labeled = self.read_batches(split, batch_size, **options).map(
                lambda pixels, label: (pixels, tf.one_hot(label, class_count))
            )
            return labeled.apply(tf.data.experimental.assert_cardinality(counts[split]))

        epochs, steps_an_epoch = phase.limit_steps(self.steps, counts[TRAIN], settings.fine_tune_epochs)
        steps = epochs * (steps_an_epoch or counts[TRAIN])
        rate = build_warmup_and_cosine(settings.fine_tune_learning_rate, steps, settings.warmup_fraction)
        compile_model(classifier.model, rate, settings)
        strength = settings.augmentation_strength
        train = read_one_hot(
            TRAIN,
            seed=settings.seed,
            flip=settings.flip_on_the_fly,
            augment=augmentation.scale_ranges(self._augmentation, strength) if strength else None,
        )
        splits = {TRAIN: train, EVAL: read_one_hot(EVAL)}
        return self._fit(
            "fine_tune", settings.fine_tune_epochs, classifier.model, splits, settings, state, log_dir, callbacks
        )

    def _count_steps(self) -> int:
        """Steps of the phase that takes longest: fine-tuning, or else one pass through the frozen backbone."""
        examples = sum(self.classes.counts) * (1 + self._augmentation.copies)
        batches = -(-examples // self.settings.batch_size)
        if not self.settings.fine_tune_epochs:
            return batches
        epochs, steps_an_epoch = phase.limit_steps(self.steps, batches, self.settings.fine_tune_epochs)
        return epochs * (steps_an_epoch or batches)

    def _build_steps(self, policies: tuple[str, ...]) -> dict[str, Callable[[], Any]]:
        """By policy: runs one step of the phase that takes longest on a batch of the training data."""
        (batch,) = self.read_batches(TRAIN, self.settings.batch_size).take(1)
        return {policy: self._build_step(policy, *batch) for policy in policies}

    def _build_step(self, policy: str, pixels: tf.Tensor, labels: tf.Tensor) -> Callable[[], Any]:
        keras.config.set_dtype_policy(policy)
        devices = choose_strategy()
        with devices.scope():
            backbone = self.build_backbone()
            classifier = self.build_classifier(backbone, self.settings)
            if not self.settings.fine_tune_epochs:
                extract = feature_cache.freeze_weights(classifier.features)
                return lambda: extract(pixels)
            backbones.set_trainable(backbone, self.settings.fine_tune_at)
            compile_model(classifier.model, self.settings.fine_tune_learning_rate, self.settings)
        share = -(-len(labels) // devices.num_replicas_in_sync)  # `train_on_batch` hands every device all that it gets
        one_hot = tf.one_hot(labels, len(self.classes.names))
        return lambda: classifier.model.train_on_batch(pixels[:share], one_hot[:share])

    def _fit(
        self,
        name: str,
        epochs: int,
        model: keras.Model,
        splits: Mapping[str, Any],
        settings: Trainer,
        state: Path,
        log_dir: str | None,
        callbacks: Sequence[keras.callbacks.Callback],
    ) -> list[dict[str, float]]:
        return phase.fit(
            model,
            splits[TRAIN],
            splits[EVAL],
            name=name,
            epochs=epochs,
            steps=self.steps,
            patience=settings.patience,
            class_weight=self.class_weight,
            state=state,
            log_dir=log_dir,
            callbacks=callbacks,
        )


def compute_features_timed(
    task: Task, extractor: keras.Model, directory: Path
) -> tuple[dict[str, tuple[np.ndarray, np.ndarray]], float]:
    """`Task.compute_features`, and the seconds that it took."""
    started = time.monotonic()
    kept = task.compute_features(extractor, directory)
    seconds = time.monotonic() - started
    _log.info("features of the frozen backbone ready in %.1f s", seconds)
    return kept, seconds


def _check_labels(labels: np.ndarray, class_count: int, split: str) -> None:
    strange = sorted(set(labels[(labels < 0) | (labels >= class_count)].tolist()))
    if strange:
        raise ValueError(
            f"{split}: the ids {', '.join(map(str, strange))} are not among the {class_count} classes, 0 to "
            f"{class_count - 1} (-1: no label, or a text that the training split lacks); split the data again"
        )


def _compute_class_weights(counts: list[int]) -> dict[int, float]:
    """Weights inverse to the frequencies, 1 on average over the examples; absent classes weigh 0."""
    present = sum(count > 0 for count in counts)
    return {label: sum(counts) / (present * count) if count else 0.0 for label, count in enumerate(counts)}

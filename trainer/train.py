"""`run_fn` of the Trainer component: EfficientNet transfer learning in two phases.

1. The head, on features of the frozen backbone that are computed once.
2. The blocks from `fine_tune_at` on, with batch normalisation in inference mode, a linear warm-up
   and a cosine decay (Loshchilov & Hutter 2017, section 3, without restarts).

Training goes on where it was stopped: its state lies in `state_dir` until the model is exported.
"""

import hashlib
import json
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tensorflow_transform as tft
from tensorflow_metadata.proto.v0 import schema_pb2
from tfx.components.trainer.fn_args_utils import FnArgs
from tfx.utils import io_utils

from trainer import backbones, export, feature_cache, features, folders, phase, precision
from trainer import input as inputs
from trainer.model import Classifier, build_classifier

TRAINING_FILE = "training.json"
"""In the ModelRun artifact: curves, timings and settings of this training, for the report."""

_log = logging.getLogger("atelier.trainer")


def run_fn(fn_args: FnArgs) -> None:
    """Trains, and exports the best weights.

    `fn_args.custom_config` holds the sections `trainer`, `image` and `data` of the configuration and
    `state_dir`, a local folder for what a killed training leaves behind ("": none is kept).

    `fn_args.train_steps` limits the optimiser's steps of each phase, None: the configuration's epochs alone do.

    Writes the SavedModel to `fn_args.serving_model_dir`, `model.keras` beside it, and TensorBoard
    logs and `training.json` to `fn_args.model_run_dir`.
    """
    _use_all_gpu_memory_by_need()
    started = time.monotonic()
    config = fn_args.custom_config
    settings, size = config["trainer"], config["image"]["size"]
    keras.utils.set_random_seed(settings["seed"])
    transform_output = tft.TFTransformOutput(fn_args.transform_graph_path)
    schema = io_utils.parse_pbtxt_file(fn_args.schema_path, schema_pb2.Schema())
    classes = features.classes(schema, config["data"]["label_key"], transform_output)

    def batches(files: list[str], *, batch_size: int = settings["batch_size"], **options: Any) -> tf.data.Dataset:
        return inputs.pixel_batches(
            files, fn_args.data_accessor, transform_output, size=size, batch_size=batch_size, **options
        )

    mean, variance = inputs.channel_statistics(fn_args.train_files, fn_args.data_accessor, transform_output)

    def build() -> tuple[backbones.Backbone, Classifier]:
        backbone = backbones.build(
            settings["backbone"],
            size,
            weights=settings["weights"],
            weights_sha256=settings["weights_sha256"],
            mean=mean,
            variance=variance,
        )
        return backbone, build_classifier(backbone, len(classes.names), settings["dropout"])

    policy = precision.resolve(settings["mixed_precision"])
    keras.config.set_dtype_policy(policy)
    state = _state_directory(fn_args)
    class_weight = _balanced(classes.counts) if settings["class_weights"] else None
    with _strategy().scope():
        backbone, classifier = build()
        phases = {"head": _train_head(classifier, backbone, batches, fn_args, settings, class_weight, state)}
        if settings["fine_tune_epochs"]:
            phases["fine_tune"] = _fine_tune(
                classifier, backbone, batches, fn_args, settings, class_weight, phases["head"]["batches"], state
            )

    # Serving and TFLite take float32 graphs only (the converter refuses mixed precision): the same
    # architecture is built once more and takes over the trained values.
    keras.config.set_dtype_policy("float32")
    _, exported = build()
    exported.model.set_weights(classifier.model.get_weights())
    artifact, name = os.path.split(fn_args.serving_model_dir)
    with folders.written(artifact) as folder:
        export.export(
            exported.model,
            folder / name,
            class_names=classes.names,
            transform_output=transform_output,
            image_key=config["data"]["image_key"],
            size=size,
            resize=config["image"]["resize"],
            sample=next(iter(batches(fn_args.train_files, batch_size=1)))[0],
            provenance=config["provenance"],
        )
    training = {"precision": policy, "phases": phases, "seconds": round(time.monotonic() - started, 1)}
    io_utils.write_string_file(f"{fn_args.model_run_dir}/{TRAINING_FILE}", json.dumps(training, indent=1))
    shutil.rmtree(state)


def _train_head(
    classifier: Classifier,
    backbone: backbones.Backbone,
    batches: Any,
    fn_args: FnArgs,
    settings: Mapping[str, Any],
    class_weight: Mapping[int, float] | None,
    state: Path,
) -> dict[str, Any]:
    """Trains the head alone; returns the phase's curves and what the feature cache saved."""
    backbones.set_trainable(backbone, None)
    started = time.monotonic()
    class_count = classifier.head.output_shape[-1]
    caches = {}
    for name, files, seed in (("train", fn_args.train_files, settings["seed"]), ("eval", fn_args.eval_files, None)):
        kept = feature_cache.compute(classifier.features, batches(files), state / "features", name)
        _check_labels(kept[1], class_count, name)
        caches[name] = feature_cache.FeatureCache(*kept, class_count, settings["batch_size"], seed)
    extraction_s = time.monotonic() - started
    _log.info("features of the frozen backbone ready in %.1f s", extraction_s)
    # Keras' own work around a step takes longer than the step on kept features: many at once halve the epoch.
    _compile(classifier.head, keras.optimizers.Adam(settings["head_learning_rate"]), settings, steps_per_execution=32)
    curves = phase.fit(
        classifier.head,
        caches["train"],
        caches["eval"],
        name="head",
        epochs=settings["head_epochs"],
        steps=fn_args.train_steps,
        patience=settings["patience"],
        class_weight=class_weight,
        state=state,
        log_dir=fn_args.model_run_dir,
    )
    epoch_s = sorted(row["seconds"] for row in curves[1:]) or [curves[0]["seconds"]]
    return {
        "curves": curves,
        "batches": {name: len(cache) for name, cache in caches.items()},
        "feature_cache": {
            "first_epoch_s": round(extraction_s + curves[0]["seconds"], 3),
            "later_epoch_s": round(epoch_s[len(epoch_s) // 2], 3),
        },
    }


def _fine_tune(
    classifier: Classifier,
    backbone: backbones.Backbone,
    batches: Any,
    fn_args: FnArgs,
    settings: Mapping[str, Any],
    class_weight: Mapping[int, float] | None,
    counts: Mapping[str, int],
    state: Path,
) -> dict[str, Any]:
    """Trains the head and the backbone's blocks from `fine_tune_at` on; returns the phase's curves.

    `counts` has the number of batches by split, which the records do not tell before they are read.
    """
    backbones.set_trainable(backbone, settings["fine_tune_at"])
    class_count = classifier.model.output_shape[-1]

    def one_hot(dataset: tf.data.Dataset, split: str) -> tf.data.Dataset:
        labelled = dataset.map(lambda pixels, label: (pixels, tf.one_hot(label, class_count)))
        return labelled.apply(tf.data.experimental.assert_cardinality(counts[split]))

    train = batches(fn_args.train_files, seed=settings["seed"], flip=settings["flip_on_the_fly"])
    epochs, steps_an_epoch = phase.within(fn_args.train_steps, counts["train"], settings["fine_tune_epochs"])
    steps = epochs * (steps_an_epoch or counts["train"])
    rate = _warmup_and_cosine(settings["fine_tune_learning_rate"], steps, settings["warmup_fraction"])
    _compile(classifier.model, keras.optimizers.Adam(rate), settings)
    return {
        "curves": phase.fit(
            classifier.model,
            one_hot(train, "train"),
            one_hot(batches(fn_args.eval_files), "eval"),
            name="fine_tune",
            epochs=settings["fine_tune_epochs"],
            steps=fn_args.train_steps,
            patience=settings["patience"],
            class_weight=class_weight,
            state=state,
            log_dir=fn_args.model_run_dir,
        )
    }


def _warmup_and_cosine(peak: float, steps: int, warmup_fraction: float) -> keras.optimizers.schedules.CosineDecay:
    """Rises linearly from 0 over the first share of the steps, then falls to 0 as a cosine."""
    warmup = round(warmup_fraction * steps)
    decay = max(1, steps - warmup)
    if not warmup:  # else the first step would have the rate 0
        return keras.optimizers.schedules.CosineDecay(peak, decay)
    return keras.optimizers.schedules.CosineDecay(0.0, decay, warmup_target=peak, warmup_steps=warmup)


def _compile(
    model: keras.Model,
    optimizer: keras.optimizers.Optimizer,
    settings: Mapping[str, Any],
    steps_per_execution: int = 1,
) -> None:
    model.compile(
        optimizer=optimizer,
        loss=keras.losses.CategoricalCrossentropy(label_smoothing=settings["label_smoothing"]),
        metrics=[keras.metrics.CategoricalAccuracy(name="accuracy")],
        steps_per_execution=steps_per_execution,
    )


def _state_directory(fn_args: FnArgs) -> Path:
    """A folder that only a training on the same data with the same configuration finds again."""
    parent = fn_args.custom_config["state_dir"]
    if not parent:
        return Path(tempfile.mkdtemp(prefix="atelier-training-"))
    same = [fn_args.custom_config, fn_args.train_files, fn_args.eval_files, fn_args.transform_graph_path]
    return Path(parent) / hashlib.sha256(json.dumps(same, sort_keys=True).encode()).hexdigest()[:16]


def _check_labels(labels: np.ndarray, class_count: int, split: str) -> None:
    strange = sorted(set(labels[(labels < 0) | (labels >= class_count)].tolist()))
    if strange:
        raise ValueError(
            f"{split}: the ids {', '.join(map(str, strange))} are none of the {class_count} classes, 0 to "
            f"{class_count - 1} (-1: no label, or a text that the training split lacks); split the data again"
        )


def _balanced(counts: list[int]) -> dict[int, float]:
    """Weights inverse to the frequencies, 1 on average over the examples; absent classes weigh 0."""
    present = sum(count > 0 for count in counts)
    return {label: sum(counts) / (present * count) if count else 0.0 for label, count in enumerate(counts)}


def _strategy() -> tf.distribute.Strategy:
    """All visible GPUs of this machine, or its one device."""
    if len(tf.config.list_physical_devices("GPU")) > 1:
        return tf.distribute.MirroredStrategy()
    return tf.distribute.get_strategy()


def _use_all_gpu_memory_by_need() -> None:
    for gpu in tf.config.list_physical_devices("GPU"):
        tf.config.experimental.set_memory_growth(gpu, True)

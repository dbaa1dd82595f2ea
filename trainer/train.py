"""`run_fn` of the Trainer component: EfficientNet transfer learning in two phases (see `trainer.training.task`).

Training goes on where it was stopped: its state lies in `state_dir` until the model is exported.
"""

import json
import os
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
from tfx.components.trainer.fn_args_utils import FnArgs
from tfx.utils import io_utils

from atelier import storage, strict_json
from atelier.layout import TRAIN
from trainer import backbones, export, tuned
from trainer.settings import TrainerConfig
from trainer.training import state as training_state
from trainer.training.devices import choose_strategy, grow_gpu_memory_on_demand
from trainer.training.task import Task, compute_features_timed

TRAINING_FILE = "training.json"
"""In the ModelRun artifact: curves, timings and settings of this training, for the report."""


def run_fn(fn_args: FnArgs) -> None:
    """Trains, and exports the best weights.

    `fn_args.custom_config` holds the fields of `TrainerConfig`, or their JSON.

    `fn_args.hyperparameters` are the Tuner's, which go before those of the section `trainer`; None: there is no Tuner.

    `fn_args.train_steps` limits the optimizer's steps of each phase, None: the configuration's epochs alone do.

    Writes the SavedModel to `fn_args.serving_model_dir`, `model.keras` beside it, and TensorBoard
    logs and `training.json` to `fn_args.model_run_dir`.
    """
    grow_gpu_memory_on_demand()
    config = TrainerConfig.parse(fn_args.custom_config)
    chosen = _read_hyperparameters(fn_args.hyperparameters)
    with training_state.open_state_directory(config.state_dir) as parent:
        _train_and_export(fn_args, config.replace_trainer(config.trainer.replace_values(chosen)), chosen, parent)


def _read_hyperparameters(given: Mapping[str, Any] | str | None) -> dict[str, Any]:
    """The values that the Tuner chose, by keys of the section `trainer`; none without a Tuner."""
    if not given:
        return {}
    return tuned.drop_bookkeeping((json.loads(given) if isinstance(given, str) else given)["values"])


def _train_and_export(fn_args: FnArgs, config: TrainerConfig, chosen: Mapping[str, Any], parent: Path) -> None:
    """Both phases, with their state below `parent`, and what `run_fn` writes."""
    started = time.monotonic()
    settings, state = config.trainer, parent / _compute_digest(fn_args, chosen)
    job = Task(fn_args, config, state)
    features = job.name_features_directory(parent)
    with choose_strategy().scope():
        backbone = job.build_backbone()
        classifier = job.build_classifier(backbone, settings)
        backbones.set_trainable(backbone, None)
        kept, extraction_s = compute_features_timed(job, classifier.features, features)
        curves = job.train_head(classifier, kept, settings, state, fn_args.model_run_dir)
        phases: dict[str, Any] = {"head": {"curves": curves, "feature_cache": _summarize_epochs(curves, extraction_s)}}
        if settings.fine_tune_epochs:
            examples = {split: len(labels) for split, (_, labels) in kept.items()}
            curves = job.fine_tune(classifier, backbone, examples, settings, state, fn_args.model_run_dir)
            phases["fine_tune"] = {"curves": curves}

    # Serving and TFLite take float32 graphs only (the converter rejects mixed precision): the same
    # architecture is built once more and takes over the trained values.
    keras.config.set_dtype_policy("float32")
    exported = job.build_classifier(job.build_backbone(), settings)
    exported.model.set_weights(classifier.model.get_weights())
    artifact, name = os.path.split(fn_args.serving_model_dir)
    with storage.write_folder(artifact) as folder:
        export.export(
            exported.model,
            folder / name,
            class_names=job.classes.names,
            transform_output=job.transform_output,
            image_key=config.data.image_key,
            preprocessing=config.preprocessing,
            sample=next(iter(job.read_batches(TRAIN, 1)))[0],
            provenance=config.provenance | ({"hyperparameters": json.dumps(chosen)} if chosen else {}),
        )
    training = {
        "precision": job.policy,
        "precision_choice": {"reason": job.precision.reason, "step_ms": dict(job.precision.step_ms)},
        "hyperparameters": chosen,
        "phases": phases,
        "seconds": round(time.monotonic() - started, 1),
    }
    io_utils.write_string_file(f"{fn_args.model_run_dir}/{TRAINING_FILE}", strict_json.dumps(training, indent=1))
    for folder in (state, features):
        shutil.rmtree(folder)


def _summarize_epochs(curves: list[dict[str, float]], extraction_s: float) -> dict[str, float]:
    """Seconds of the first epoch, features included, and of a later one."""
    later = sorted(row["seconds"] for row in curves[1:]) or [curves[0]["seconds"]]
    return {
        "first_epoch_s": round(extraction_s + curves[0]["seconds"], 3),
        "later_epoch_s": round(later[len(later) // 2], 3),
    }


def _compute_digest(fn_args: FnArgs, chosen: Mapping[str, Any]) -> str:
    """The same only for a training on the same data with the same configuration."""
    return training_state.hash_json(
        [fn_args.custom_config, chosen, fn_args.train_files, fn_args.eval_files, fn_args.transform_graph_path]
    )

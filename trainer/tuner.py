"""`tuner_fn` of the Tuner component: a search for the Trainer's values, with Keras Tuner.

A trial trains as the Trainer would, on the same kept features of the frozen backbone, and is scored by its best eval
accuracy. The first trial has the Trainer's own values, if the space holds them: the others have those to beat.
"""

import contextlib
import json
import logging
import shutil
import time
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import keras_tuner
import tensorflow as tf
from keras_tuner import errors
from keras_tuner.engine.trial import TrialStatus
from tfx.components.trainer.fn_args_utils import FnArgs
from tfx.components.tuner.component import TunerFnResult

from atelier.files import leftovers
from trainer import backbones, tuned
from trainer.settings import Interval, Space, Trainer, Tuner, TunerConfig
from trainer.training import phase
from trainer.training.devices import choose_strategy, grow_gpu_memory_on_demand
from trainer.training.state import hash_json
from trainer.training.task import Task, compute_features_timed

OBJECTIVE = "val_accuracy"

_PREFIX = "search-"
_log = logging.getLogger("atelier.trainer")


def tuner_fn(fn_args: FnArgs) -> TunerFnResult:
    """Prepares a search; one that was killed goes on where it was.

    `fn_args.custom_config` holds the fields of `TunerConfig`, or their JSON. Nothing heavy happens here: on Vertex AI
    one process only hands trials out.
    """
    config = TunerConfig.parse(fn_args.custom_config)
    state = config.state_dir
    folder = Path(state or fn_args.working_dir, _PREFIX + _compute_digest(fn_args))
    if state:
        for other in Path(state).glob(f"{_PREFIX}*"):
            if other != folder:  # of another configuration or other data
                shutil.rmtree(other)
    search = Search(fn_args, config, build_oracle(config.tuner, config.trainer), folder)
    return TunerFnResult(tuner=search, fit_kwargs={})


class BoundedOracle(keras_tuner.Oracle):
    """Ends a search after a number of trials or some time, and begins with the defaults; to be mixed in."""

    def bound(self, max_trials: int, seconds: float) -> None:
        """Sets the bounds; the time runs from now on, and goes on with what an earlier process took."""
        self.max_trials = max_trials
        self._seconds, self._spent, self._started = seconds, 0.0, time.monotonic()

    @property
    def seconds_left(self) -> float:
        """Until no trial begins any more."""
        return self._seconds - self._spent - (time.monotonic() - self._started)

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        """As the algorithm says, within the bounds."""
        if self.trials and self.seconds_left <= 0:
            return {"status": "STOPPED"}
        return super().populate_space(trial_id)

    def _random_values(self) -> dict[str, Any] | None:
        space = self.get_space().space
        if not self.trials and all(_holds(parameter, parameter.default) for parameter in space):
            return {parameter.name: parameter.default for parameter in space}
        return super()._random_values()

    def get_state(self) -> dict[str, Any]:
        """What is kept from one process to the next."""
        return super().get_state() | {"seconds_spent": self._seconds - self.seconds_left}

    def set_state(self, state: dict[str, Any]) -> None:
        """Goes on from what `get_state` gave."""
        super().set_state(state)
        self._spent, self._started = state["seconds_spent"], time.monotonic()
        # Keras Tuner writes a trial down as ended a moment before it takes it from the ongoing ones.
        for tuner, trial in list(self.ongoing_trials.items()):
            if trial.trial_id in self.end_order:
                del self.ongoing_trials[tuner]

    def save(self) -> None:
        """Writes the state down; a kill leaves the one before or this one, whole."""
        _replace(Path(self._get_oracle_fname()), self.get_state())

    def _save_trial(self, trial: Any) -> None:
        _replace(Path(self._get_trial_dir(trial.trial_id), "trial.json"), trial.get_state())


class _Hyperband(BoundedOracle, keras_tuner.oracles.HyperbandOracle):
    def get_best_trials(self, num_trials: int = 1) -> list[Any]:
        """Those with the most epochs first: a lucky short trial does not outrank one that has proven itself."""
        ranked = super().get_best_trials(len(self.trials))
        return sorted(ranked, key=_count_epochs, reverse=True)[:num_trials]


class _Bayesian(BoundedOracle, keras_tuner.oracles.BayesianOptimizationOracle):
    pass


class _Random(BoundedOracle, keras_tuner.oracles.RandomSearchOracle):
    pass


def build_oracle(settings: Tuner, trainer: Trainer) -> BoundedOracle:
    """Builds what chooses the trials' values.

    Args:
      settings: the bounds, the algorithm and the space.
      trainer: its values are the space's defaults.
    """
    common = {
        "objective": keras_tuner.Objective(OBJECTIVE, "max"),
        "hyperparameters": build_space(settings.space, trainer),
        "seed": trainer.seed + 1,  # Keras Tuner takes 0 for "any"
        "tune_new_entries": False,
        "allow_new_entries": False,
    }
    made: BoundedOracle
    if settings.algorithm == "hyperband":
        # Without an end of its own: the bounds end it.
        made = _Hyperband(max_epochs=getattr(trainer, _name_epochs_key(settings)), hyperband_iterations=None, **common)
    elif settings.algorithm == "bayesian":
        made = _Bayesian(**common)
    else:
        made = _Random(**common)
    made.bound(settings.max_trials, 60 * settings.max_minutes)
    return made


def build_space(space: Space, trainer: Trainer) -> keras_tuner.HyperParameters:
    """Returns the section `tuner.space` in Keras Tuner's terms."""
    parameters = keras_tuner.HyperParameters()
    for key in space.tuned:
        searched, default = getattr(space, key), getattr(trainer, key)
        if isinstance(searched, Interval):
            parameters.Float(key, searched.min, searched.max, sampling=searched.sampling, default=default)
        else:
            parameters.Choice(key, list(searched), default=default if default in searched else None)
    return parameters


class Search(keras_tuner.engine.base_tuner.BaseTuner):
    """The loop over trials: in one process, or one of several that ask the same oracle."""

    def __init__(self, fn_args: FnArgs, config: TunerConfig, oracle: BoundedOracle, directory: Path) -> None:
        """Reads what an earlier process left in `directory`, if there was one."""
        self._fn_args, self._config, self._bounds = fn_args, config, oracle
        super().__init__(oracle, directory=str(directory), project_name="trials")

    def on_search_begin(self) -> None:
        """Computes the features of the frozen backbone, unless they are there."""
        grow_gpu_memory_on_demand()
        trainer, state = self._config.trainer, self._config.state_dir
        if not state:
            stack = contextlib.ExitStack()
            state = str(stack.enter_context(leftovers.create_scratch("training")))
            weakref.finalize(self, stack.close)  # the folder goes with this object
        parent = Path(state)
        # The precision is chosen by the work of a trial.
        fine_tunes = bool(self._config.tuner.space.of_fine_tuning)
        own = trainer if fine_tunes else trainer.replace_values({"fine_tune_epochs": 0})
        self._task = Task(
            self._fn_args, self._config.replace_trainer(own), parent / (_PREFIX + _compute_digest(self._fn_args))
        )
        self._backbone = self._task.build_backbone()
        self._first_weights = self._backbone.model.get_weights()
        backbones.set_trainable(self._backbone, None)
        extractor = self._task.build_classifier(self._backbone, trainer).features
        self._kept, _ = compute_features_timed(self._task, extractor, self._task.name_features_directory(parent))

    def run_trial(self, trial: Any) -> dict[str, float]:
        """Trains with the trial's values; returns its best eval accuracy.

        Raises:
          FailedTrialError: there was too little memory for these values, or the training diverged with them.
          FatalError: anything else, which no other values would mend.
        """
        settings = self._config.trainer.replace_values(self._read_chosen(trial))
        started = time.monotonic()
        try:
            accuracy = self._train(settings, Path(self.get_trial_dir(trial.trial_id)))
        except (tf.errors.ResourceExhaustedError, phase.DivergedError) as error:
            raise errors.FailedTrialError(str(error)) from error
        except Exception as error:
            raise errors.FatalError(f"trial {trial.trial_id}: {error}") from error
        _log.info("trial %s: eval accuracy %.3f after %.1f s", trial.trial_id, accuracy, time.monotonic() - started)
        return {OBJECTIVE: accuracy}

    def on_search_end(self) -> None:
        """Sees to it that there is a result.

        Raises:
          ValueError: no trial has come to its end.
        """
        if not self._is_worker() and self.oracle.get_best_trials(1)[0].status != TrialStatus.COMPLETED:
            raise ValueError("no trial finished; the log says why. Smaller batches need less memory")

    def _read_chosen(self, trial: Any) -> dict[str, Any]:
        """The trial's values; under Hyperband with the epochs that it grants."""
        values = trial.hyperparameters.values
        chosen = tuned.drop_bookkeeping(values)
        if tuned.EPOCHS in values:
            chosen[_name_epochs_key(self._config.tuner)] = values[tuned.EPOCHS]
        return chosen

    def _train(self, settings: Trainer, state: Path) -> float:
        ends = [_EndsWithEpoch(self._bounds)]
        keras.utils.set_random_seed(settings.seed)  # a search that was killed goes on as it would have
        with choose_strategy().scope():
            self._backbone.model.set_weights(self._first_weights)
            backbones.set_trainable(self._backbone, None)
            classifier = self._task.build_classifier(self._backbone, settings)
            curves = self._task.train_head(classifier, self._kept, settings, state, callbacks=ends)
            if self._config.tuner.space.of_fine_tuning:
                examples = {split: len(labels) for split, (_, labels) in self._kept.items()}
                curves = self._task.fine_tune(classifier, self._backbone, examples, settings, state, callbacks=ends)
        for name in ("head", "fine_tune"):
            shutil.rmtree(state / name, ignore_errors=True)
        return max(row["val_accuracy"] for row in curves)


class _EndsWithEpoch(keras.callbacks.Callback):
    """Stops training at the end of an epoch once the search's time is up."""

    def __init__(self, bounds: BoundedOracle) -> None:
        super().__init__()
        self._bounds = bounds

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        if self._bounds.seconds_left <= 0:
            self.model.stop_training = True


def _count_epochs(trial: Any) -> int:
    """Epochs of a trial of Hyperband's; 0 if it did not come to its end."""
    return trial.hyperparameters.values[tuned.EPOCHS] if trial.status == TrialStatus.COMPLETED else 0


def _replace(file: Path, state: Mapping[str, Any]) -> None:
    partial = file.with_suffix(".partial")
    partial.write_text(json.dumps(state), encoding="utf-8")
    partial.replace(file)


def _holds(parameter: Any, value: Any) -> bool:
    """Whether `value` is one that the parameter may have."""
    if isinstance(parameter, keras_tuner.engine.hyperparameters.Choice):
        return value in parameter.values
    return parameter.min_value <= value <= parameter.max_value


def _name_epochs_key(settings: Tuner) -> str:
    """The key of the section `trainer` whose number of epochs Hyperband grants."""
    return "fine_tune_epochs" if settings.space.of_fine_tuning else "head_epochs"


def _compute_digest(fn_args: FnArgs) -> str:
    """The same only for a search on the same data with the same configuration."""
    return hash_json(
        [
            fn_args.custom_config,
            fn_args.train_steps,
            fn_args.train_files,
            fn_args.eval_files,
            fn_args.transform_graph_path,
        ]
    )

"""`tuner_fn`, as TFX calls it, on tiny data and with a tiny network; and what stands below it."""

import json
import math
import socket
import subprocess
import sys
import types

import numpy as np
import pytest

from tests.deferred import deferred_imports
from tests.trainer.tiny_classes import SIZE
from trainer.settings import Augmentation, Interval, Space, Trainer, Tuner

with deferred_imports():
    import keras_tuner
    from tfx.components.tuner import executor
    from tfx.types import standard_artifacts
    from tfx.utils import json_utils

    from tests.trainer.callbacks import KilledError
    from tests.trainer.tiny_backbone import build_tiny_backbone
    from trainer import backbones, tuned, tuner
    from trainer.training import feature_cache, task

pytestmark = pytest.mark.slow

SPACE = {"head_learning_rate": Interval(min=1e-3, max=1e-1, sampling="log"), "dropout": None, "label_smoothing": None}


def build_sections(algorithm="random", trainer=None, space=None, **bounds):
    """The sections `tuner` and `trainer`."""
    settings = Tuner(enabled=True, algorithm=algorithm, space=Space(**(SPACE | (space or {}))), **bounds)
    return settings, Trainer(**(trainer or {}))


def draw_values(oracle, count, score=lambda _: 0.5):
    """Of the first `count` trials, each scored; fewer if the oracle stops."""
    found = []
    for _ in range(count):
        trial = oracle.create_trial("tuner0")
        if trial.status != "RUNNING":
            break
        found.append(dict(trial.hyperparameters.values))
        oracle.update_trial(trial.trial_id, {"val_accuracy": score(found[-1])})
        trial.status = "COMPLETED"
        oracle.end_trial(trial)
    return found


@pytest.fixture
def oracle(tmp_path):
    def make(*arguments, name="trials", **settings):
        made = tuner.build_oracle(*build_sections(*arguments, **settings))
        made._set_project_dir(str(tmp_path), name)
        return made

    return make


# The space


def test_the_space_in_keras_tuners_terms():
    settings, trainer = build_sections(space={"optimizer": ("adam", "sgd"), "batch_size": (8, 16)})
    found = {parameter.name: parameter for parameter in tuner.build_space(settings.space, trainer).space}
    assert set(found) == {"head_learning_rate", "optimizer", "batch_size"}
    rate = found["head_learning_rate"]
    assert (rate.min_value, rate.max_value, rate.sampling, rate.default) == (1e-3, 1e-1, "log", 1e-3)
    assert (found["optimizer"].values, found["optimizer"].default) == (["adam", "sgd"], "adam")
    assert (found["batch_size"].values, found["batch_size"].default) == ([8, 16], 8)  # 32 is none of them


@pytest.mark.parametrize("algorithm", ["random", "bayesian", "hyperband"])
def test_the_first_trial_has_the_trainers_own_values_and_the_others_stay_in_the_space(oracle, algorithm):
    made = oracle(algorithm, {"head_learning_rate": 5e-3, "head_epochs": 4}, {"dropout": Interval(min=0.1, max=0.4)})
    found = draw_values(made, 8)
    assert (found[0]["head_learning_rate"], found[0]["dropout"]) == (5e-3, 0.2)
    assert len({each["head_learning_rate"] for each in found}) > 3
    assert all(1e-3 <= each["head_learning_rate"] <= 1e-1 and 0.1 <= each["dropout"] <= 0.4 for each in found)


def test_values_of_the_trainer_that_lie_outside_are_not_tried(oracle):
    assert draw_values(oracle("random", {"head_learning_rate": 10.0}), 1)[0]["head_learning_rate"] <= 1e-1


def test_the_same_seed_searches_the_same_values(oracle):
    one, two, other = (
        draw_values(oracle("random", {"seed": seed}, name=str(number)), 4) for number, seed in enumerate((0, 0, 1))
    )
    assert one == two
    assert one[1:] != other[1:]


# Bounds


@pytest.mark.parametrize("algorithm", ["random", "bayesian", "hyperband"])
def test_the_number_of_trials_is_bounded(oracle, algorithm):
    assert len(draw_values(oracle(algorithm, max_trials=5), 50)) == 5


def test_time_bounds_it_too_and_the_first_trial_always_runs(oracle, monkeypatch):
    clock = [100.0]
    monkeypatch.setattr(tuner, "time", types.SimpleNamespace(monotonic=lambda: clock[0]))
    made = oracle(max_minutes=0.5)
    clock[0] += 40
    assert len(draw_values(made, 3)) == 1
    clock[0] = 100.0
    again = oracle(max_minutes=0.5, name="again")
    assert len(draw_values(again, 2)) == 2
    clock[0] += 29
    assert again.seconds_left == pytest.approx(1)
    again.save()
    # A later process goes on with what was spent, whatever the time in between.
    clock[0] += 1000
    resumed = oracle(max_minutes=0.5, name="again")
    resumed.reload()
    assert resumed.seconds_left == pytest.approx(1)
    clock[0] += 2
    assert draw_values(resumed, 1) == []


def test_hyperband_gives_the_best_more_epochs_and_ranks_by_them(oracle):
    made = oracle("hyperband", {"head_epochs": 9}, max_trials=20)  # 9 + 3 + 1 in the first bracket

    def score(values):
        # A short trial is lucky once; among the others the lowest rate is the best.
        rate = values["head_learning_rate"]
        return 1.0 if values["tuner/epochs"] < 9 and rate > 0.05 else 0.9 - rate

    found = draw_values(made, 13, score)
    assert {each["tuner/epochs"] for each in found} == {1, 3, 9}
    best = made.get_best_trials(3)
    assert best[0].hyperparameters.values["tuner/epochs"] == 9
    longest = [score(each) for each in found if each["tuner/epochs"] == 9]
    assert best[0].score == max(longest)


def test_a_trial_that_was_written_down_as_ended_is_not_run_again(oracle):
    made = oracle()
    (first,) = draw_values(made, 1)
    # Killed between the two moments in which Keras Tuner saves the end of a trial.
    made.ongoing_trials = {"tuner0": made.trials[made.end_order[0]]}
    made.save()
    resumed = oracle()
    resumed.reload()
    (second,) = draw_values(resumed, 1)
    assert second != first


# Searches


def build_custom_config(settings, trainer_settings, state_dir):
    """What the Tuner is told."""
    return {
        "trainer": trainer_settings.model_dump(mode="json"),
        "tuner": settings.model_dump(mode="json"),
        "image": {"size": SIZE, "resize": "crop"},
        "data": {"image_key": "image/encoded", "label_key": "image/class/label"},
        "augmentation": Augmentation().model_dump(),
        "state_dir": state_dir,
    }


class Searching:
    """TFX's executor of the Tuner, with `tuner_fn`."""

    def __init__(self, inputs, folder):
        self._inputs, self._folder = inputs, folder
        self.state = folder / "state"

    def __call__(self, algorithm="random", trainer=None, space=None, **bounds):
        """Searches; returns the best values as Keras Tuner writes them, and the rows of all trials."""
        defaults = {"head_epochs": 3, "mixed_precision": "float32", "batch_size": 16}
        settings, trainer_settings = build_sections(algorithm, defaults | (trainer or {}), space, **bounds)
        custom_config = build_custom_config(settings, trainer_settings, str(self.state))
        properties = {"train_args": "{}", "eval_args": "{}", "custom_config": json_utils.dumps(custom_config)}
        best, results = standard_artifacts.HyperParameters(), standard_artifacts.TunerResults()
        best.uri, results.uri = str(self._folder / "best"), str(self._folder / "results")
        found = executor.search(self._inputs, properties, str(self._folder / "work"))
        executor.write_best_hyperparameters(found, {"best_hyperparameters": [best], "tuner_results": [results]})
        return [
            json.loads((self._folder / file).read_text())
            for file in ("best/best_hyperparameters.txt", "results/tuner_results.json")
        ]


@pytest.fixture
def search(transformed, tmp_path, monkeypatch):
    monkeypatch.setattr(backbones, "build", build_tiny_backbone)
    # TFX would import the module anew, and what a test changes in it would be gone.
    monkeypatch.setattr(executor, "_get_tuner_fn", lambda _: tuner.tuner_fn)
    return Searching(transformed.build_artifacts(), tmp_path)


def test_a_poor_rate_is_replaced_by_a_better_one(search):
    space = {"head_learning_rate": Interval(min=1e-6, max=0.3, sampling="log")}
    best, trials = search("bayesian", {"head_learning_rate": 1e-6}, space, max_trials=8)
    assert [trial["trial_id"] for trial in trials if trial["head_learning_rate"] == 1e-6] == ["0"]
    scores = {trial["trial_id"]: trial["score"] for trial in trials}
    assert len(scores) == 8
    assert max(scores.values()) > scores["0"] + 0.2
    assert tuned.drop_bookkeeping(best["values"]) == {"head_learning_rate": trials[0]["head_learning_rate"]}
    assert trials[0]["score"] == max(scores.values())


def test_each_trial_begins_with_the_same_head(search, monkeypatch):
    """Whatever ran before in this process, which a killed search does not repeat."""
    train_head, first = task.Task.train_head, []

    def watch(self, classifier, *rest, **options):
        first.append(classifier.head.get_weights())
        return train_head(self, classifier, *rest, **options)

    monkeypatch.setattr(task.Task, "train_head", watch)
    search(trainer={"head_epochs": 1}, max_trials=2)
    assert len(first) == 2
    for one, other in zip(*first, strict=True):
        np.testing.assert_array_equal(one, other)


def test_features_are_computed_once_and_left_for_the_trainer(search, monkeypatch):
    computed = []
    original = feature_cache.freeze_weights

    def count_features(extractor):
        extract = original(extractor)

        def extract_and_count(pixels):
            computed.append(len(pixels))
            return extract(pixels)

        return extract_and_count

    monkeypatch.setattr(feature_cache, "freeze_weights", count_features)
    search(max_trials=3)
    assert computed == [16, 16, 8, 15]  # 40 and 15 images
    assert len(list(search.state.glob("features-*/train.npy"))) == 1


def test_a_killed_search_repeats_no_finished_trial(search, monkeypatch):
    run_trial, ran = tuner.Search.run_trial, []

    def kill(self, trial):
        ran.append(trial.trial_id)
        if len(ran) == 3:
            raise KilledError
        return run_trial(self, trial)

    monkeypatch.setattr(tuner.Search, "run_trial", kill)
    with pytest.raises(KilledError):
        search(max_trials=5)
    _, trials = search(max_trials=5)
    assert ran == ["0", "1", "2", "2", "3", "4"]
    assert sorted(trial["trial_id"] for trial in trials) == ["0", "1", "2", "3", "4"]
    # A search of another configuration begins anew, and what the earlier one left is removed.
    search(max_trials=4)
    assert len(list(search.state.glob("search-*"))) == 1


def test_a_trial_of_fine_tuning_begins_with_the_first_weights_and_varies_the_images(search, monkeypatch):
    seen = []
    fine_tune = task.Task.fine_tune

    def watch(self, classifier, backbone, examples, settings, *rest, **options):
        seen.append((settings.fine_tune_at, settings.augmentation_strength, backbone.model.get_weights()))
        return fine_tune(self, classifier, backbone, examples, settings, *rest, **options)

    monkeypatch.setattr(task.Task, "fine_tune", watch)
    space = {
        "fine_tune_at": (0, 1),
        "augmentation_strength": Interval(min=0.0, max=1.0),
        "optimizer": ("sgd", "rmsprop"),
    }
    _, trials = search("hyperband", {"fine_tune_epochs": 2, "fine_tune_at": 1}, space, max_trials=3)
    assert [each[:2] for each in seen[:1]] == [(1, 0.0)]
    assert len(trials) == 3
    for _, _, weights in seen[1:]:
        for one, first in zip(weights, seen[0][2], strict=True):
            np.testing.assert_array_equal(one, first)


def test_an_error_that_no_values_would_mend_ends_the_search_in_one_line(search, monkeypatch):
    def fail(*_, **__):
        raise OSError("no space left")

    monkeypatch.setattr(task.Task, "train_head", fail)
    with pytest.raises(keras_tuner.errors.FatalError, match=r"^trial 0: no space left$"):
        search(max_trials=2)


@pytest.mark.parametrize("cause", ["memory", "divergence"])
def test_values_that_cannot_be_trained_fail_a_trial_and_the_search_goes_on(search, monkeypatch, cause):
    import tensorflow as tf

    from trainer.training.phase import DivergedError

    error = tf.errors.ResourceExhaustedError(None, None, "OOM") if cause == "memory" else DivergedError("loss is nan")
    train_head = task.Task.train_head

    def fail(self, classifier, kept, settings, *rest, **options):
        if settings.batch_size == 64:
            raise error
        return train_head(self, classifier, kept, settings, *rest, **options)

    monkeypatch.setattr(task.Task, "train_head", fail)
    _, trials = search("random", None, {"batch_size": (16, 64)}, max_trials=3)
    assert trials
    assert {trial["batch_size"] for trial in trials} == {16}

    monkeypatch.setattr(task.Task, "train_head", lambda *_, **__: fail(None, None, None, Trainer(batch_size=64)))
    with pytest.raises(ValueError, match="no trial finished"):
        search("random", None, {"batch_size": (16, 64)}, max_trials=2)


def test_a_running_trial_ends_with_its_epoch_when_the_time_is_up(search, monkeypatch):
    started = []

    class Slow(tuner._EndsWithEpoch):
        def on_epoch_end(self, epoch, logs=None):
            started.append(epoch)
            self._bounds._seconds = -math.inf
            super().on_epoch_end(epoch, logs)

    monkeypatch.setattr(tuner, "_EndsWithEpoch", Slow)
    _, trials = search(max_trials=5)
    assert started == [0]
    assert len(trials) == 1


def test_two_machines_share_one_search_through_tfxs_own_extension(transformed, tmp_path):
    settings, trainer_settings = build_sections(
        "random", {"head_epochs": 1, "mixed_precision": "float32"}, max_trials=4
    )
    told = {name: artifact.uri for name, (artifact,) in transformed.build_artifacts().items()}
    told["custom_config"] = build_custom_config(settings, trainer_settings, "")
    file = tmp_path / "told.json"
    file.write_text(json.dumps(told))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "tests.trainer.worker_of_a_search", str(file), str(tmp_path), str(port)]
    machines = [
        subprocess.Popen([*command, number], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for number in ("0", "1")
    ]
    said = [machine.communicate(timeout=300)[0] for machine in machines]
    assert [machine.returncode for machine in machines] == [0, 0], said
    trials = json.loads((tmp_path / "results" / "tuner_results.json").read_text())
    assert sorted(trial["trial_id"] for trial in trials) == ["0", "1", "2", "3"]
    best = json.loads((tmp_path / "best" / "best_hyperparameters.txt").read_text())
    assert best["values"]["head_learning_rate"] == trials[0]["head_learning_rate"]

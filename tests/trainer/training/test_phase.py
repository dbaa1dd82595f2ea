"""One phase of training: what it keeps, and that a kill at any moment loses an epoch at most."""

import csv

import numpy as np
import pytest

from tests.deferred import deferred_imports

with deferred_imports():
    import keras
    import tensorflow as tf

    from tests.trainer.callbacks import Kill, KilledError, Watch
    from trainer.training import phase

CLASSES, STEPS = 3, 2
random = np.random.default_rng(0)
FEATURES = random.normal(size=(40, CLASSES)).astype(np.float32)
LABELS = np.eye(CLASSES, dtype=np.float32)[FEATURES.argmax(axis=1)]
GOOD = [np.eye(CLASSES, dtype=np.float32) * 2, np.zeros(CLASSES, np.float32)]
"""Weights that know the labels: the largest feature."""


def make_batches(labels, count):
    return tf.data.Dataset.from_tensor_slices((FEATURES, labels)).batch(len(FEATURES) // count)


@pytest.fixture
def fit(monkeypatch, tmp_path):
    """`phase.fit` on a new model, as a new process has it, with another callback somewhere among its own."""
    keras_fit = keras.Model.fit

    def run(
        added=None,
        at=-1,
        *,
        weights=None,
        labels=LABELS,
        rate=0.05,
        epochs=4,
        steps=None,
        patience=9,
        class_weight=None,
    ):
        keras.utils.set_random_seed(0)
        model = keras.Sequential([keras.Input((CLASSES,)), keras.layers.Dense(CLASSES, activation="softmax")])
        if weights:
            model.set_weights(weights)
        # Eagerly: tracing such a network takes longer than training it.
        model.compile(keras.optimizers.Adam(rate), "categorical_crossentropy", metrics=["accuracy"], run_eagerly=True)
        watch = Watch()

        def fit_with_more(self, *args, callbacks, **options):
            callbacks = [*callbacks, watch]
            if added:
                callbacks.insert(at if at >= 0 else len(callbacks), added)
            return keras_fit(self, *args, callbacks=callbacks, **options)

        monkeypatch.setattr(keras.Model, "fit", fit_with_more)
        run.watch = watch  # type: ignore[attr-defined]  # a function may carry what its caller asks for
        rows = phase.fit(
            model,
            make_batches(labels, STEPS),
            make_batches(LABELS, 1),
            name="head",
            epochs=epochs,
            steps=steps,
            patience=patience,
            class_weight=class_weight,
            state=tmp_path / "state",
            log_dir=str(tmp_path / "logs"),
        )
        return model, rows

    return run


def measure_accuracy(model):
    return np.mean(model.predict(FEATURES, verbose=0).argmax(axis=1) == LABELS.argmax(axis=1))


def are_equal(weights, others):
    return all((one == other).all() for one, other in zip(weights, others, strict=True))


# A phase from start to end


@pytest.mark.slow
def test_a_row_for_each_epoch(fit):
    model, rows = fit(epochs=3)
    assert [row["epoch"] for row in rows] == [0, 1, 2]
    assert {key for row in rows for key in row} == {"epoch", "loss", "accuracy", "val_loss", "val_accuracy", "seconds"}
    assert all(row["seconds"] > 0 for row in rows)
    assert rows[-1]["loss"] < rows[0]["loss"]
    best = max(row["val_accuracy"] for row in rows)
    assert measure_accuracy(model) == pytest.approx(best)


def test_losses_are_those_of_the_network(fit):
    _, rows = fit(epochs=1)
    (weights,) = fit.watch.weights.values()
    scores = np.exp(FEATURES @ weights[0] + weights[1])
    probabilities = (scores / scores.sum(axis=1, keepdims=True))[LABELS.astype(bool)]
    assert rows[0]["val_loss"] == pytest.approx(-np.log(probabilities).mean(), rel=1e-5)


def _poison(number):
    """Makes weights NaN as an epoch begins, as an overflow does."""

    def on_epoch_begin(epoch, logs=None):
        if epoch == number:
            kernel = callback.model.layers[-1].kernel
            kernel.assign(np.full(kernel.shape, np.nan))

    callback = keras.callbacks.LambdaCallback(on_epoch_begin=on_epoch_begin)
    return callback


def test_a_loss_that_is_no_number_ends_the_training_at_once(fit, tmp_path):
    with pytest.raises(phase.DivergedError, match="head epoch 1: loss is nan: the training has diverged; lower the"):
        fit(_poison(0))
    assert not (tmp_path / "state" / "head" / "best.npz").exists()


@pytest.mark.slow
def test_the_best_epoch_before_a_loss_that_is_no_number_is_kept(fit, caplog):
    model, rows = fit(_poison(2))
    assert [row["epoch"] for row in rows] == [0, 1]
    assert np.isfinite(model.get_weights()[0]).all()
    assert measure_accuracy(model) == pytest.approx(max(row["val_accuracy"] for row in rows))
    assert "head epoch 3: loss is nan" in caplog.text


@pytest.mark.slow
def test_the_best_weights_are_given_back_not_the_last(fit):
    """Taught wrongly, a model that knows the labels gets worse: its first epoch stays the best."""
    model, rows = fit(weights=GOOD, labels=np.roll(LABELS, 1, axis=1), epochs=6, rate=0.2)
    curve = [row["val_accuracy"] for row in rows]
    best = int(np.argmax(curve))
    assert curve[-1] < curve[best] - 0.2
    assert are_equal(model.get_weights(), fit.watch.weights[best])
    assert not are_equal(model.get_weights(), fit.watch.weights[5])
    assert measure_accuracy(model) == pytest.approx(curve[best])


@pytest.mark.slow
def test_of_equal_epochs_the_first_is_kept(fit):
    model, rows = fit(weights=GOOD, rate=1e-4)
    assert {row["val_accuracy"] for row in rows} == {1.0}
    assert are_equal(model.get_weights(), fit.watch.weights[0])


@pytest.mark.parametrize("patience", [1, 3])
def test_stops_early_after_so_many_epochs_without_a_better_one(fit, patience):
    _, rows = fit(weights=GOOD, rate=1e-4, epochs=9, patience=patience)
    assert len(rows) == 1 + patience


def test_class_weights_weigh(fit):
    """A class that weighs nothing teaches nothing: its bias falls, since only the others pull."""
    model, _ = fit(weights=[np.zeros((3, 3)), np.zeros(3)], class_weight={0: 1.0, 1: 1.0, 2: 0.0}, epochs=2)
    bias = model.get_weights()[1]
    assert bias[2] < min(bias[0], bias[1])


def test_tensorboard_has_the_same_curves(fit, tmp_path):
    _, rows = fit(epochs=2)
    for folder, key in (("train", "accuracy"), ("validation", "val_accuracy")):
        (file,) = (tmp_path / "logs" / "head" / folder).iterdir()
        events = [tf.compat.v1.Event.FromString(one) for one in tf.data.TFRecordDataset(str(file)).as_numpy_iterator()]
        values = [value for event in events for value in event.summary.value if value.tag == "epoch_accuracy"]
        np.testing.assert_allclose([tf.make_ndarray(value.tensor) for value in values], [row[key] for row in rows])


# A phase that was killed


def count_of_callbacks():
    return len(["TensorBoard", "seconds", "finite loss", "save", "log", "early stopping", "end of epoch"])


@pytest.mark.slow
@pytest.mark.parametrize("at", range(count_of_callbacks() + 1))
def test_a_kill_between_any_two_callbacks_loses_one_epoch_at_most(fit, tmp_path, at):
    with pytest.raises(KilledError):
        fit(Kill(epoch=1), at)
    with (tmp_path / "state" / "head" / "epochs.csv").open() as lines:
        before = list(csv.DictReader(lines))
    model, rows = fit()
    trained = fit.watch
    # It goes on after the last epoch that was saved: the killed one, where the state had been saved already.
    assert sorted(trained.begun) == ([2, 3] if at == count_of_callbacks() else [1, 2, 3])
    assert [row["epoch"] for row in rows] == [0, 1, 2, 3]
    assert rows[0]["seconds"] == float(before[0]["seconds"])
    assert measure_accuracy(model) == pytest.approx(max(row["val_accuracy"] for row in rows))


@pytest.mark.slow
def test_a_kill_in_the_first_epoch_starts_again(fit):
    with pytest.raises(KilledError):
        fit(Kill(epoch=0), at=2)
    _, rows = fit()
    assert [row["epoch"] for row in rows] == [0, 1, 2, 3]


@pytest.mark.slow
def test_weights_and_optimizer_go_on_as_if_nothing_had_happened(fit, tmp_path):
    with pytest.raises(KilledError):
        fit(Kill(epoch=1), epochs=5)
    fit(epochs=5)
    resumed = fit.watch
    assert resumed.begun == {2: 2 * STEPS, 3: 3 * STEPS, 4: 4 * STEPS}
    (tmp_path / "state" / "head").rename(tmp_path / "state" / "resumed")
    fit(epochs=5)
    for one, other in zip(resumed.weights[4], fit.watch.weights[4], strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6)


@pytest.mark.slow
def test_the_best_epoch_of_the_killed_call_is_kept(fit):
    wrong = {"weights": GOOD, "labels": np.roll(LABELS, 1, axis=1), "epochs": 6, "rate": 0.2}
    with pytest.raises(KilledError):
        fit(Kill(epoch=1), **wrong)
    first = fit.watch.weights[0]
    model, rows = fit(**wrong)
    curve = [row["val_accuracy"] for row in rows]
    assert curve[0] == max(curve) > max(curve[2:])
    assert are_equal(model.get_weights(), first)


@pytest.mark.slow
def test_a_better_epoch_after_the_kill_replaces_it(fit):
    with pytest.raises(KilledError):
        fit(Kill(epoch=0), weights=[-one for one in GOOD], rate=0.3, epochs=8)
    model, rows = fit(weights=[-one for one in GOOD], rate=0.3, epochs=8)
    assert rows[0]["val_accuracy"] < max(row["val_accuracy"] for row in rows)
    assert measure_accuracy(model) == pytest.approx(max(row["val_accuracy"] for row in rows))


@pytest.mark.slow
@pytest.mark.parametrize("kept", [0, 100])
def test_a_file_cut_by_the_kill_does_no_harm(fit, tmp_path, kept):
    with pytest.raises(KilledError):
        fit(Kill(epoch=2))
    state = tmp_path / "state" / "head"
    latest = state / "after-3.npz"
    latest.write_bytes(latest.read_bytes()[:kept])
    for name in ("new.npz", "copy.npz"):
        (state / name).write_bytes(b"cut")
    model, rows = fit()
    assert sorted(fit.watch.begun) == [2, 3]
    assert [row["epoch"] for row in rows] == [0, 1, 2, 3]
    assert measure_accuracy(model) == pytest.approx(max(row["val_accuracy"] for row in rows))


@pytest.mark.slow
def test_a_kill_after_the_last_epoch_trains_nothing_more(fit, tmp_path):
    with pytest.raises(KilledError):
        fit(Kill(epoch=3))
    model, rows = fit()
    assert not fit.watch.begun
    assert measure_accuracy(model) == pytest.approx(max(row["val_accuracy"] for row in rows))
    assert {file.name for file in (tmp_path / "state" / "head").iterdir()} == {"done.npz", "epochs.csv"}


@pytest.mark.slow
def test_a_finished_phase_is_not_trained_again(fit):
    first, rows = fit()
    second, again = fit(weights=GOOD)
    assert not fit.watch.begun
    assert again == rows
    assert are_equal(first.get_weights(), second.get_weights())


@pytest.mark.slow
def test_phases_are_kept_apart(fit, tmp_path):
    fit()
    assert [folder.name for folder in (tmp_path / "state").iterdir()] == ["head"]
    assert [folder.name for folder in (tmp_path / "logs").iterdir()] == ["head"]


@pytest.mark.parametrize(
    ("steps", "batches", "epochs", "expected"),
    [
        (None, 10, 3, (3, None)),
        (30, 10, 3, (3, None)),
        (1000, 10, 3, (3, None)),
        (29, 10, 3, (2, None)),
        (10, 10, 3, (1, None)),
        (9, 10, 3, (1, 9)),
        (1, 10, 3, (1, 1)),
    ],
)
def test_epochs_within_a_number_of_steps(steps, batches, epochs, expected):
    assert phase.limit_steps(steps, batches, epochs) == expected


@pytest.mark.parametrize(("steps", "taken"), [(None, 8), (5, 4), (4, 4), (1, 1)])
def test_steps_limit_the_optimizer(fit, steps, taken):
    # Four epochs of two batches.
    fit(epochs=4, steps=steps)
    last = max(fit.watch.begun)
    assert fit.watch.begun[0] == 0
    assert fit.watch.begun[last] + (1 if steps == 1 else 2) == taken

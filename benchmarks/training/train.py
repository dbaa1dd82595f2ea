"""Images per second of the Trainer's path beside a plain Keras script, and the time of both to the same accuracy.

Both sides have one backbone with the same weights, the same images, batch size, precision, loss and optimizer. What
either builds and traces is not counted, nor what Transform did: it decodes and resizes once for all trainings.
"""

import statistics
from collections.abc import Iterator

import keras

from benchmarks import measure, photos
from benchmarks.measure import Result, at_least, at_most
from benchmarks.training import training
from benchmarks.turns import take_turns

BACKBONES = (("efficientnet_lite0", "imagenet"), ("efficientnet_b0", "none"))
"""With their weights: Keras would download those of B0."""
STEPS, EVAL_STEPS = 12, 1
"""Batches of an epoch where speed is measured."""
EPOCHS = 3
"""Of the frozen phase."""
ACCURACY = 0.9
"""Of the eval split, to be reached on all images."""
MOST_EPOCHS = 20
"""In which it must be reached."""

UNIT = "images/s"


class NotReachedError(RuntimeError):
    """A side did not come to the stated accuracy, so its time says nothing."""


def run() -> Iterator[Result]:
    """By backbone and phase, then the time to an accuracy. Each epoch's evaluation takes its part on both sides."""
    data = photos.run()
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float32")
    try:
        for name, weights in BACKBONES:
            yield from _measure_frozen(training.Data(data, STEPS, EVAL_STEPS), name, weights)
            yield _measure_fine_tuning(training.Data(data, STEPS, EVAL_STEPS), name, weights)
        yield _measure_time_to_accuracy(training.Data(data, None, None), *BACKBONES[0])
    finally:
        keras.config.set_dtype_policy(before)


def _measure_frozen(data: training.Data, name: str, weights: str) -> Iterator[Result]:
    """Images of an epoch, times the epochs, by second: the first one, which has our features to compute, and all."""
    keras.utils.set_random_seed(0)
    ours, theirs = _build_sides(data, name, weights)
    ours.compile_frozen()
    theirs.compile(training.HEAD_RATE)
    ours.train_frozen(1)
    theirs.train_frozen(1)
    found = take_turns({"ours": lambda: ours.train_frozen(EPOCHS), "beside": lambda: theirs.train_frozen(EPOCHS)})
    images = STEPS * training.BATCH
    first = {side: images / statistics.median(clock.seconds[0] for clock, _ in rows) for side, rows in found.items()}
    total = {side: images * EPOCHS / statistics.median(seconds for _, seconds in rows) for side, rows in found.items()}
    for case, rate in (("first epoch", first), (f"{EPOCHS} epochs", total)):
        yield Result(
            "train", f"{_shorten_name(name)}, frozen, {case}", rate["ours"], rate["beside"], UNIT, at_least(1.0)
        )


def _measure_fine_tuning(data: training.Data, name: str, weights: str) -> Result:
    """Images of an epoch by second; the Keras script has them decoded in memory by then."""
    keras.utils.set_random_seed(0)
    ours, theirs = _build_sides(data, name, weights)
    ours.compile_fine_tuning()
    theirs.compile(training.FINE_TUNE_RATE)
    ours.train_whole_model(1)
    theirs.train_frozen(1)
    images = STEPS * training.BATCH
    return measure.compare(
        "train",
        f"{_shorten_name(name)}, fine-tuning from block {training.FINE_TUNE_AT}",
        UNIT,
        at_least(1.0),
        lambda: images / ours.train_whole_model(1).fit_seconds,
        lambda: images / theirs.fine_tune(1).fit_seconds,
    )


def _measure_time_to_accuracy(data: training.Data, name: str, weights: str) -> Result:
    keras.utils.set_random_seed(0)
    ours, theirs = _build_sides(data, name, weights)
    ours.compile_frozen()
    theirs.compile(training.HEAD_RATE)
    first_ours, first_theirs = _Beginning(ours.classifier.head), _Beginning(theirs.model)
    ours.train_frozen(1)
    theirs.train_frozen(1)

    def measure_seconds(side: training.Ours | training.Theirs, first: _Beginning) -> float:
        first.restore()
        clock, _ = side.train_frozen(MOST_EPOCHS, ACCURACY)
        if clock.accuracy[-1] < ACCURACY:
            raise NotReachedError(f"eval accuracy {clock.accuracy} in {MOST_EPOCHS} epochs; expected {ACCURACY}")
        return clock.seconds[-1]

    return measure.compare(
        "train",
        f"{_shorten_name(name)}, frozen, to eval accuracy {ACCURACY}",
        "s",
        at_most(0.5),
        lambda: measure_seconds(ours, first_ours),
        lambda: measure_seconds(theirs, first_theirs),
    )


def _build_sides(data: training.Data, name: str, weights: str) -> tuple[training.Ours, training.Theirs]:
    backbone = data.run.build_backbone(name, weights)
    return training.Ours(data, backbone), training.Theirs(data, backbone)


def _shorten_name(name: str) -> str:
    return name.removeprefix("efficientnet_")


class _Beginning:
    """What a compiled model and its optimizer start from, to start from it again."""

    def __init__(self, model: keras.Model) -> None:
        model.optimizer.build(model.trainable_variables)
        self._values = [(each, each.numpy()) for each in (*model.variables, *model.optimizer.variables)]

    def restore(self) -> None:
        for variable, value in self._values:
            variable.assign(value)

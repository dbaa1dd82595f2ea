"""Epochs of the frozen phase with the feature cache beside those that run the frozen backbone every time."""

import itertools
import statistics
from collections.abc import Iterator

import keras

from benchmarks import measure, photos
from benchmarks.measure import Result, at_most
from benchmarks.training import keras_script, training

BACKBONE, WEIGHTS = "efficientnet_lite0", "imagenet"
STEPS, EVAL_STEPS = 12, 3
"""Batches of an epoch."""
EPOCHS = 3
"""Of a round; the first is not counted."""


def run() -> Iterator[Result]:
    """Seconds of an epoch after the first, both through the Trainer's `phase.fit` on the same records."""
    data = training.Data(photos.run(), STEPS, EVAL_STEPS)
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float32")
    try:
        keras.utils.set_random_seed(0)
        backbone = data.run.build_backbone(BACKBONE, WEIGHTS)
        ours = training.Ours(data, backbone)
        ours.compile_frozen()
        keras_script.compile_model(ours.classifier.model, training.HEAD_RATE)

        def train_cached() -> float:
            clock, _ = ours.train_frozen(EPOCHS)
            return _compute_later_epoch(clock)

        def train_uncached() -> float:
            return _compute_later_epoch(ours.train_whole_model(EPOCHS))

        train_cached()  # traces
        yield measure.compare(
            "epochs", "lite0, epoch after the first", "s", at_most(0.05), train_cached, train_uncached
        )
    finally:
        keras.config.set_dtype_policy(before)


def _compute_later_epoch(clock: training.Clock) -> float:
    """Seconds from one epoch's end to the next one's, the median."""
    return statistics.median(end - begin for begin, end in itertools.pairwise(clock.seconds))

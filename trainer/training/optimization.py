"""Optimizer, learning rate and loss of a phase of training."""

import keras

from trainer.settings import Trainer

OPTIMIZERS = {
    "adam": keras.optimizers.Adam,
    "adamw": keras.optimizers.AdamW,
    "rmsprop": keras.optimizers.RMSprop,
    "sgd": lambda rate: keras.optimizers.SGD(rate, momentum=0.9, nesterov=True),
}
"""By the name that the configuration gives; all else is Keras' default, but for SGD's usual momentum."""


def compile_model(
    model: keras.Model,
    rate: float | keras.optimizers.schedules.LearningRateSchedule,
    settings: Trainer,
    steps_per_execution: int = 1,
) -> None:
    """Compiles `model` as the section `trainer` says, but for the learning rate, which differs between the phases.

    `steps_per_execution` steps run in one call of the graph.
    """
    model.compile(
        optimizer=OPTIMIZERS[settings.optimizer](rate),
        loss=keras.losses.CategoricalCrossentropy(label_smoothing=settings.label_smoothing),
        metrics=[keras.metrics.CategoricalAccuracy(name="accuracy")],
        steps_per_execution=steps_per_execution,
    )


def build_warmup_and_cosine(peak: float, steps: int, warmup_fraction: float) -> keras.optimizers.schedules.CosineDecay:
    """Rises linearly from 0 over the first share of the steps, then falls to 0 as a cosine."""
    warmup = round(warmup_fraction * steps)
    decay = max(1, steps - warmup)
    if not warmup:  # else the first step would have the rate 0
        return keras.optimizers.schedules.CosineDecay(peak, decay)
    return keras.optimizers.schedules.CosineDecay(0.0, decay, warmup_target=peak, warmup_steps=warmup)

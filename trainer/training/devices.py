"""The devices that a training runs on."""

import tensorflow as tf


def grow_gpu_memory_on_demand() -> None:
    """Keeps TensorFlow from taking all memory of a GPU at once. Must run before any GPU is used."""
    for gpu in tf.config.list_physical_devices("GPU"):
        tf.config.experimental.set_memory_growth(gpu, True)


def choose_strategy() -> tf.distribute.Strategy:
    """Uses all visible GPUs of this machine, or its one device."""
    if len(tf.config.list_physical_devices("GPU")) > 1:
        return tf.distribute.MirroredStrategy()
    return tf.distribute.get_strategy()

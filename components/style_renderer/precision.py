"""Which number format the features are computed in."""

import functools
import time

import tensorflow as tf

from components.style_renderer import networks
from components.style_renderer.settings import Settings
from trainer.precision import cpu_has_bfloat16

_GAIN = 1.2
"""How much faster bfloat16 must be. Lite0 is slower in it, VGG19 nearly twice as fast with AVX-512's instructions."""


def resolve(settings: Settings) -> str:
    """float32 or bfloat16: `auto` takes bfloat16 where the processor has it and this network gains by it."""
    if settings.precision != "auto":
        return settings.precision
    return _fastest(settings.network) if cpu_has_bfloat16() else "float32"


@functools.lru_cache
def _fastest(network: str) -> str:
    """Measured on random weights, whose arithmetic is the same, by gradients of a small picture."""
    settings = Settings(network=network, weights="random")
    seconds = {}
    for precision in ("float32", "bfloat16"):
        features = networks.build(settings, precision)

        @tf.function
        def gradient(image: tf.Tensor, features: networks.FeatureNetwork = features) -> tf.Tensor:
            return tf.gradients(tf.add_n([tf.reduce_sum(found) for found in features(image).values()]), image)[0]

        image = tf.fill([1, 128, 128, 3], 127.0)
        gradient(image)  # traces
        rounds = []
        for _ in range(5):
            began = time.perf_counter()
            gradient(image)
            rounds.append(time.perf_counter() - began)
        seconds[precision] = min(rounds)
    return "bfloat16" if seconds["float32"] > _GAIN * seconds["bfloat16"] else "float32"

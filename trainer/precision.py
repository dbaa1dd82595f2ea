"""Which number format training computes in."""

import time
from pathlib import Path

import tensorflow as tf


def resolve(policy: str) -> str:
    """Turns `auto` into a Keras dtype policy that this machine gains from; others pass through.

    float16 with loss scaling on a GPU with tensor cores (compute capability 7 or newer), bfloat16 on
    a TPU and on a CPU that has instructions for it and is measurably faster with them, else float32.
    """
    if policy != "auto":
        return policy
    if tf.config.list_logical_devices("TPU"):
        return "mixed_bfloat16"
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        capability = tf.config.experimental.get_device_details(gpus[0]).get("compute_capability", (0, 0))
        return "mixed_float16" if capability >= (7, 0) else "float32"
    return "mixed_bfloat16" if cpu_has_bfloat16() and _bfloat16_gain() > 1.1 else "float32"


def cpu_has_bfloat16(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether the processor has instructions for bfloat16."""
    try:
        flags = set(cpuinfo.read_text(encoding="utf-8").split())
    except OSError:
        return False  # not Linux: no flags to read, and float32 is never wrong
    return bool(flags & {"amx_bf16", "avx512_bf16"})


def _bfloat16_gain() -> float:
    """How many times faster a pointwise convolution, EfficientNet's main cost, is in bfloat16."""
    seconds = {}
    for dtype in (tf.float32, tf.bfloat16):
        image = tf.cast(tf.random.stateless_normal([32, 28, 28, 96], seed=[0, 0]), dtype)
        kernel = tf.cast(tf.random.stateless_normal([1, 1, 96, 96], seed=[0, 1]), dtype)

        @tf.function
        def step(image: tf.Tensor = image, kernel: tf.Tensor = kernel) -> tf.Tensor:
            return tf.nn.conv2d(image, kernel, strides=1, padding="SAME")

        step()  # traces
        rounds = []
        for _ in range(5):
            start = time.perf_counter()
            for _ in range(10):
                step()
            rounds.append(time.perf_counter() - start)
        seconds[dtype] = min(rounds)
    return seconds[tf.float32] / seconds[tf.bfloat16]

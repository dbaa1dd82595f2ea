"""Quantized tensors of TFLite: integers that stand for (integer - zero point) * scale."""

import numpy as np


def dequantize(values: np.ndarray, scale: float, zero_point: int) -> np.ndarray:
    """Returns what `values` stand for, as float32; with a scale of 0 they are not quantized and stay as they are."""
    return (values.astype(np.float32) - zero_point) * scale if scale else values

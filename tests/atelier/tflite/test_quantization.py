"""Quantized values."""

import numpy as np
import pytest

from atelier.tflite.quantization import dequantize


def test_integers_become_what_they_stand_for():
    found = dequantize(np.array([0, 3, 255], np.uint8), 0.5, 3)
    assert found.dtype == np.float32
    assert found.tolist() == [-1.5, 0.0, 126.0]


def test_what_is_not_quantized_stays():
    values = np.array([0.25, 0.75], np.float32)
    assert dequantize(values, 0.0, 0) is values


@pytest.mark.parametrize("kind", [np.uint8, np.int8])
def test_a_zero_point_does_not_overflow_the_type(kind):
    assert dequantize(np.array([-128 if kind is np.int8 else 0], kind), 1.0, 100).tolist() == [
        -228.0 if kind is np.int8 else -100.0
    ]

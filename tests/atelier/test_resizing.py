"""Resizing without TensorFlow gives the pixels that it gives with it."""

import numpy as np
import pytest

from atelier.resizing import MODES, resize
from tests.deferred import deferred_imports

with deferred_imports():
    import tensorflow as tf

    from trainer.images import ops

pytestmark = pytest.mark.slow

SIZES = [
    (28, 28, 32),
    (341, 512, 224),
    (97, 64, 64),
    (65, 64, 64),
    (1, 1, 16),
    (3, 400, 32),
    (50, 50, 49),
    (64, 64, 64),
]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("height", "width", "size"), SIZES)
def test_the_pixels_are_tensorflows(height, width, size, mode):
    image = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    np.testing.assert_array_equal(resize(image, size, mode), ops.resize(tf.constant(image), size, mode))


def test_two_pixels_by_hand():
    image = np.array([[[0] * 3, [100] * 3]], np.uint8)
    # Centers of four results in units of two values: 0.25, 0.75, 1.25, 1.75; beyond the outer centers nothing is new.
    assert resize(image, 4, "stretch")[0, :, 0].tolist() == [0, 25, 75, 100]
    assert resize(image, 2, "pad")[..., 0].tolist() == [[0, 100], [0, 0]]
    assert resize(image, 1, "crop")[..., 0].tolist() == [[0]]

"""The optimizers on functions whose minimum within 0..255 is known."""

import itertools

import numpy as np
import pytest

from tests.deferred import deferred_imports

with deferred_imports():
    import keras

    from components.style_renderer.engine import optimizers
    from components.style_renderer.engine.tiling import tiled_adam

SHAPE = (1, 6, 7, 3)


def run_lbfgs(evaluate, image, iterations, notify=lambda _: False):
    return optimizers.run_lbfgs(evaluate, image, iterations, notify, frequency_slope=0.6)


def run_adam(evaluate, image, iterations, notify=lambda _: False):
    return optimizers.run_adam(evaluate, image, iterations, notify, learning_rate=3.0)


BOTH = pytest.mark.parametrize("minimize", [run_lbfgs, run_adam])


class Bowl:
    """Sum of c (x - target)^2, c of 1..10; a third of the target lies outside 0..255. Watches what it is asked for."""

    def __init__(self):
        random = np.random.default_rng(2)
        self.target = random.uniform(-120, 375, SHAPE).astype(np.float32)
        self.steepness = random.uniform(1, 10, SHAPE).astype(np.float32)
        self.lowest, self.highest, self.calls = np.inf, -np.inf, 0

    def __call__(self, image):
        assert (image.shape, image.dtype) == (SHAPE, np.float32)
        self.calls += 1
        self.lowest, self.highest = min(self.lowest, image.min()), max(self.highest, image.max())
        away = image.astype(np.float64) - self.target
        return float(np.sum(self.steepness * away**2)), (2 * self.steepness * away).astype(np.float32)


@pytest.fixture
def bowl():
    bowl = Bowl()
    assert 0.2 < np.mean((bowl.target < 0) | (bowl.target > 255)) < 0.8
    return bowl


@pytest.fixture
def start():
    return np.random.default_rng(5).uniform(0, 255, SHAPE).astype(np.float32)


@pytest.mark.slow
@BOTH
def test_the_minimum_within_bounds_is_found(minimize, bowl, start):
    found = minimize(bowl, start, 300)
    assert (found.shape, found.dtype) == (SHAPE, np.float32)
    # A tenth of a gray level; where the target lies outside, the nearest bound is the minimum.
    np.testing.assert_allclose(found, np.clip(bowl.target, 0, 255), atol=0.1)
    assert (bowl.lowest, bowl.highest) == (0, 255)


@BOTH
def test_the_start_is_left_alone_and_the_result_is_the_same_each_time(minimize, bowl, start):
    before = start.copy()
    np.testing.assert_array_equal(minimize(bowl, start, 7), minimize(bowl, start, 7))
    np.testing.assert_array_equal(start, before)


@BOTH
@pytest.mark.parametrize("iterations", [1, 5])
def test_notify_is_called_once_an_iteration(minimize, bowl, start, iterations):
    seen = []
    found = minimize(bowl, start, iterations, lambda image: seen.append(image.copy()))
    assert len(seen) == iterations
    np.testing.assert_array_equal(seen[-1], found)
    losses = [bowl(image)[0] for image in (start, *seen)]
    assert all(later < earlier for earlier, later in itertools.pairwise(losses))
    assert all(image.min() >= 0 and image.max() <= 255 for image in seen)


@pytest.mark.slow
@BOTH
def test_a_changed_function_is_followed(minimize, bowl, start):
    other = Bowl()
    other.target = 255 - bowl.target
    functions = [bowl]
    count = 0

    def notify(image):
        nonlocal count
        count += 1
        if count == 5:
            functions[0] = other
            return True
        return False

    found = minimize(lambda image: functions[0](image), start, 300, notify)
    assert count == 300 or minimize is run_lbfgs  # which may reach the minimum before
    np.testing.assert_allclose(found, np.clip(other.target, 0, 255), atol=0.1)


@BOTH
def test_after_a_change_nothing_learned_before_is_used(minimize, bowl, start):
    seen = []

    def notify(image):
        seen.append(image.copy())
        return len(seen) == 3

    minimize(bowl, start, 6, notify)
    # Starting anew from there does the same.
    np.testing.assert_allclose(minimize(bowl, seen[2], 3), seen[5], atol=1e-3)
    straight = minimize(bowl, start, 6)
    assert np.abs(straight - seen[5]).max() > 0.1


def test_lbfgs_stops_where_nothing_leads_down(bowl, start):
    found = run_lbfgs(lambda image: (5.0, np.zeros_like(image)), start, 10, pytest.fail)
    np.testing.assert_array_equal(found, start)
    bowl.target = np.clip(bowl.target, 0, 255)
    found = run_lbfgs(bowl, start, 100_000)
    assert bowl.calls < 2000
    np.testing.assert_allclose(found, bowl.target, atol=1e-2)


def test_lbfgs_gets_along_with_a_wrong_gradient(bowl, start):
    """Rounding makes gradients a little wrong near a minimum; a wholly wrong one is the worst of that."""
    found = run_lbfgs(lambda image: (bowl(image)[0], -bowl(image)[1]), start, 20)
    assert np.isfinite(found).all()
    # Up to rounding: float32 pixels have gone through cosines and back.
    assert bowl(found)[0] <= bowl(start)[0] * (1 + 1e-7)


def test_adam_is_keras_adam_with_its_step_cut_to_the_bounds(bowl, start):
    variable = keras.Variable(start)
    optimizer = keras.optimizers.Adam(3.0)
    for _ in range(12):
        optimizer.apply([bowl(variable.numpy())[1]], [variable])
        variable.assign(np.clip(variable, 0, 255))
    np.testing.assert_allclose(run_adam(bowl, start, 12), variable, atol=1e-3)


def test_the_step_on_files_equals_keras_adam(bowl, start):
    variable = keras.Variable(start)
    optimizer = keras.optimizers.Adam(4.0)
    image, mean, square = start.copy(), np.zeros_like(start), np.zeros_like(start)
    for number in range(1, 9):
        gradient = bowl(image)[1]
        optimizer.apply([gradient], [variable])
        variable.assign(np.clip(variable, 0, 255))
        tiled_adam.step(image, gradient, mean, square, number, 4.0)
        # Keras has 1 - 0.999 in float32, 6e-5 of itself off: by eight steps of 4 that is at most 2e-3.
        np.testing.assert_allclose(image, variable, atol=2e-3)
    assert np.abs(image - start).max() > 8

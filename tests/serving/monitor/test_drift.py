"""Effect sizes against SciPy and against sums written out; what drifts and what does not."""

import math

import numpy as np
import pytest
from scipy.spatial import distance

from serving.ab.image_statistics import ImageStatistics
from serving.monitor import drift
from serving.monitor.drift_watch import (
    DRIFTED,
    FEATURES,
    MIN_REQUESTS,
    NO_DATA,
    PREDICTIONS,
    STEADY,
    WINDOW,
    DriftWatch,
)
from serving.monitor.reference import Reference

CLASSES = ("ant", "bee", "cow", "dog")
CHANNELS = 16


def make_images(drawn, count, gain=1.0):
    """Statistics of images; `gain` multiplies the gray values."""
    return [
        ImageStatistics(gain * brightness, gain * contrast, gain * sharpness, size, "png" if is_png else "jpeg")
        for brightness, contrast, sharpness, size, is_png in zip(
            drawn.normal(0.5, 0.12, count),
            drawn.normal(0.2, 0.04, count),
            drawn.gamma(4, 0.05, count),
            drawn.normal(17, 0.5, count),
            drawn.random(count) < 0.1,
            strict=True,
        )
    ]


def make_reference(count=2000, classes=CLASSES):
    drawn = np.random.default_rng(99)
    images = make_images(drawn, count)
    return Reference(
        version=7,
        classes=np.array(classes),
        class_counts=np.full(len(classes), count // len(classes)),
        numbers=np.array([[each.brightness, each.contrast, each.sharpness, each.size] for each in images]),
        formats=np.array([each.format for each in images]),
        features=drawn.normal(0, 1, (600, CHANNELS)).astype(np.float16),
    )


@pytest.fixture(scope="module")
def watch():
    return DriftWatch(make_reference())


def test_the_divergence_by_hand_and_by_scipy():
    assert drift.compute_divergence(np.array([1, 0]), np.array([0, 9])) == pytest.approx(1)
    assert drift.compute_divergence(np.array([3, 1]), np.array([300, 100])) == 0
    p, q = np.array([0.5, 0.5]), np.array([0.25, 0.75])
    middle = (p + q) / 2
    by_hand = sum(0.5 * a * math.log2(a / m) for side in (p, q) for a, m in zip(side, middle, strict=True))
    assert drift.compute_divergence(100 * p, 40 * q) == pytest.approx(by_hand)
    for seed in range(20):
        first, second = np.random.default_rng(seed).integers(0, 9, (2, 6)) + np.eye(6, dtype=int)[0]
        assert drift.compute_divergence(first, second) == pytest.approx(distance.jensenshannon(first, second, 2) ** 2)


def test_the_distance_is_in_deviations_of_the_reference():
    reference = np.array([0.0, 2.0])  # deviation 1
    assert drift.compute_distance(np.array([3.0, 5.0]), reference) == pytest.approx(3)
    assert drift.compute_distance(10 * reference, 10 * reference) == 0
    assert drift.compute_distance(np.full(5, 0.5), np.full(9, 0.4)) == pytest.approx(0.1 / drift.SMALLEST_UNIT)


def test_the_discrepancy_by_a_double_loop():
    """Gretton et al. 2012, eq. 3."""
    drawn = np.random.default_rng(0)
    x, y = drawn.normal(0, 1, (7, 3)), drawn.normal(0.7, 1, (5, 3))

    def kernel(a, b):
        return math.exp(-sum((i - j) ** 2 for i, j in zip(a, b, strict=True)) / (2 * 1.3**2))

    own_x = sum(kernel(x[i], x[j]) for i in range(7) for j in range(7) if i != j) / (7 * 6)
    own_y = sum(kernel(y[i], y[j]) for i in range(5) for j in range(5) if i != j) / (5 * 4)
    cross = sum(kernel(a, b) for a in x for b in y) / (7 * 5)
    found = drift.compute_discrepancy(*(drift.compute_kernel(a, b, 1.3) for a, b in ((x, x), (y, y), (x, y))))
    assert found == pytest.approx(own_x + own_y - 2 * cross)


def test_the_bandwidth_is_the_median_distance():
    assert drift.find_bandwidth(np.array([[0, 0], [3, 4], [0, 1]])) == pytest.approx(math.sqrt(18))  # of 5, 1 and it
    assert drift.find_bandwidth(np.zeros((4, 2))) == 1


@pytest.mark.slow
def test_the_same_distribution_has_not_drifted_in_100_seeds_and_darker_images_have(watch):
    for seed in range(100):
        drawn = np.random.default_rng(seed)
        same = watch.judge_images(make_images(drawn, WINDOW))
        assert {each.name: each.state for each in same} == dict.fromkeys(
            ("brightness", "contrast", "sharpness", "size", "format"), STEADY
        )
        darker = {each.name: each for each in watch.judge_images(make_images(drawn, WINDOW, gain=0.6))}
        assert darker["brightness"].state == DRIFTED
        # The mean goes from 0.5 to 0.3, which is 0.2 / 0.12 deviations.
        assert darker["brightness"].size == pytest.approx(0.2 / 0.12, abs=0.2)
        assert darker["size"].state == darker["format"].state == STEADY
        assert watch.judge_predictions(drawn.choice(CLASSES, WINDOW).tolist()).state == STEADY
        assert watch.judge_predictions(drawn.choice(CLASSES, WINDOW, p=[0.5, 0.3, 0.1, 0.1]).tolist()).state == DRIFTED


@pytest.mark.slow
def test_features_of_the_same_distribution_have_not_drifted_and_others_have(watch):
    for seed in range(10):
        drawn = np.random.default_rng(seed)
        same = watch.judge_features(drawn.normal(0, 1, (WINDOW, CHANNELS)))
        assert same.state == STEADY
        assert abs(same.size) < 0.005
        assert watch.judge_features(drawn.normal(0.5, 1, (WINDOW, CHANNELS))).state == DRIFTED


def test_the_size_does_not_grow_with_the_number_of_requests(watch):
    """The fault of a p-value: a shift that does not matter becomes significant as requests come in."""
    images = make_images(np.random.default_rng(5), 20_000, gain=1.03)
    for count in (WINDOW, 2_000, 20_000):
        effect = watch.judge_images(images[:count])[0]
        assert (effect.state, effect.requests) == (STEADY, WINDOW)
        assert effect.size == pytest.approx(0.015 / 0.12, abs=0.08)


def test_only_the_last_window_counts(watch):
    drawn = np.random.default_rng(1)
    images = make_images(drawn, WINDOW, gain=0.6) + make_images(drawn, WINDOW)
    assert watch.judge_images(images)[0].state == STEADY
    assert watch.judge_images(images[:WINDOW])[0].state == DRIFTED


def test_few_requests_are_no_data(watch):
    drawn = np.random.default_rng(2)
    for effect in (
        *watch.judge_images(make_images(drawn, MIN_REQUESTS - 1, gain=0.1)),
        watch.judge_predictions(["ant"] * (MIN_REQUESTS - 1)),
        watch.judge_features(np.full((MIN_REQUESTS - 1, CHANNELS), 9.0)),
    ):
        assert (effect.state, effect.size, effect.limit) == (NO_DATA, None, None)
        assert effect.reason == "99 of at least 100 requests"
    assert watch.judge_predictions(["ant"] * MIN_REQUESTS).state == DRIFTED
    assert watch.judge_predictions([]).state == NO_DATA


def test_a_class_that_the_reference_does_not_know_counts(watch):
    labels = [*CLASSES * 75, *["yak"] * 200]
    effect = watch.judge_predictions(labels)
    expected = drift.compute_divergence(np.array([75, 75, 75, 75, 200]), np.array([1, 1, 1, 1, 0]))
    assert effect.size == pytest.approx(expected)
    assert effect.state == DRIFTED


def test_with_many_classes_the_limit_knows_what_chance_makes():
    """500 requests over 1,000 classes look unlike any distribution."""
    classes = tuple(str(number) for number in range(1000))
    watch = DriftWatch(make_reference(classes=classes))
    effect = watch.judge_predictions(np.random.default_rng(3).choice(classes, WINDOW).tolist())
    assert effect.size is not None
    assert effect.size > 0.2
    assert effect.state == STEADY
    assert watch.judge_predictions(list(classes[:100] * 5)).state == DRIFTED


def test_features_need_a_reference_that_has_them_of_the_same_model(watch):
    bare = make_reference()
    none = DriftWatch(Reference(**{**vars(bare), "features": np.zeros((0, 0), np.float16)}))
    effect = none.judge_features(np.zeros((WINDOW, CHANNELS)))
    assert (effect.name, effect.state) == (FEATURES, NO_DATA)
    assert "no signature" in effect.reason
    assert watch.judge_features(np.zeros((WINDOW, CHANNELS + 1))).state == NO_DATA
    assert watch.judge_features(np.zeros((0, 0))).reason == "0 of at least 100 requests"


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_features_that_are_no_numbers_are_no_data(watch, value):
    """NaN is not larger than any limit, so that it would count as steady."""
    features = np.zeros((WINDOW + 1, CHANNELS))
    features[1, 3] = value
    effect = watch.judge_features(features)
    assert (effect.state, effect.size) == (NO_DATA, None)
    assert "model" in effect.reason
    features[:2] = [[value] * CHANNELS, [0] * CHANNELS]
    assert watch.judge_features(features).state == DRIFTED  # the first row is before the window
    broken = DriftWatch(Reference(**{**vars(make_reference()), "features": features.astype(np.float16)}))
    assert "reference" in broken.judge_features(np.zeros((WINDOW, CHANNELS))).reason


def test_names(watch):
    assert watch.judge_predictions(["ant"] * WINDOW).name == PREDICTIONS

"""When images are worked on in tiles, and what a rendering is expected to take."""

import itertools

import numpy as np
import pytest

from components.style_renderer.engine.settings import Scale, Settings
from tests.deferred import deferred_imports

with deferred_imports():
    from components.style_renderer.engine import memory, networks, objective

pytestmark = pytest.mark.slow

MB = 2**20


@pytest.fixture(scope="module")
def network():
    return networks.build(Settings())


def build_settings(megabytes):
    return Settings(memory_mb=megabytes)


def test_what_fits_is_worked_on_in_one_piece(network):
    assert memory.choose_tile((512, 512, 3), network, build_settings(4096)) is None
    assert memory.choose_tile((64, 64, 3), network, build_settings(2048)) is None


@pytest.mark.parametrize(
    ("megabytes", "shape"), [(4096, (4000, 6000, 3)), (2048, (2048, 2048, 3)), (512, (512, 512, 3))]
)
def test_what_does_not_gets_tiles_of_whole_strides(network, megabytes, shape):
    side = memory.choose_tile(shape, network, build_settings(megabytes))
    assert side is not None
    assert side >= 128
    assert side % network.stride == 0


def test_the_side_is_the_largest_that_fits(network):
    shape = (4000, 6000, 3)
    roomy, tight = (memory.choose_tile(shape, network, build_settings(megabytes)) for megabytes in (4096, 3072))
    assert roomy is not None
    assert tight is not None
    assert roomy > tight > 128
    floats = network.floats_per_pixel
    estimates = [
        memory._estimate_tiled(shape[0] * shape[1], side, network, floats) for side in (tight, tight + network.stride)
    ]
    assert estimates[0] <= 3072 * MB < estimates[1]


def test_the_activations_of_a_pass_are_in_the_estimate(network):
    pixels = 1024 * 1024
    floats = network.floats_per_pixel
    assert memory._estimate_whole(pixels, floats) > pixels * floats * 4
    assert memory._estimate_tiled(pixels, 256, network, floats) > 256 * 256 * floats * 4


def test_each_region_has_the_style_layers_once_more(network):
    alone, many = (
        memory.choose_tile((4000, 6000, 3), network, build_settings(3072), regions) or 0 for regions in (0, 4)
    )
    assert alone > many > 0
    more = memory._count_floats(network, build_settings(3072), 2) - network.floats_per_pixel
    layers = networks.choose_recipe(Settings()).style_layers
    assert more == 2 * sum(network.channels[name] / network.strides[name] ** 2 for name in layers)


@pytest.fixture
def measured(monkeypatch):
    """The time of a pass does not depend on what else the machine does."""
    monkeypatch.setattr(memory, "_measure_seconds_per_pixel", lambda _: 1e-6)


def test_estimates_grow_with_the_image(measured):
    estimates = [
        memory.estimate((300, 400, 3), Settings(scales=(Scale(size=size, iterations=10),), precision="float32"))
        for size in (64, 128, 256, 512, 1024)
    ]
    assert [found.tiles for found in estimates] == [1] * 5
    for smaller, larger in itertools.pairwise(estimates):
        assert larger.memory_mb > smaller.memory_mb
        assert larger.seconds == pytest.approx(4 * smaller.seconds, rel=0.05)
    np.testing.assert_allclose(estimates[1].seconds, 10 * 96 * 128 * 1e-6, rtol=0.3)


def test_an_estimate_counts_scales_tiles_and_what_tiles_read_twice(measured):
    scales = (Scale(size=100, iterations=10), Scale(size=200, iterations=5))

    def estimate(scales, megabytes=4096):
        return memory.estimate((128, 128, 3), Settings(scales=scales, memory_mb=megabytes, precision="float32"))

    both, first, last = estimate(scales), estimate(scales[:1]), estimate(scales[1:])
    assert both.seconds == pytest.approx(first.seconds + last.seconds)
    assert both.memory_mb == last.memory_mb
    tiled = estimate(scales, 512)
    assert tiled.tiles == 4  # 200 pixels in tiles of 128, twice
    assert tiled.seconds > 2 * both.seconds
    # Image, gradient and two moments; block3b and block4b expand to 240 and 480 channels at strides of 8 and 16.
    assert (both.disk_mb, tiled.disk_mb) == (0, round(200 * 200 * (48 + 4 * (240 / 64 + 480 / 256)) / 2**20))


def test_a_measurement_is_a_time():
    loss = objective.get_objective(Settings(), "float32")
    assert 0 < memory._measure_seconds_per_pixel(loss) < 1

"""The network over strips against the network in one piece: instance normalization sees the whole image in both."""

import subprocess
import sys

import numpy as np
import pytest

from tests.components.stylizer import tiny
from tests.deferred import deferred_imports

with deferred_imports():
    from components.stylizer import strips, stylizer


@pytest.fixture(scope="module")
def model():
    """Random weights and rows: nothing is the identity."""
    return tiny.build_network(blocks=2)


def draw_uneven(height, width):
    """Noise that is dark at the top and bright at the bottom: each strip has statistics of its own."""
    random = np.random.default_rng(height)
    ramp = np.linspace(0, 200, height)[:, np.newaxis, np.newaxis]
    return (ramp + random.uniform(0, 55, (height, width, 3))).astype(np.uint8)


STYLE = np.array([0.3, 0.7], np.float32)


def restyle(model, image, strength=1.0, values=2**22):
    return np.concatenate(list(strips.stylize(model, image, STYLE, strength, values)))


@pytest.mark.parametrize(("height", "width"), [(24, 16), (68, 40)])
@pytest.mark.parametrize("values", [1, 3000])
def test_strips_give_what_one_piece_gives(model, height, width, values):
    image = draw_uneven(height, width)
    whole = model.predict_on_batch(
        {"image": image[np.newaxis], "style": STYLE[np.newaxis], "strength": np.array([0.8], np.float32)}
    )[0]
    found = restyle(model, image, 0.8, values)
    assert np.abs(found - whole).mean() < 1e-3
    assert np.abs(found - whole).max() < 0.02
    assert np.ptp(whole) > 20


def test_features_in_files_give_the_same_and_leave_nothing(model, tmp_path, monkeypatch):
    image = draw_uneven(68, 40)
    in_memory = restyle(model, image, values=3000)
    monkeypatch.setattr(strips, "IN_MEMORY", 0)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    parts = strips.stylize(model, image, STYLE, 1.0, 3000)
    first = next(parts)
    assert list(tmp_path.iterdir()) == []  # not even while it works
    np.testing.assert_array_equal(np.concatenate([first, *parts]), in_memory)


def test_strips_alone_would_have_seams(model):
    """The test image tells: restyled half by half, each half has its own statistics."""
    image = draw_uneven(64, 40)
    whole = restyle(model, image)
    halves = np.concatenate([restyle(model, half) for half in (image[:32], image[32:])])
    assert np.abs(whole - halves).mean() > 5


def test_a_large_image_is_restyled_in_strips(model, monkeypatch):
    small = stylizer.Stylizer(model, ("red", "blue"))
    image = draw_uneven(67, 41)
    whole = small.stylize(image, {"red": 3, "blue": 7}, 0.8)
    monkeypatch.setattr(stylizer, "IN_ONE_PIECE", 1000)
    monkeypatch.setattr(model, "predict_on_batch", None)
    found = small.stylize(image, {"red": 3, "blue": 7}, 0.8)
    assert found.shape == image.shape
    assert np.abs(found.astype(int) - whole).max() <= 1
    assert (found != whole).mean() < 0.01


MEMORY = """
import re
from pathlib import Path
import numpy as np
from components.stylizer import stylizer
base = stylizer.load_base()
image = np.random.default_rng(0).integers(0, 256, (2048, 2048, 3), np.uint8)
base.stylize(image, {"swirls": 1.0})
# Not getrusage: it counts what the process had before it became another program, which is the test's own memory.
print(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])
"""


@pytest.mark.slow
def test_four_megapixels_stay_below_two_gigabytes():
    done = subprocess.run([sys.executable, "-c", MEMORY], capture_output=True, text=True, check=True)
    assert int(done.stdout.split()[-1]) * 1024 < 1.6e9

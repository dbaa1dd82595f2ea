import hashlib
import io

import numpy as np
import pytest
from PIL import Image

from components.style_catalog import drawn
from components.style_catalog.drawings import brush


@pytest.fixture(scope="module")
def images():
    return {name: drawn.draw(name) for name in drawn.DRAWINGS}


def decode_pixels(encoded):
    return np.asarray(Image.open(io.BytesIO(encoded)))


@pytest.mark.slow
@pytest.mark.parametrize("name", drawn.DRAWINGS)
def test_a_drawing_is_the_same_every_time(images, name):
    assert hashlib.sha256(drawn.draw(name)).digest() == hashlib.sha256(images[name]).digest()


@pytest.mark.slow
def test_there_are_at_least_four_and_all_differ(images):
    assert len({hashlib.sha256(encoded).digest() for encoded in images.values()}) == len(images) >= 4


@pytest.mark.slow
@pytest.mark.parametrize("name", drawn.DRAWINGS)
def test_a_drawing_has_colors_and_strokes(images, name):
    image = decode_pixels(images[name])
    assert image.shape == (brush.SIZE, brush.SIZE, 3)
    assert image.dtype == np.uint8
    # Five or more colors, far from each other, cover a hundredth of the image or more each.
    coarse, counts = np.unique((image // 64).reshape(-1, 3), axis=0, return_counts=True)
    assert len(coarse[counts > 0.01 * image.size / 3]) >= 5
    # There is structure of strokes: 8-pixel neighborhoods differ from those 32 pixels away, in every quarter.
    blocks = image.astype(float).mean(-1).reshape(96, 8, 96, 8).mean((1, 3))
    steps = np.abs(blocks[:, 4:] - blocks[:, :-4])
    half = steps.shape[1] // 2
    assert min(part.mean() for rows in (steps[:48], steps[48:]) for part in (rows[:, :half], rows[:, half:])) > 6


def test_a_ramp_runs_through_its_colors():
    palette = np.array([[0.0, 0, 0], [100, 0, 0], [100, 200, 0]])
    tones = np.array([-1, 0, 0.25, 0.5, 0.75, 1, 2])
    expected = [[0, 0, 0], [0, 0, 0], [50, 0, 0], [100, 0, 0], [100, 100, 0], [100, 200, 0], [100, 200, 0]]
    assert brush.blend(palette, tones).tolist() == expected


@pytest.mark.slow
def test_cells_are_those_of_the_nearest_seed():
    first, second, number = brush.find_cells(np.random.default_rng(0), 7, 0.9)
    seeds = (np.stack(np.meshgrid(np.arange(-2, 9), np.arange(-2, 9)), -1) + 0.5) / 7
    seeds += np.random.default_rng(0).uniform(-0.5, 0.5, seeds.shape) * 0.9 / 7
    for row, column in ((0, 0), (767, 3), (400, 250), (100, 767), (555, 555)):
        x, y = column / brush.SIZE, row / brush.SIZE
        distances = np.hypot(seeds[..., 0] - x, seeds[..., 1] - y).ravel()
        assert number[row, column] == distances.argmin()
        assert [first[row, column], second[row, column]] == pytest.approx(np.sort(distances)[:2])

"""Further styles: the new one is learned, the others give exactly what they gave."""

import numpy as np
import pytest
from PIL import Image

from components.stylizer.settings import TrainingSettings
from tests.components.stylizer import tiny
from tests.deferred import deferred_imports

with deferred_imports():
    from atelier.stylization import StylizerError
    from components.stylizer.stylizer import Stylizer
    from components.stylizer.training import adding

pytestmark = pytest.mark.slow

SETTINGS = TrainingSettings(
    steps=8,
    batch_size=2,
    image_size=64,
    smallest_crop=64,
    largest_crop=70,
    style_size=64,
    learning_rate=0.2,
    full_strength=1.0,
    blends=0.0,
    large_share=0.0,
    steps_per_round=4,
    workers=1,
)


@pytest.fixture
def base():
    return Stylizer(tiny.build_network(), ("red", "blue"))


@pytest.fixture
def image():
    return np.random.default_rng(1).integers(0, 256, (70, 80, 3), np.uint8)


def test_a_style_is_added_and_the_others_stay(base, image):
    told = []
    style = np.full((64, 64, 3), (250, 200, 20), np.uint8)
    found = adding.add_styles(base, {"gold": style}, [Image.fromarray(image)], SETTINGS, lambda *now: told.append(now))
    assert found.styles == ("red", "blue", "gold")
    assert [done for done, _ in told] == [4, 8]
    assert told[1][1]["style"] < told[0][1]["style"]
    for weights in ({"red": 1}, {"blue": 1}, {"red": 1, "blue": 2}):
        for strength in (0, 0.4, 1):
            before, after = (each.stylize(image, weights, strength) for each in (base, found))
            assert np.abs(before.astype(int) - after).max() <= 1
    assert (found.stylize(image, {"gold": 1}) != found.stylize(image, {"red": 1})).any()


def test_what_cannot_be_added_is_told(base, image):
    photographs = [Image.fromarray(image)]
    with pytest.raises(StylizerError, match="has the style red already"):
        adding.add_styles(base, {"red": image}, photographs, SETTINGS)
    with pytest.raises(StylizerError, match="no style to add"):
        adding.add_styles(base, {}, photographs, SETTINGS)
    with pytest.raises(StylizerError, match=r"full_strength is 0\.6"):
        adding.add_styles(base, {"new": image}, photographs, TrainingSettings())

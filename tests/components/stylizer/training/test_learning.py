"""A catalog's styles: the base's own stay, others are learned, and nothing is trained where there are no others."""

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from components.stylizer.settings import CatalogSettings
from tests.components.stylizer import tiny
from tests.deferred import deferred_imports

with deferred_imports():
    import keras

    from atelier.stylization import StylizerError
    from components.style_catalog import catalog
    from components.style_catalog.style import load_pixels
    from components.stylizer import network, stylizer
    from components.stylizer.stylizer import Stylizer, identify
    from components.stylizer.training import learning

pytestmark = pytest.mark.slow

SETTINGS = CatalogSettings(
    steps=4, steps_per_round=1, image_size=64, smallest_crop=64, largest_crop=70, style_size=64, workers=1, minutes=None
)
RED, BLUE, GOLD = (np.full((64, 64, 3), color, np.uint8) for color in ((200, 20, 20), (20, 20, 200), (250, 200, 20)))


@pytest.fixture(scope="module")
def base():
    return Stylizer(tiny.build_network(), ("red", "blue"), {"red": identify(RED, 64), "blue": identify(BLUE, 64)})


@pytest.fixture
def photographs():
    return [Image.fromarray(np.random.default_rng(1).integers(0, 256, (70, 80, 3), np.uint8))]


def read_rows(found, style):
    """All values that one style has of its own."""
    position = found.styles.index(style)
    values = [v for v in found.model.variables if v.path.endswith(("norm/scale", "norm/offset", "offset/offset"))]
    return np.concatenate([np.ravel(v[position]) for v in values])


def read_shared(found):
    return np.concatenate([np.ravel(v) for v in found.model.variables if v.path.endswith("kernel")])


def test_nothing_is_trained_where_the_base_knows_all(base, tmp_path):
    found = learning.learn_styles({"blue": BLUE}, [], SETTINGS, base=base, state=tmp_path)
    assert found.styles == ("blue",)
    np.testing.assert_array_equal(read_rows(found, "blue"), read_rows(base, "blue"))
    image = np.random.default_rng(2).integers(0, 256, (20, 30, 3), np.uint8)
    np.testing.assert_array_equal(found.stylize(image, {"blue": 1}, 0.7), base.stylize(image, {"blue": 1}, 0.7))
    assert list(tmp_path.iterdir()) == []


def test_first_the_new_styles_values_then_all(base, photographs, tmp_path):
    phases = {}

    class Seen(keras.callbacks.Callback):
        def __init__(self, phase, trained):
            super().__init__()
            self.phase, self.trained = phase, trained

        def on_train_end(self, logs=None):
            steps = int(self.model.optimizer.iterations)
            phases[self.phase] = (
                steps,
                read_rows(self.trained, "red"),
                read_rows(self.trained, "gold"),
                read_shared(self.trained),
            )

    found = learning.learn_styles(
        {"gold": GOLD, "red": RED},
        photographs,
        SETTINGS.model_copy(update={"steps": 8, "values_share": 0.5}),
        base=base,
        state=tmp_path,
        callbacks=lambda phase, trained: [Seen(phase, trained)],
    )
    assert found.styles == ("red", "gold")  # those that the base knows come first
    assert found.images == {"red": identify(RED, 64), "gold": identify(GOLD, 64)}
    (steps, red, gold, kernels), (more, *last) = phases["values"], phases["whole"]
    assert (steps, more) == (4, 4)
    np.testing.assert_array_equal(red, read_rows(base, "red"))
    np.testing.assert_array_equal(kernels, read_shared(base))
    assert (gold != (read_rows(base, "red") + read_rows(base, "blue")) / 2).mean() > 0.5
    for before, after in zip((red, gold, kernels), last, strict=True):
        assert (before != after).mean() > 0.5


@pytest.mark.parametrize(
    ("style", "size"), [("red", 64), ("crimson", 64), ("red", 65)], ids=["other image", "other id", "other size"]
)
def test_what_is_not_the_very_same_style_is_learned(base, photographs, tmp_path, style, size):
    settings = SETTINGS.model_copy(update={"style_size": size, "steps": 1, "values_share": 1.0})
    image = GOLD if (style, size) == ("red", 64) else RED
    found = learning.learn_styles({style: image}, photographs, settings, base=base, state=tmp_path)
    assert (read_rows(found, style) != read_rows(base, "red")).any()
    assert (tmp_path / "values.npz").exists()
    assert not (tmp_path / "whole.npz").exists()


def test_from_random_weights_all_is_trained_at_once(photographs, tmp_path, monkeypatch):
    build = network.build
    monkeypatch.setattr(network, "build", lambda *a, **k: build(*a, **k, channels=(3, 4, 5), blocks=1))
    settings = SETTINGS.model_copy(update={"start": "random", "steps": 2})
    found = learning.learn_styles({"gold": GOLD}, photographs, settings, base=None, state=tmp_path)
    assert found.styles == ("gold",)
    assert {file.name for file in tmp_path.iterdir()} == {"targets.npz", "whole.npz"}


def test_a_catalog_without_styles_is_refused(base, tmp_path):
    with pytest.raises(StylizerError, match="no style to learn: give a catalog"):
        learning.learn_styles({}, [], SETTINGS, base=base, state=tmp_path)


def test_minutes_and_steps_are_shared_by_the_phases():
    settings = CatalogSettings(steps=1000, minutes=10, values_share=0.25)
    values, whole = settings.plan_values_phase(), settings.plan_whole_phase()
    assert values
    assert whole
    assert (values.steps, values.minutes, whole.steps, whole.minutes) == (250, 2.5, 750, 7.5)
    assert (values.learning_rate, values.full_strength, values.blends) == (0.02, 1.0, 0.0)
    assert (whole.learning_rate, whole.full_strength, whole.blends) == (5e-4, 0.6, 0.1)
    alone = CatalogSettings(start="random", steps=1000).plan_whole_phase()
    assert alone
    assert alone.steps == 1000
    assert CatalogSettings(values_share=0).plan_values_phase() is None
    assert CatalogSettings(values_share=1).plan_whole_phase() is None
    with pytest.raises(ValidationError, match="start"):
        CatalogSettings.model_validate({"start": "photo"})


def test_the_base_knows_the_built_in_styles():
    base = stylizer.load_base()
    styles = catalog.open_catalog("builtin", ids=("mosaic", "petals"))
    assert {style.id: identify(load_pixels(style), 512) for style in styles}.items() <= base.images.items()
    assert len(base.images) == 11

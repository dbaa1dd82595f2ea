"""Training: crops, the loss, going on where it stopped, and what is refused. Everything is tiny."""

from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from components.stylizer.settings import TrainingSettings
from tests.components.stylizer import tiny
from tests.deferred import deferred_imports

with deferred_imports():
    import keras

    from components.style_renderer.engine import canvas, networks
    from components.style_renderer.engine.objective import get_objective
    from components.style_renderer.engine.settings import Settings
    from components.stylizer import network
    from components.stylizer.stylizer import Stylizer
    from components.stylizer.training import loop, objective, targets, train_base
    from components.stylizer.training.crops import Crops
    from components.stylizer.training.loop import TrainingError

pytestmark = pytest.mark.slow

TINY: dict[str, Any] = {
    "image_size": 64,
    "batch_size": 2,
    "smallest_crop": 64,
    "largest_crop": 80,
    "style_size": 64,
    "workers": 1,
    "large_share": 0.0,
}


@pytest.fixture(scope="module")
def photographs():
    random = np.random.default_rng(0)
    return [Image.fromarray(random.integers(0, 256, size, np.uint8)) for size in ((90, 120, 3), (70, 66, 3))]


@pytest.fixture(scope="module")
def styles():
    random = np.random.default_rng(1)
    return [random.integers(0, 256, (70, 90, 3), np.uint8), np.full((64, 64, 3), 90, np.uint8)]


def build(styles, settings):
    keras.utils.set_random_seed(0)
    model = network.build(len(styles), channels=(3, 4, 5), blocks=1)
    return objective.build(model, styles, [(0.7, 0.01), (0.5, 0.002)], settings)


def test_crops_depend_on_the_step_alone(photographs):
    settings = TrainingSettings(**TINY | {"batch_size": 40, "blends": 0.5})
    batch = Crops(photographs, range(3), settings).build_batch(7)
    assert batch["image"].shape == (40, 64, 64, 3)
    assert batch["image"].dtype == np.uint8
    np.testing.assert_allclose(batch["style"].sum(1), 1, rtol=1e-6)
    assert 5 < ((batch["style"] > 0).sum(1) == 2).sum() < 30
    assert 10 < (batch["strength"] == 1).sum() < 38
    later = Crops(photographs, range(3), settings, first_step=5)[2][0]
    for name, values in batch.items():
        np.testing.assert_array_equal(later[name], values)
    assert (Crops(photographs, range(3), settings).build_batch(8)["image"] != batch["image"]).any()


def test_the_loss_is_the_optimizers_by_what_it_reaches(styles):
    settings = TrainingSettings(**TINY)
    found = build(styles, settings)
    random = np.random.default_rng(2)
    image, stylized = random.uniform(0, 255, (2, 1, 64, 64, 3)).astype(np.float32)
    terms = [float(term[0]) for term in found.compute_terms(image, np.array([[1.0, 0.0]], np.float32), stylized)]
    judge = get_objective(Settings(), "float32")
    expected, _ = judge.evaluate(
        stylized, judge.compute_contents(image), judge.compute_style_targets(styles[0], 64), [1.0, 1.0, 1.0]
    )
    np.testing.assert_allclose(terms, expected[1:], rtol=1e-4)
    inputs = {"image": image, "style": np.array([[1.0, 0.0]], np.float32), "strength": np.array([0.5], np.float32)}
    content, style, tv = terms
    # A strength of a half counts an eighth; far above 0.01, the loss of style is a logarithm.
    by_content = (content + 0.7 * networks.choose_recipe(Settings()).tv_weight * tv / 8) / 0.7
    expected = by_content + 0.08 * 30 * np.log(1 + style / 0.01 / 30) / 8
    np.testing.assert_allclose(found.compute_loss(x=inputs, y_pred=stylized), expected, rtol=1e-4)


def test_crops_are_large_at_the_end(styles, photographs):
    settings = TrainingSettings(**TINY | {"steps": 5, "steps_per_round": 2, "large_size": 96, "large_share": 0.4})
    trained = build(styles, settings)
    sides = []

    class Told(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            sides.append((int(self.model.optimizer.iterations), float(logs["tv"])))

    assert loop.train(trained, photographs, settings, callbacks=[Told()]) == 5
    assert [step for step, _ in sides] == [2, 3, 5]
    large = Crops(photographs, range(2), settings, 3, large=True)
    assert large[0][0]["image"].shape == (2, 96, 96, 3)


def test_vivid_crops_have_the_brightness_of_the_photograph(photographs):
    plain, vivid = (
        Crops(photographs, range(3), TrainingSettings(**TINY | {"vivid": share, "batch_size": 8})).build_batch(0)[
            "image"
        ]
        for share in (0.0, 1.0)
    )
    assert vivid.shape == plain.shape
    chroma = [np.ptp(image.astype(int), axis=-1).mean() for image in (plain, vivid)]
    assert chroma[1] > 1.1 * chroma[0]


def test_styles_before_the_first_are_not_trained(photographs):
    batch = Crops(photographs, range(2, 4), TrainingSettings(**TINY | {"batch_size": 30})).build_batch(0)
    assert batch["style"].shape == (30, 4)
    np.testing.assert_array_equal(batch["style"].any(0), [False, False, True, True])


def test_targets_are_kept_for_the_same_styles_only(styles, tmp_path, monkeypatch):
    recipe, cache = networks.choose_recipe(Settings()), tmp_path / "targets.npz"
    first = targets.compute(recipe, styles, 64, cache)
    expected = get_objective(Settings(), "float32").compute_style_targets(styles[0], 64)
    for target, gram in zip(first, expected, strict=True):
        np.testing.assert_allclose(target[0], gram[0], rtol=1e-4, atol=1e-4)
    again = targets.compute(recipe, styles[::-1], 64, cache)
    np.testing.assert_allclose(again[0], first[0][::-1], rtol=1e-5)
    monkeypatch.setattr(canvas, "resize", None)  # nothing is computed
    np.testing.assert_array_equal(targets.compute(recipe, styles[::-1], 64, cache)[0], again[0])


def test_a_training_that_was_stopped_gives_the_same_weights(styles, photographs, tmp_path):
    settings = TrainingSettings(**TINY | {"steps": 6, "steps_per_round": 2, "large_size": 80, "large_share": 0.5})
    whole = build(styles, settings)
    first = whole.network.get_weights()
    assert loop.train(whole, photographs, settings) == 6

    class Killed(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if self.model.optimizer.iterations == 3:
                raise KeyboardInterrupt

    state = tmp_path / "training.npz"
    with pytest.raises(KeyboardInterrupt):
        loop.train(build(styles, settings), photographs, settings, state, [Killed()])
    resumed = build(styles, settings)
    assert loop.train(resumed, photographs, settings, state) == 6
    for value, expected, start in zip(resumed.network.get_weights(), whole.network.get_weights(), first, strict=True):
        np.testing.assert_array_equal(value, expected)
        assert (expected != start).any()
    assert loop.train(resumed, photographs, settings, state) == 6  # nothing is left to do
    other = TrainingSettings(**settings.model_dump() | {"content_weight": 9.0})
    with pytest.raises(TrainingError, match=r"training\.npz: .* other settings or styles; remove it"):
        loop.train(build(styles, other), photographs, other, state)
    state.write_bytes(b"damaged")
    with pytest.raises(TrainingError, match=r"training\.npz: the file is not a training state"):
        loop.train(build(styles, settings), photographs, settings, state)


def test_no_photographs_are_refused(styles):
    with pytest.raises(TrainingError, match="no photographs"):
        loop.train(build(styles, TrainingSettings(**TINY)), [], TrainingSettings(**TINY))


def test_settings_that_contradict_each_other_are_refused():
    with pytest.raises(ValidationError, match="largest_crop is 100, smallest_crop 200"):
        TrainingSettings(smallest_crop=200, largest_crop=100)


def test_a_softened_style_lies_between_itself_and_no_style():
    model = tiny.build_network()
    before = {variable.path: variable.numpy() for variable in model.variables}
    train_base.soften(Stylizer(model, ("red", "blue")), {"blue": 0.25})
    for variable in model.variables:
        expected = before[variable.path].copy()
        if variable.name in ("scale", "offset"):
            assert len(expected) == 3
            expected[1] = 0.75 * expected[1] + 0.25 * expected[2]
        np.testing.assert_allclose(variable.numpy(), expected, rtol=1e-6)


@pytest.mark.parametrize("text", ["green:0.2", "blue", "blue:much", "blue:1.5", "blue:nan"])
def test_shares_that_make_no_sense_are_named(text):
    assert train_base.read_shares(["red:0.5"], ["red", "blue"]) == {"red": 0.5}
    with pytest.raises(TrainingError, match=f"--soften {text}: expected"):
        train_base.read_shares([text], ["red", "blue"])


def test_the_command_names_what_is_wrong(tmp_path, capsys):
    arguments = ["--content", str(tmp_path / "none"), "--output", str(tmp_path / "o"), "--state", str(tmp_path / "s")]
    assert train_base.main(arguments) == 1
    assert "none: no such folder" in capsys.readouterr().err
    (tmp_path / "none").mkdir()
    (tmp_path / "none" / "a.jpg").write_bytes(b"no image")
    assert train_base.main(arguments) == 1
    assert "a.jpg" in capsys.readouterr().err
    assert train_base.main([*arguments, "--image-size", "100"]) == 2
    assert "--image-size" in capsys.readouterr().err

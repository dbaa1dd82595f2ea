"""StylizerEvaluator: its numbers, its verdict, and what it keeps."""

import re

import numpy as np
import pytest
from PIL import Image

from components.stylizer.settings import CatalogSettings
from components.stylizer_evaluator.settings import GateSettings
from tests.components.stylizer import components
from tests.deferred import deferred_imports

with deferred_imports():
    import tensorflow as tf

    from components.style_renderer.batch.contents import ContentError
    from components.style_renderer.engine import losses, networks, render
    from components.style_renderer.engine.settings import Scale, Settings
    from components.stylizer_evaluator import executor, gate, measure, references
    from components.stylizer_evaluator.measure import Compared, StyleLosses

pytestmark = pytest.mark.slow

FLOAT16, DYNAMIC = "stylizer-64-float16.tflite", "stylizer-64-dynamic.tflite"
GOOD = {"ssim": 1.0, "size": 1000, "latency_ms": 5.0, "tflite": {}}
random = np.random.default_rng(0)


def draw_image(height=64, width=64):
    return random.integers(0, 256, (height, width, 3), np.uint8)


@pytest.fixture(scope="module")
def catalog(tmp_path_factory):
    return components.publish(tmp_path_factory.mktemp("catalog") / "published", "builtin", ["woodcut"])


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return tmp_path_factory.mktemp("references")


@pytest.fixture(scope="module")
def accepted(catalog, store, tmp_path_factory):
    """The base network at the gate, whose settings are the defaults but for the number of images."""
    output = tmp_path_factory.mktemp("base")
    model = components.train(catalog, "photos", output, CatalogSettings())
    measured = components.evaluate(
        model, catalog, "photos", output, GateSettings(max_images=1), store_directory=str(store)
    )
    return output, *measured


def test_the_base_network_is_blessed(accepted):
    output, measured, blessed = accepted
    assert measured["reasons"] == []
    assert (measured["blessed"], blessed) == (True, 1)
    assert (output / "blessing" / "BLESSED").exists()
    (style,) = measured["styles"]
    assert style["style"] == "woodcut"
    assert style["style_ratio"] == pytest.approx(style["style_loss"] / style["optimizer_style_loss"])
    assert style["content_ratio"] == pytest.approx(style["content_loss"] / style["optimizer_content_loss"])
    assert measured["ssim"] > 0.999
    assert measured["rendered"] == 1
    folder = output / "model" / "Format-Serving"
    assert measured["bytes"] == sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    grid = {file.name: Image.open(file).size for file in (output / "evaluation" / "grid").iterdir()}
    assert grid.keys() == {f"woodcut-{column}.jpg" for column in ("content", "optimizer", "one-pass", "half")}
    assert len(set(grid.values())) == 1
    assert max(next(iter(grid.values()))) == 256


def test_ten_steps_from_random_weights_are_rejected(accepted, catalog, store, tmp_path):
    settings = CatalogSettings(start="random", steps=10, batch_size=1, image_size=64, style_size=512, minutes=None)
    model = components.train(catalog, "photos", tmp_path, settings)
    measured, blessed = components.evaluate(
        model, catalog, "photos", tmp_path, GateSettings(max_images=1), store_directory=str(store)
    )
    assert (measured["blessed"], blessed) == (False, 0)
    assert (tmp_path / "blessing" / "NOT_BLESSED").exists()
    assert any("style loss" in reason and "(style woodcut)" in reason for reason in measured["reasons"])
    assert measured["styles"][0]["style_loss"] > 5 * accepted[1]["styles"][0]["style_loss"]
    assert measured["rendered"] == 0  # the optimizer's image was kept
    assert measured["images"] == accepted[1]["images"]


def test_the_optimizers_image_is_rendered_once_for_each_of_its_inputs(tmp_path, monkeypatch):
    calls = []
    settings = Settings(scales=(Scale(size=64, iterations=1),))

    def rendered(content, styles, settings, **_):
        calls.append(1)
        return render.Rendering(255 - content, {}, 1, 0.0, None)

    monkeypatch.setattr(render, "render", rendered)
    content, style = draw_image(), draw_image()
    first = references.read_or_render(content, style, settings, str(tmp_path), "a")
    np.testing.assert_array_equal(references.read_or_render(content, style, settings, str(tmp_path), "a"), first)
    np.testing.assert_array_equal(first, 255 - content)
    assert len(calls) == 1
    other = settings.model_copy(update={"style_scale": 2.0})
    for change in ((style, style, settings, "a"), (content, content, settings, "a"), (content, style, other, "a")):
        references.read_or_render(*change[:3], str(tmp_path), change[3])
    references.read_or_render(content, style, settings, str(tmp_path), "b")
    assert len(calls) == 5
    for file in tmp_path.iterdir():
        file.write_bytes(b"damaged")
    references.read_or_render(content, style, settings, str(tmp_path), "a")
    assert len(calls) == 6


def test_the_losses_are_the_optimizers(tmp_path):
    content, stylized, optimized, style = draw_image(), draw_image(), draw_image(), draw_image()
    found = measure.measure_losses("dots", style, [Compared(content, optimized, stylized, stylized)], 64)
    recipe = networks.choose_recipe(Settings())
    features = networks.build(Settings())
    of = [features(tf.constant(each[np.newaxis], tf.float32)) for each in (content, stylized, style)]
    grams = [[losses.gram(each[name]) for name in recipe.style_layers] for each in of]
    expected = losses.style_loss(grams[1], grams[2], tuple(recipe.style_layers.values()))
    assert found.style_loss == pytest.approx(float(expected[0]), rel=1e-4)
    squares = [np.mean(np.square(of[1][name] - of[0][name])) for name in recipe.content_layers]
    assert found.content_loss == pytest.approx(np.mean(squares), rel=1e-4)
    same = measure.measure_losses("dots", style, [Compared(content, content, content, content)], 64)
    assert same.content_loss == same.optimizer_content_loss == 0
    assert same.style_ratio == 1
    assert np.isnan(same.content_ratio)


def test_structural_similarity_is_that_of_the_paper():
    one, other = draw_image(), draw_image()
    assert measure.compute_ssim(one, one) == pytest.approx(1)
    light, dark = (np.full((32, 32, 3), value, np.uint8) for value in (200, 100))
    c1 = (0.01 * 255) ** 2  # equation 13 with two flat images: their variances and covariance are 0
    assert measure.compute_ssim(light, dark) == pytest.approx((2 * 200 * 100 + c1) / (200**2 + 100**2 + c1), rel=1e-6)
    # TensorFlow's leaves out the border, where skimage mirrors the image and averages within the same inner part.
    expected = float(tf.image.ssim(tf.constant(one), tf.constant(other), 255))
    assert measure.compute_ssim(one, other) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({}, None),
        ({"losses": ("a", 3.0, 0.1, 1.0, 1.0)}, r"style loss 30\.00 times .* above 15 \(style a\)"),
        ({"losses": ("a", 0.1, 0.1, 3.0, 1.0)}, r"content loss 3\.00 times .* above 2 \(style a\)"),
        ({"losses": ("a", float("nan"), 0.1, 1.0, 1.0)}, r"style loss nan .* \(style a\)"),
        ({"ssim": 0.5}, r"SSIM 0\.5000 at a strength of 0 is below 0\.98"),
        ({"ssim": float("nan")}, "SSIM nan"),
        ({"size": 20_000_000}, r"size 20\.00 MB is above 15 MB"),
        ({"latency_ms": 2500.0}, "latency 2500 ms is above 2000 ms"),
        ({"tflite": {FLOAT16: {"difference": 1.5, "fault": None}}}, r"float16\.tflite is 1\.50 gray levels"),
        ({"tflite": {FLOAT16: {"difference": float("nan"), "fault": None}}}, r"float16\.tflite is nan gray levels"),
        ({"tflite": {DYNAMIC: {"difference": 1.5, "fault": None}}}, None),
        (
            {"tflite": {DYNAMIC: {"difference": float("nan"), "fault": "cannot be run: no model"}}},
            r"dynamic\.tflite cannot be run: no model",
        ),
    ],
)
def test_each_threshold(change, fault):
    values = {"losses": ("a", 0.1, 0.1, 1.0, 1.0), **GOOD} | change
    values["losses"] = [StyleLosses(*values["losses"])]
    faults = gate.find_faults(**values, settings=GateSettings())
    if fault is None:
        assert faults == []
    else:
        (line,) = faults
        assert re.search(fault, line)


def test_tflite_files_are_run_on_a_held_out_image(accepted, catalog, store, tmp_path):
    settings = CatalogSettings()
    model = components.train(catalog, "photos", tmp_path, settings, tflite_sizes="[64]")
    folder = model / "Format-Serving" / "assets.extra" / "tflite"
    gate_settings = GateSettings(max_images=1)
    measured, blessed = components.evaluate(
        model, catalog, "photos", tmp_path, gate_settings, store_directory=str(store)
    )
    assert (measured["reasons"], blessed) == ([], 1)
    assert list(measured["tflite"]) == [DYNAMIC, FLOAT16]
    exact, rounded = measured["tflite"][FLOAT16], measured["tflite"][DYNAMIC]
    assert exact["difference"] < 0.05 < rounded["difference"] < 10
    assert exact["bytes"] == (folder / FLOAT16).stat().st_size
    # Cards say what the trainer measured. What the files do is what counts.
    (folder / FLOAT16).write_bytes((folder / DYNAMIC).read_bytes())
    (folder / DYNAMIC).write_bytes(b"no model")
    gate_settings = GateSettings(max_images=1, max_tflite_difference=rounded["difference"] / 2)
    measured, blessed = components.evaluate(
        model, catalog, "photos", tmp_path / "again", gate_settings, store_directory=str(store)
    )
    assert blessed == 0
    damaged, differing = measured["reasons"]
    assert damaged.startswith(f"{DYNAMIC} cannot be run: ")
    assert differing.startswith(f"{FLOAT16} is {rounded['difference']:.2f} gray levels from the SavedModel, above ")


def test_styles_are_spread_over_the_models():
    styles = list("abcdefghijk")
    assert executor.spread(styles, 0) == styles
    assert executor.spread(styles, 20) == styles
    assert executor.spread(styles, 4) == ["a", "d", "h", "k"]
    assert executor.spread(styles, 1) == ["k"]


def test_the_optimizer_sees_the_style_as_the_training_did():
    settings = GateSettings().configure_optimizer(512)
    assert (settings.scales[-1].size, settings.style_scale) == (256, 2.0)
    assert GateSettings(size=512).configure_optimizer(512) == Settings()


def test_held_out_images_that_are_missing_are_told(accepted, catalog, tmp_path):
    with pytest.raises(ContentError, match="none: no such folder"):
        components.evaluate(accepted[0] / "model", catalog, tmp_path / "none", tmp_path / "output", GateSettings())

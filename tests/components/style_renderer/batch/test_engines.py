"""The engines `fast` and `refined` in a batch, with a small stylizer: what is rendered again, and what is an error."""

import hashlib
import json
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageFilter

from tests.components.style_renderer import fake_engine
from tests.deferred import deferred_imports

with deferred_imports():
    import keras

    from components.style_renderer.batch import batch, contents, outcome
    from components.style_renderer.engine import canvas
    from components.style_renderer.engine import render as engine
    from components.stylizer import network, stylizer
    from tests.components.style_renderer.conftest import IN_MEMORY

pytestmark = pytest.mark.slow


def save(path, styles, seed=1):
    """A stylizer with random weights that knows the styles' images."""
    keras.utils.set_random_seed(seed)
    model = network.build(len(styles), channels=(3, 4, 5), blocks=1)
    random = np.random.default_rng(seed)
    for variable in model.variables:
        if variable.name in ("scale", "offset"):
            variable.assign(random.normal(1, 0.5, variable.shape))
    images = [np.asarray(Image.open(style.file).convert("RGB")) for style in styles]
    ids = tuple(style.id for style in styles)
    known = {style: stylizer.identify(image, 512) for style, image in zip(ids, images, strict=True)}
    stylizer.Stylizer(model, ids, known).save(path)
    return stylizer.load(path)


@pytest.fixture
def file(styles, tmp_path):
    save(tmp_path / "s.npz", styles)
    return tmp_path / "s.npz"


@pytest.fixture
def render(folder, styles, file, tmp_path):
    """Runs a batch into `tmp_path/out`; fields of the request by name."""

    def render_batch(styles=styles, **request):
        values: dict[str, Any] = {"picture_format": "png", "engine": "fast", "stylizer": str(file), "size": 32}
        return batch.render_batch(
            contents.list_files(str(folder)),
            styles,
            str(tmp_path / "out"),
            batch.Request(**values | {"max_bad_fraction": 0.0} | request),
            batch.make_local_pipelines(IN_MEMORY),
        )

    return render_batch


def read_manifest(tmp_path):
    return [json.loads(line) for line in (tmp_path / "out" / "manifest.jsonl").read_text().splitlines()]


def test_fast_gives_what_the_stylizer_gives(render, folder, file, tmp_path):
    report = render(strengths=(0.5,))
    assert (report.images, report.rendered, report.dead) == (6, 6, ())
    line = read_manifest(tmp_path)[1]
    assert (line["content"]["id"], line["style"]["id"], line["strength"]) == ("a.png", "blue", 0.5)
    assert (line["engine"], line["iterations"], line["losses"]) == ("fast", 0, {})
    assert line["stylizer"] == hashlib.sha256(file.read_bytes()).hexdigest()
    # The strokes are those at 512 pixels.
    content = canvas.resize(np.asarray(Image.open(folder / "a.png")), 320, 512)
    expected = canvas.resize(stylizer.load(file).stylize(content, {"blue": 1}, 0.5), 20, 32)
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "out" / line["file"])), expected)
    assert "Iterations" not in (tmp_path / "out" / "gallery.html").read_text()


def test_a_rendering_is_made_again_when_engine_or_stylizer_change(render, styles, file, tmp_path):
    assert render().rendered == 6
    assert render().rendered == 0
    again = file.with_name("copy.npz")
    again.write_bytes(file.read_bytes())
    assert render(stylizer=str(again)).rendered == 0
    save(again, styles, seed=2)
    assert render(stylizer=str(again)).rendered == 6
    assert render().rendered == 0
    assert render(code="another").rendered == 6
    assert len({line["file"] for line in read_manifest(tmp_path)}) == 6


def test_refined_starts_from_the_one_pass(render, monkeypatch, file, folder, tmp_path):
    started = []

    def optimize(content, styles, settings, *, start, callback):
        started.append((settings, start))
        return fake_engine.render(content, styles, settings, callback=callback)

    monkeypatch.setattr(engine, "render", optimize)
    render(
        engine="refined", size=0, overrides={"scales": [{"size": 32, "iterations": 9}, {"size": 64, "iterations": 7}]}
    )
    settings, start = started[0]
    assert [scale.size for scale in settings.scales] == [64]
    expected = stylizer.load(file).stylize(
        canvas.resize(np.asarray(Image.open(folder / "a.png")), 320, 512), {"red": 1}
    )
    scaled = Image.fromarray(canvas.resize(expected, 40, 64))
    smooth = np.asarray(scaled.filter(ImageFilter.GaussianBlur(0.7)))  # without its grain
    assert np.abs(start.astype(int) - smooth).mean() < 10
    assert {line["engine"] for line in read_manifest(tmp_path)} == {"refined"}


def test_colors_of_the_content_are_kept(render, folder, tmp_path):
    content = np.asarray(Image.open(folder / "a.png")).astype(float)
    render(overrides={"colors": "match"}, size=512)
    image = np.asarray(Image.open(tmp_path / "out" / read_manifest(tmp_path)[0]["file"])).astype(float)
    assert np.abs(image.mean((0, 1)) - content.mean((0, 1))).max() < 10
    render(overrides={"colors": "luminance"}, size=512)
    found = Image.open(tmp_path / "out" / read_manifest(tmp_path)[0]["file"]).convert("YCbCr")
    wanted = Image.open(folder / "a.png").resize((512, 320), Image.Resampling.LANCZOS).convert("YCbCr")
    away = np.abs(np.asarray(found).astype(float) - np.asarray(wanted)).mean((0, 1))
    assert away[1:].max() < 8 < away[0]


def test_a_style_that_the_stylizer_does_not_know_is_named(render, tmp_path):
    green = fake_engine.make_style(tmp_path, "green", "#00ff00")
    with pytest.raises(outcome.RenderError, match=r"the style green: .*atelier styles train"):
        render(styles=[green])
    assert not (tmp_path / "out" / "pictures").exists()


def test_another_image_under_a_known_id_is_not_rendered_in_the_known_look(render, tmp_path):
    (tmp_path / "mine").mkdir()
    mine = fake_engine.make_style(tmp_path / "mine", "red", "#ff8800")
    for engine_name in ("fast", "refined"):
        with pytest.raises(outcome.RenderError, match="the style red from another image"):
            render(styles=[mine], engine=engine_name)


def test_a_stylizer_that_cannot_be_used_is_named(render, tmp_path):
    with pytest.raises(outcome.RenderError, match=r"none\.npz: the stylizer cannot be read"):
        render(stylizer=str(tmp_path / "none.npz"))
    (tmp_path / "bad.npz").write_bytes(b"no zip")
    with pytest.raises(outcome.RenderError, match="is not a stylizer"):
        render(stylizer=str(tmp_path / "bad.npz"))


def test_settings_without_effect_are_errors(render):
    with pytest.raises(outcome.RenderError, match="fast does not use the setting style_scale"):
        render(overrides={"style_scale": 2.0})
    with pytest.raises(outcome.RenderError, match="refined does not use the setting start"):
        render(engine="refined", overrides={"start": "noise"})

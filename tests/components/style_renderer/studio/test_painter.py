"""What the worker computes with: one pass, regions, estimates, and the schedule that is left of a job."""

from types import SimpleNamespace

import pytest

from components.style_renderer.engine.settings import Settings
from tests.components.style_renderer import soft_noise
from tests.deferred import deferred_imports

with deferred_imports():
    import numpy as np
    from PIL import Image

    from components.style_catalog import catalog
    from components.style_catalog import style as catalog_style
    from components.style_renderer.engine import canvas
    from components.style_renderer.engine.guidance import Region, cover
    from components.style_renderer.engine.render import render
    from components.style_renderer.studio import painter
    from components.style_renderer.studio.jobs import Place
    from components.style_renderer.studio.request import Controls, Request, StudioError
    from components.style_renderer.studio.worker import Task
    from components.stylizer.stylizer import load_base

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def engine():
    return painter.EnginePainter()


@pytest.fixture
def styles(drawn, tmp_path):
    """Two that the one pass knows, and one that it does not."""
    Image.fromarray(soft_noise.make_image(7, 80, 80)).save(tmp_path / "own.png")
    own = catalog.load_folder(tmp_path)
    return {style.id: style for style in (*catalog.load_catalog(drawn / "catalog.yaml"), *own)}


@pytest.fixture
def make_task(styles, tmp_path):
    content, left = tmp_path / "content.image", tmp_path / "left.image"
    Image.fromarray(soft_noise.make_image(3, 64, 96)).save(content, "PNG")
    mask = np.zeros((64, 96), np.uint8)
    mask[:, :48] = 255
    Image.fromarray(mask).save(left, "PNG")

    def make(*names, painted=False, weights=None, **changes):
        region = {"styles": weights or dict.fromkeys(names, 1.0), "mask": "0" * 32 if painted else ""}
        request = Request.model_validate({"image": "0" * 32, "regions": [region], "size": 96, **changes})
        chosen = {name: styles[name] for name in names}
        return Task(request, content, (left if painted else None,), chosen)

    return make


def test_a_painted_preview_is_the_photo_elsewhere(engine, make_task):
    whole = engine.preview(make_task("mosaic"), 96).astype(int)
    part = engine.preview(make_task("mosaic", painted=True), 96).astype(int)
    photo = soft_noise.make_image(3, 64, 96).astype(int)
    np.testing.assert_array_equal(part[:, 50:], photo[:, 50:])
    np.testing.assert_array_equal(part[:, :46], whole[:, :46])
    assert np.abs(whole - photo).mean() > 10


def test_a_style_of_ones_own_has_no_preview_and_no_fast_job(engine, make_task):
    assert engine.preview(make_task("own"), 96) is None
    with pytest.raises(StudioError, match="the one pass does not know the style own; choose another quality"):
        engine.paint(make_task("own", engine="fast"), lambda *_: Controls())


def test_a_job_shows_the_one_pass_first_and_then_each_iteration(engine, make_task):
    seen = []

    def tell(image, place, done, losses):
        seen.append((image.shape, place, done, dict(losses)))
        return Controls(strength=0.0 if len(seen) >= 4 else 1.0)

    image = engine.paint(make_task("gravel"), tell)
    assert seen[0][1] == Place(size=0)
    assert [place for _, place, *_ in seen[1:4]] == [Place(size=96, iteration=n, left=75 - n) for n in range(3)]
    assert seen[2][3]["total"] > 0
    np.testing.assert_array_equal(image, soft_noise.make_image(3, 64, 96))  # which a strength of 0 gives back


def test_a_blend_is_the_engine_s_own_with_these_weights(engine, make_task, styles):
    content, weights = soft_noise.make_image(3, 64, 96), {"mosaic": 1.5, "gravel": 0.5}
    blend = make_task(*weights, weights=weights, engine="fast", size=512)
    network = load_base()
    own = network.stylize(canvas.resize(content, 341, 512), {"mosaic": 3, "gravel": 1})
    fast = engine.paint(blend, lambda *_: Controls())
    np.testing.assert_array_equal(fast, own)
    np.testing.assert_array_equal(engine.preview(blend, 512), own)
    assert np.abs(fast.astype(int) - network.stylize(canvas.resize(content, 341, 512), {"mosaic": 1})).mean() > 5

    finest = engine.paint(make_task(*weights, weights=weights, engine="finest", size=64), lambda *_: Controls())
    pairs = [(catalog_style.load_pixels(styles[name]), share) for name, share in (("mosaic", 0.75), ("gravel", 0.25))]
    np.testing.assert_array_equal(finest, render(content, pairs, Settings().with_size(64)).image)
    assert np.abs(finest.astype(int) - canvas.resize(content, *finest.shape[:2])).mean() > 5


def test_a_long_pass_tells_how_far_it_is_and_begins_anew_at_another_strength(engine, make_task, monkeypatch):
    monkeypatch.setattr("components.stylizer.stylizer.IN_ONE_PIECE", 1000)
    monkeypatch.setattr(painter, "_SILENCE_S", 0.0)
    seen = []

    def tell(image, place, done, losses):
        seen.append(done)
        return Controls(strength=1.0 if len(seen) < 4 else 0.25)

    image = engine.paint(make_task("mosaic", engine="fast", size=512), tell)
    first, second = seen[:4], seen[4:]
    assert first == sorted(first)
    assert second == sorted(second)
    assert 0 < second[0] < 0.2 < first[-1] < 0.5 < second[-1] == 1
    content = canvas.resize(soft_noise.make_image(3, 64, 96), 341, 512)
    assert np.abs(image.astype(int) - load_base().stylize(content, {"mosaic": 1}, 0.25)).mean() < 0.01


def test_estimates_grow_with_size_and_regions(engine, make_task):
    small, large = (engine.estimate(make_task("gravel", size=size)) for size in (256, 16384))
    assert large["seconds"] > 100 * small["seconds"] > 0
    assert large["memory_mb"] > small["memory_mb"] > 900
    assert (small["tiles"], large["tiles"] > 50) == (1, True)
    assert (
        engine.estimate(make_task("gravel", size=1024, painted=True))["memory_mb"]
        > (engine.estimate(make_task("gravel", size=1024))["memory_mb"])
    )


def test_an_estimate_of_one_pass_is_that_of_its_strips_and_files(engine, make_task):
    found = {size: engine.estimate(make_task("gravel", size=size, engine="fast")) for size in (512, 2048, 16384)}
    assert [each["tiles"] for each in found.values()] == [1, 1, 1]
    assert found[16384]["seconds"] == pytest.approx(64 * found[2048]["seconds"], rel=1e-3)
    assert 0 < found[16384]["seconds"] < engine.estimate(make_task("gravel", size=16384))["seconds"]
    assert found[512]["memory_mb"] < found[2048]["memory_mb"] < found[16384]["memory_mb"] < 4096
    pixels = 16384 * 10923
    assert found[16384]["disk_mb"] == pytest.approx(pixels * (52 + 3) / 2**20, abs=2)
    assert (found[512]["disk_mb"], found[2048]["disk_mb"]) == (0, 8)  # features in memory, the job's images alone


def test_a_job_for_which_the_disk_is_too_small_is_not_begun(engine, make_task, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=5000 * 2**20))
    for quality in ("fast", "refined", "finest"):
        with pytest.raises(
            StudioError, match=r"it takes \d+ MB of disk, and .* has 5000 MB: free some space, or choose"
        ):
            engine.paint(make_task("gravel", size=16384, engine=quality), lambda *_: pytest.fail("it has begun"))
        assert engine.estimate(make_task("gravel", size=16384, engine=quality))["disk_free_mb"] == 5000


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ((128, 100, 50), [(128, 50), (256, 100), (512, 60)]),
        ((256, 100, 0), [(512, 60)]),
        ((512, 59, 1), [(512, 1)]),
        ((512, 60, 0), None),
    ],
)
def test_a_job_goes_on_with_what_is_left(place, expected):
    left = painter._plan_rest(
        Settings(strength=0.5), Place(**dict(zip(("size", "iteration", "left"), place, strict=True)))
    )
    assert (left and [(scale.size, scale.iterations) for scale in left.scales]) == expected
    assert left is None or left.strength == 0.5


def test_what_lies_under_a_soft_mask_is_mixed():
    image, content = np.full((2, 2, 3), 200, np.uint8), np.full((2, 2, 3), 100, np.uint8)
    mask = np.array([[0, 51], [102, 255]], np.uint8)
    np.testing.assert_array_equal(cover(image, content, [Region(mask, [])])[..., 0], [[100, 120], [140, 200]])

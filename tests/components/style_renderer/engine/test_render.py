"""Whole renderings of small images: what steers them steers them, and nothing else does."""

import functools
import itertools
from typing import Any

import numpy as np
import pytest
from PIL import Image

from components.style_renderer.engine.settings import Scale, Settings
from tests.components.style_renderer import soft_noise
from tests.deferred import deferred_imports

with deferred_imports():
    import tensorflow as tf

    from components.style_renderer.engine import canvas, colors, memory, objective, optimizers, render
    from components.style_renderer.engine.tiling import tiles

RECIPE: dict[str, Any] = {  # fixed here: the networks' own may change
    "content_layers": ("block4b_expand_activation",),
    "style_layers": {"stem_activation": 0.05, "block2b_expand_activation": 0.1, "block3b_expand_activation": 0.3},
    "content_weight": 1.0,
    "style_weight": 30.0,
    "tv_weight": 6e-4,
}
VGG: dict[str, Any] = {
    "network": "vgg19",
    "weights": "random",
    "content_layers": ("block4_conv2",),
    "style_layers": {"block1_conv1": 1.0, "block3_conv1": 1.0},
    "style_weight": 1e4,
    "tv_weight": 0.0,
}


def build_settings(*scales, **changes):
    """Of float32 and a few iterations; `scales` are (size, iterations)."""
    steps = tuple(Scale(size=size, iterations=iterations) for size, iterations in scales or ((64, 8),))
    return Settings(**RECIPE | {"precision": "float32", "scales": steps} | changes)


CONTENT = soft_noise.make_image(1, 48, 64, grain=16)
STYLE = soft_noise.make_image(2, 64, 80, grain=4)
OTHER = soft_noise.make_image(3, 80, 64, 0, 120, grain=12)


def render_image(chosen, content=CONTENT, styles=((STYLE, 1.0),), **options):
    return render.render(content, styles, chosen, **options)


@functools.cache
def render_usual():
    """What most tests compare with."""
    return render_image(build_settings())


def measure_distance(one, other):
    return float(np.abs(one.astype(float) - other).mean())


# Strength


@pytest.mark.slow
@pytest.mark.parametrize("changes", [{}, {"start": "noise"}, {"colors": "luminance"}, {"optimizer": "adam"}])
def test_a_strength_of_0_gives_the_content_back(changes):
    found = render_image(build_settings((32, 3), (64, 3), strength=0.0, **changes))
    np.testing.assert_array_equal(found.image, CONTENT)
    assert (found.iterations, found.losses, found.seam_score) == (0, {}, None)


@pytest.mark.slow
def test_at_another_size_it_is_the_content_scaled():
    found = render_image(build_settings((32, 3), strength=0.0)).image
    np.testing.assert_array_equal(found, canvas.resize(CONTENT, 24, 32))


@pytest.mark.slow
def test_the_change_grows_with_the_strength():
    images = [
        render_image(build_settings((64, 40), strength=strength)).image for strength in (0.0, 0.25, 0.5, 0.75, 1.0)
    ]
    distances = [measure_distance(image, CONTENT) for image in images]
    assert distances[0] == 0
    # Near the full strength it grows little: by 1 % on one processor, by 0.6 % on one without AVX-512.
    assert all(weaker < stronger for weaker, stronger in itertools.pairwise(distances))
    assert distances[-1] > 1.1 * distances[1] > 0


# Blends


@pytest.mark.slow
def test_a_blend_with_nothing_of_the_second_is_the_first():
    found = render_image(build_settings(), styles=((STYLE, 2.5), (OTHER, 0.0)))
    np.testing.assert_array_equal(found.image, render_usual().image)


def test_a_blend_of_a_style_with_itself_is_that_style():
    found = render_image(build_settings(), styles=((STYLE, 1.0), (STYLE, 1.0)))
    np.testing.assert_array_equal(found.image, render_usual().image)  # halves add up to the whole in float32 too


def test_the_targets_of_a_blend_are_the_weighted_mean(monkeypatch):
    wanted = watch_targets(monkeypatch)
    render_image(build_settings((64, 1)), styles=((STYLE, 3.0), (OTHER, 1.0)))
    loss = objective.get_objective(build_settings(), "float32")
    one, other = loss.compute_style_targets(STYLE, 64), loss.compute_style_targets(OTHER, 64)
    for found, a, b in zip(wanted[0], one, other, strict=True):
        expected = 0.75 * a.numpy() + 0.25 * b.numpy()
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6 * expected.max())


def watch_targets(monkeypatch):
    """The Gram matrices that the objective is given, call by call."""
    seen = []
    loss = objective.get_objective(build_settings(), "float32")
    evaluate = loss.evaluate

    def watch(image, contents, grams, weights):
        seen.append([gram.numpy() for gram in grams])
        return evaluate(image, contents, grams, weights)

    monkeypatch.setattr(loss, "evaluate", watch)
    return seen


def test_a_blend_lies_between_its_styles():
    loss = objective.get_objective(build_settings(), "float32")

    def compute_style_loss(image, style):
        grams = loss.compute_style_targets(style, 64)
        batch = tf.constant(image[np.newaxis], tf.float32)
        found, _ = loss.evaluate(batch, loss.compute_contents(batch), grams, tf.constant([0.0, 1.0, 0.0]))
        return float(found[2])

    blend = render_image(build_settings(), styles=((STYLE, 1.0), (OTHER, 1.0))).image
    pure = render_image(build_settings(), styles=((OTHER, 1.0),)).image
    assert (
        compute_style_loss(render_usual().image, STYLE)
        < compute_style_loss(blend, STYLE)
        < compute_style_loss(pure, STYLE)
    )
    assert (
        compute_style_loss(pure, OTHER)
        < compute_style_loss(blend, OTHER)
        < compute_style_loss(render_usual().image, OTHER)
    )


# The same again


def test_the_same_twice_is_the_same_byte_for_byte():
    again = render_image(build_settings())
    np.testing.assert_array_equal(again.image, render_usual().image)
    assert again.losses == render_usual().losses


@pytest.mark.slow
def test_the_seed_decides_the_noise_and_only_that():
    one, same, other = (render_image(build_settings(start="noise", seed=seed)).image for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert measure_distance(one, other) > 5
    np.testing.assert_array_equal(render_image(build_settings(seed=1)).image, render_usual().image)


def test_noise_is_where_it_starts():
    first = []
    render_image(build_settings((64, 1), start="noise"), callback=lambda at: first.append(at.image()))
    # Of uniform noise: mean 127.5, standard deviation 73.6; 9216 values leave less than 3 by chance.
    assert abs(first[0].mean() - 127.5) < 3
    assert abs(first[0].std() - 73.6) < 3


def test_a_start_image_is_where_it_starts():
    first = []
    found = render_image(
        build_settings((64, 8), start="noise"), start=OTHER, callback=lambda at: first.append(at.image())
    )
    np.testing.assert_array_equal(first[0], canvas.resize(OTHER, 48, 64))
    assert measure_distance(found.image, render_usual().image) > 1


# The callback


def test_the_callback_sees_each_iteration_in_order():
    seen = []
    chosen = build_settings((32, 3), (64, 4))
    found = render_image(chosen, callback=lambda at: seen.append((at, at.image())))
    iterates = [at for at, _ in seen]
    assert [(at.scale, at.size, at.iteration, at.iterations) for at in iterates] == [
        *((0, 32, number, 3) for number in range(4)),
        *((1, 64, number, 4) for number in range(5)),
    ]
    assert (iterates[0].done, iterates[-1].done) == (0, 1)
    assert all(before.done <= after.done for before, after in itertools.pairwise(iterates))
    # By iterations times pixels: 3 x 32 x 32 of it and 4 x 64 x 64.
    assert iterates[4].done == pytest.approx(3 / 19)
    assert {(image.shape, image.dtype.name) for _, image in seen} == {((24, 32, 3), "uint8"), ((48, 64, 3), "uint8")}
    np.testing.assert_array_equal(seen[0][1], canvas.resize(CONTENT, 24, 32))
    np.testing.assert_array_equal(seen[-1][1], found.image)
    assert [bool(at.losses) for at in iterates] == [False, *[True] * 3, False, *[True] * 4]
    assert iterates[-1].losses == found.losses
    assert found.iterations == 7
    totals = [at.losses["total"] for at in iterates[5:]]
    assert all(later < earlier for earlier, later in itertools.pairwise(totals))


def test_watching_changes_nothing():
    np.testing.assert_array_equal(render_image(build_settings(), callback=lambda _: None).image, render_usual().image)
    same = render_image(build_settings(), callback=lambda _: 1.0)  # the strength that it has
    np.testing.assert_array_equal(same.image, render_usual().image)


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", ["lbfgs", "adam"])
def test_a_strength_that_the_callback_returns_is_taken(optimizer):
    chosen = build_settings((64, 24), optimizer=optimizer)
    full = render_image(chosen).image
    weaker = render_image(chosen, callback=lambda at: 0.3 if at.iteration == 2 else None).image
    assert measure_distance(weaker, CONTENT) < measure_distance(full, CONTENT)
    none = render_image(chosen, callback=lambda at: 0 if at.iteration == 2 else None)
    np.testing.assert_array_equal(none.image, CONTENT)


def test_a_strength_from_the_start_is_that_of_the_settings():
    expected = render_image(build_settings(strength=0.5)).image
    found = render_image(build_settings(), callback=lambda at: 0.5 if at.iteration == 0 else None).image
    np.testing.assert_array_equal(found, expected)


def test_a_new_strength_holds_for_the_scales_to_come():
    found = render_image(
        build_settings((32, 2), (64, 8)), callback=lambda at: 0.0 if (at.scale, at.iteration) == (0, 1) else None
    )
    np.testing.assert_array_equal(found.image, CONTENT)
    assert found.iterations == 2


@pytest.mark.parametrize("answer", [2.0, -0.1, float("nan")])
def test_no_other_number_is_a_strength(answer):
    with pytest.raises(ValueError, match=r"the callback returned the strength .*: expected 0\.\.1"):
        render_image(build_settings(), callback=lambda _: answer)


# Sizes


@pytest.mark.parametrize(
    ("shape", "sizes", "expected"),
    [
        ((48, 64), (32, 100), (75, 100)),  # neither side a multiple of the stride
        ((64, 48), (80,), (80, 60)),
        ((32, 640), (32, 64), (3, 64)),  # below the stride
        ((640, 32), (32,), (32, 2)),
        ((1, 1), (32,), (32, 32)),
    ],
)
@pytest.mark.parametrize("optimizer", ["lbfgs", "adam"])
def test_the_result_has_the_last_size_and_the_content_s_aspect(shape, sizes, expected, optimizer):
    content = soft_noise.make_image(4, *shape)
    found = render_image(build_settings(*((size, 2) for size in sizes), optimizer=optimizer), content=content)
    assert (found.image.shape, found.image.dtype) == ((*expected, 3), np.uint8)
    assert np.isfinite(list(found.losses.values())).all()
    assert found.iterations == 2 * len(sizes)


def test_the_coarse_scale_is_where_the_fine_one_starts():
    seen = {}
    render_image(
        build_settings((32, 4), (64, 1)), callback=lambda at: seen.update({(at.scale, at.iteration): at.image()})
    )
    enlarged = canvas.resize(seen[0, 4], 48, 64)
    assert measure_distance(seen[1, 0], enlarged) < 1  # which was rounded in between
    assert measure_distance(seen[0, 4], canvas.resize(CONTENT, 24, 32)) > 1
    assert measure_distance(seen[1, 0], CONTENT) > 1.2 * measure_distance(seen[1, 0], enlarged)


def test_style_scale_is_the_size_at_which_the_style_is_seen(monkeypatch):
    wanted = watch_targets(monkeypatch)
    style = soft_noise.make_image(5, 256, 256, grain=4)
    loss = objective.get_objective(build_settings(), "float32")
    for style_scale, size in ((1.0, 64), (0.5, 32), (2.0, 128), (0.01, 32), (8.0, 256)):
        wanted.clear()
        render_image(build_settings((64, 1), style_scale=style_scale), styles=((style, 1.0),))
        for found, expected in zip(wanted[0], loss.compute_style_targets(style, size), strict=True):
            np.testing.assert_array_equal(found, expected)


def test_total_variation_by_scale():
    def render_at(tv_weight):
        scale = Scale(size=64, iterations=8, tv_weight=tv_weight)
        return render_image(build_settings(scales=(scale,)))

    rough, smooth = render_at(0.0), render_at(1.0)
    assert smooth.losses["tv"] < 0.5 * rough.losses["tv"]
    np.testing.assert_array_equal(render_at(RECIPE["tv_weight"]).image, render_usual().image)


# Colors


def test_luminance_keeps_the_content_s_chroma():
    content = soft_noise.make_image(6, 48, 64, 100, 156, grain=16)  # in gamut with whatever brightness
    found = render_image(build_settings(colors="luminance"), content=content).image
    free = render_image(build_settings(), content=content).image
    np.testing.assert_array_equal(found, colors.keep_content_colors(free, content))
    chroma, wanted, styled = (
        np.asarray(Image.fromarray(pixels).convert("YCbCr"))[..., 1:].astype(int) for pixels in (found, content, free)
    )
    assert np.quantile(np.abs(chroma - wanted), 0.95) <= 2
    assert np.abs(styled - wanted).mean() > 3


def test_luminance_holds_for_previews_too():
    seen = []
    render_image(build_settings((64, 2), colors="luminance"), callback=lambda at: seen.append(at.image()))
    free = []
    render_image(build_settings((64, 2)), callback=lambda at: free.append(at.image()))
    np.testing.assert_array_equal(seen[1], colors.keep_content_colors(free[1], CONTENT))


def test_match_recolors_the_style(monkeypatch):
    wanted = watch_targets(monkeypatch)
    render_image(build_settings((64, 1), colors="match"))
    loss = objective.get_objective(build_settings(), "float32")
    for found, expected in zip(
        wanted[0], loss.compute_style_targets(colors.match_colors(STYLE, CONTENT), 64), strict=True
    ):
        np.testing.assert_array_equal(found, expected)
    assert not np.allclose(wanted[0][0], loss.compute_style_targets(STYLE, 64)[0], rtol=0.01)


# What is refused


@pytest.mark.parametrize(
    ("content", "styles", "start", "message"),
    [
        (CONTENT[..., 0], [(STYLE, 1)], None, r"content is uint8 of shape \(48, 64\): expected uint8 \[H, W, 3\]"),
        (CONTENT / 255, [(STYLE, 1)], None, "content is float64 of shape"),
        (CONTENT[:0], [(STYLE, 1)], None, r"content is uint8 of shape \(0, 64, 3\)"),
        (CONTENT, [(STYLE[:31], 1)], None, "style 0 is 80 x 31 pixels: a side is below 32"),
        (CONTENT, [(STYLE, 1), (STYLE[:, :20], 1)], None, "style 1 is 20 x 64 pixels"),
        (CONTENT, [(np.dstack([STYLE, STYLE[..., :1]]), 1)], None, "style 0 is uint8 of shape"),
        (CONTENT, [(STYLE, 1)], CONTENT[..., :1], r"start is uint8 of shape \(48, 64, 1\)"),
        (CONTENT, [], None, r"the styles' weights are \[\]: expected at least one above 0"),
        (CONTENT, [(STYLE, 0.0)], None, r"the styles' weights are \[0\.0\]"),
        (CONTENT, [(STYLE, 2.0), (OTHER, -1.0)], None, "expected at least one above 0 and none below"),
        (CONTENT, [(STYLE, float("nan"))], None, "the styles' weights are"),
        (CONTENT, [(STYLE, float("inf"))], None, "the styles' weights are"),
    ],
)
def test_what_cannot_be_rendered_is_named(content, styles, start, message):
    with pytest.raises(ValueError, match=message):
        render.render(content, styles, build_settings(), start=start)


@pytest.mark.slow
def test_an_unknown_layer_is_named():
    with pytest.raises(ValueError, match="efficientnet_lite0 has no layer block1_conv1"):
        render_image(build_settings(content_layers=("block1_conv1",)))


@pytest.mark.parametrize("optimizer", ["lbfgs", "adam"])
def test_a_loss_that_float32_cannot_hold_is_an_error_and_no_image(optimizer):
    with pytest.raises(FloatingPointError, match="a weight is too large for float32"):
        render_image(build_settings(style_weight=3e38, optimizer=optimizer))


# Contents with nothing to go by


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", ["lbfgs", "adam"])
def test_gray_in_its_own_style_stays_gray(optimizer):
    gray = np.full((48, 64, 3), 128, np.uint8)
    found = render_image(build_settings(optimizer=optimizer), content=gray, styles=((gray, 1.0),))
    np.testing.assert_array_equal(found.image, gray)
    assert found.losses["total"] == pytest.approx(0, abs=1e-8)  # there and back through cosines, in float32


@pytest.mark.parametrize("value", [0, 128, 255])
@pytest.mark.parametrize("keep", ["style", "luminance", "match"])
def test_a_content_of_one_gray_takes_a_style(value, keep):
    plain = np.full((48, 64, 3), value, np.uint8)
    found = render_image(build_settings(colors=keep), content=plain)
    assert np.isfinite(list(found.losses.values())).all()
    if keep == "style":
        assert measure_distance(found.image, plain) > 1


def test_losses_told_are_those_of_the_image_that_is_kept(monkeypatch):
    """A line search ends on a point that was worse, and the optimizer goes back to the one before."""
    keep = optimizers.run_lbfgs

    def look_aside(evaluate, image, iterations, notify, **options):
        found = keep(evaluate, image, iterations, notify, **options)
        evaluate(np.full_like(image, 255))
        return found

    monkeypatch.setattr(optimizers, "run_lbfgs", look_aside)
    assert render_image(build_settings()).losses == render_usual().losses


# Tiles


@pytest.mark.slow
def test_an_image_forced_into_tiles_comes_out_without_seams(monkeypatch):
    content = soft_noise.make_image(7, 144, 160, grain=16)
    chosen = build_settings((160, 12), optimizer="adam", learning_rate=2.0)
    whole = render_image(chosen, content=content)
    assert whole.seam_score is None
    monkeypatch.setattr(memory, "choose_tile", lambda *_: 64)
    totals = []
    found = render_image(
        chosen, content=content, callback=lambda at: totals.append(at.losses["total"]) if at.iteration else None
    )
    assert found.image.shape == (144, 160, 3)
    assert len(totals) == found.iterations == 12
    assert np.isfinite(totals).all()
    assert totals[-1] < totals[0]
    assert found.seam_score == pytest.approx(1, abs=0.25)
    assert found.seam_score == pytest.approx(tiles.measure_seams(found.image, 64), abs=0.1)
    # Adam magnifies rounding where a gradient is next to nothing; what one sees is the same.
    assert measure_distance(found.image, whole.image) < 0.5
    assert found.losses["total"] == pytest.approx(whole.losses["total"], rel=0.01)


@pytest.mark.slow
def test_tiles_need_no_content_in_memory(monkeypatch, tmp_path):
    monkeypatch.setattr(memory, "choose_tile", lambda *_: 32)
    mapped = np.memmap(tmp_path / "content.u8", np.uint8, "w+", shape=CONTENT.shape)
    mapped[:] = CONTENT
    expected = render_image(build_settings((64, 2))).image
    np.testing.assert_array_equal(render_image(build_settings((64, 2)), content=mapped).image, expected)


@pytest.mark.slow
def test_the_callback_changes_the_strength_in_tiles_too(monkeypatch):
    monkeypatch.setattr(memory, "choose_tile", lambda *_: 32)
    found = render_image(build_settings((64, 3)), callback=lambda at: 0.0 if at.iteration == 1 else None)
    np.testing.assert_array_equal(found.image, CONTENT)


# Number formats


@pytest.mark.slow
def test_bfloat16_ends_within_two_percent_of_float32():
    """On the average of some images: one alone ends up to 2 % off if its start is changed by a single gray level.

    Content and style weigh about the same here, so that there is a loss below which neither format gets.
    """
    chosen = VGG | {"style_weight": 1e-3}
    loss = objective.get_objective(build_settings(**chosen), "float32")
    weights, grams = tf.constant([1.0, 1e-3, 0.0]), loss.compute_style_targets(STYLE, 64)
    ratios = []
    for seed in range(10, 18):
        content = soft_noise.make_image(seed, 48, 64, grain=16)
        contents = loss.compute_contents(tf.constant(content[np.newaxis], tf.float32))
        start, exact, rounded = (
            float(loss.evaluate(tf.constant(image[np.newaxis], tf.float32), contents, grams, weights)[0][0])
            for image in (
                content,
                render_image(build_settings((64, 25), **chosen), content=content).image,
                render_image(build_settings((64, 25), **chosen | {"precision": "bfloat16"}), content=content).image,
            )
        )
        assert exact < 0.05 * start
        ratios.append(rounded / exact)
    assert np.std(ratios) > 0  # or bfloat16 was not used
    assert np.mean(ratios) == pytest.approx(1, abs=0.02)


@pytest.mark.slow
def test_the_last_steps_are_in_float32(monkeypatch):
    used = []
    for number_format in ("float32", "bfloat16"):
        loss = objective.get_objective(build_settings(), number_format)

        def watch(*given, evaluate=loss.evaluate, number_format=number_format):
            used.append(number_format)
            return evaluate(*given)

        monkeypatch.setattr(loss, "evaluate", watch)
    render_image(build_settings((32, 4), (64, 8), precision="bfloat16", optimizer="adam"))
    assert used == ["bfloat16"] * (4 + 6) + ["float32"] * 2
    used.clear()
    render_image(build_settings((64, 3)))
    assert set(used) == {"float32"}

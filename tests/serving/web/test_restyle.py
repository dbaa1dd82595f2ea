"""Restyling in the page: the network's own images, with every control."""

import base64
import time

import pytest

from tests.deferred import deferred_imports
from tests.serving.web.conftest import SIDES

with deferred_imports():
    import numpy as np
    from PIL import Image

    from components.stylizer import stylizer
    from serving.web import packages
    from tests.trainer.image_kinds import draw_scene

pytestmark = pytest.mark.slow

READ = """() => {
  const canvas = document.querySelector("canvas.after");
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  let letters = "";
  for (let at = 0; at < data.length; at += 3000) letters += String.fromCharCode(...data.subarray(at, at + 3000));
  return [canvas.width, canvas.height, btoa(letters)];
}"""


@pytest.fixture
def page(open_page, address):
    page = open_page(address("both"))
    page.get_by_role("tab", name="Restyle").click()
    return page


def choose(page, file):
    page.set_input_files("#restyle input[type=file]", file)
    page.wait_for_selector(".stage .status:text-matches('pixels in')")


def change(page, act):
    """Changes a setting and waits for its image."""
    before = read(page)
    act()
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        page.wait_for_timeout(50)
        if "pixels in" in page.inner_text(".stage .status") and not np.array_equal(read(page), before):
            return
    pytest.fail("the image does not change")


def read(page):
    width, height, encoded = page.evaluate(READ)
    return np.frombuffer(base64.b64decode(encoded), np.uint8).reshape(height, width, 4)[..., :3]


def save(image, folder):
    image.save(folder / "photo.png")
    return folder / "photo.png"


def stylize_with_python(image, weights, strength=1.0):
    return stylizer.load_base().stylize(np.asarray(image), weights, strength)


def measure_difference(one, other):
    return np.abs(one.astype(int) - other).mean()


def test_a_restyled_image_is_pythons(page, tmp_path):
    image = draw_scene(64, 64)
    choose(page, save(image, tmp_path))
    assert measure_difference(read(page), stylize_with_python(image, {"swirls": 1})) < 0.1
    change(page, page.get_by_role("button", name="Great wave").click)
    assert measure_difference(read(page), stylize_with_python(image, {"great-wave": 1})) < 0.1
    change(page, lambda: page.get_by_label("Strength").fill("40"))
    assert measure_difference(read(page), stylize_with_python(image, {"great-wave": 1}, 0.4)) < 0.1
    change(page, lambda: page.get_by_label("Strength").fill("0"))
    assert np.array_equal(read(page), np.asarray(image))


def test_styles_are_blended(page, tmp_path):
    image = draw_scene(64, 64)
    choose(page, save(image, tmp_path))
    page.get_by_label("Blend several styles").check()
    change(page, page.get_by_role("button", name="Mosaic").click)
    assert measure_difference(read(page), stylize_with_python(image, {"swirls": 1, "mosaic": 1})) < 0.1
    change(page, lambda: page.get_by_label("Swirls").fill("25"))
    assert measure_difference(read(page), stylize_with_python(image, {"swirls": 0.25, "mosaic": 1})) < 0.1
    change(page, lambda: page.get_by_label("Blend several styles").uncheck())
    assert measure_difference(read(page), stylize_with_python(image, {"mosaic": 1})) < 0.1


def test_the_longer_side_is_chosen_and_the_image_scaled_as_by_python(page, tmp_path):
    image = draw_scene(300, 300)
    choose(page, save(image, tmp_path))
    change(page, lambda: page.get_by_label("Longer side").select_option(str(SIDES[1])))
    image.thumbnail((SIDES[1], SIDES[1]), Image.Resampling.LANCZOS)
    assert measure_difference(read(page), stylize_with_python(image, {"swirls": 1})) < 0.1


@pytest.mark.parametrize("size", [(64, 44), (21, 64), (64, 3)])
def test_an_image_that_is_no_square_is_pythons_too(page, tmp_path, size):
    image = draw_scene(*size)
    choose(page, save(image, tmp_path))
    assert read(page).shape == (size[1], size[0], 3)
    assert measure_difference(read(page), stylize_with_python(image, {"swirls": 1})) < 0.1


def test_an_image_that_is_smaller_than_the_square_is_pythons_too(page, tmp_path):
    image = draw_scene(101, 59)
    choose(page, save(image, tmp_path))
    change(page, lambda: page.get_by_label("Longer side").select_option(str(SIDES[1])))
    assert measure_difference(read(page), stylize_with_python(image, {"swirls": 1})) < 0.1


def test_colors_are_kept(page, tmp_path):
    image = draw_scene(64, 64)
    choose(page, save(image, tmp_path))
    change(page, page.get_by_label("Keep the colors of the image").check)
    original, stylized = np.asarray(image).astype(float), stylize_with_python(image, {"swirls": 1}).astype(float)
    luma = np.array([0.299, 0.587, 0.114])
    expected = np.clip(original + ((stylized - original) @ luma)[..., np.newaxis], 0, 255)
    assert measure_difference(read(page), expected) < 0.5


def test_thumbnails_the_slider_and_the_download(page, tmp_path):
    choose(page, save(draw_scene(64, 64), tmp_path))
    page.wait_for_selector(".style:last-child canvas[width='128']")
    page.get_by_label("Original and restyled").fill("20")
    assert page.evaluate("getComputedStyle(document.querySelector('.compare')).getPropertyValue('--split')") == "20%"
    with page.expect_download() as download:
        page.get_by_role("button", name="Download").click()
    assert download.value.suggested_filename == "photo-swirls.jpg"
    with Image.open(download.value.path()) as saved:
        assert measure_difference(np.asarray(saved), read(page)) < 6


def test_what_is_no_image_is_told_and_the_next_one_is_restyled(page, tmp_path):
    (tmp_path / "notes.txt").write_text("remember the milk")
    page.set_input_files("#restyle input[type=file]", tmp_path / "notes.txt")
    page.wait_for_selector("#restyle [role=alert]:not([hidden])")
    assert "notes.txt: This is not an image" in page.inner_text("#restyle [role=alert]")
    choose(page, save(draw_scene(64, 64), tmp_path))
    assert page.locator("#restyle [role=alert]").is_hidden()


def test_tabs_and_styles_work_by_keyboard(page, tmp_path):
    page.get_by_role("tab", name="Restyle").press("ArrowLeft")
    assert page.locator("#classify").is_visible()
    page.keyboard.press("ArrowRight")
    assert page.locator("#restyle").is_visible()
    choose(page, save(draw_scene(64, 64), tmp_path))
    change(page, lambda: page.get_by_role("button", name="Woodcut").press("Enter"))
    assert page.get_by_role("button", name="Woodcut").get_attribute("aria-pressed") == "true"


@pytest.mark.parametrize("wide", [390, 1300])
def test_axe_finds_nothing_and_nothing_is_cut_off(page, tmp_path, wide):
    page.set_viewport_size({"width": wide, "height": 900})
    choose(page, save(draw_scene(64, 64), tmp_path))
    page.get_by_label("Blend several styles").check()
    page.get_by_role("button", name="Mosaic").click()
    page.wait_for_timeout(200)  # transitions of colors
    page.evaluate((packages.install("axe-core") / "axe.min.js").read_text())
    found = page.evaluate("axe.run()")
    assert [(each["id"], [node["html"] for node in each["nodes"]]) for each in found["violations"]] == []
    assert page.evaluate("document.documentElement.scrollWidth") <= wide

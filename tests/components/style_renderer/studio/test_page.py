"""The page in Chromium: what people do with it, with the worker that needs no TensorFlow."""

import io

import pytest

from tests import browsers
from tests.components.style_renderer.studio.conftest import FLAT, encode
from tests.deferred import deferred_imports

with deferred_imports():
    import numpy as np
    from PIL import Image

    from components.style_renderer.studio import app
    from serving.web import packages

pytestmark = pytest.mark.slow

NAME = "<img src=x onerror=document.title='broken'>.png"
FILE = "#stage input[type=file] >> nth=0"


@pytest.fixture(scope="module")
def browser():
    with browsers.launched() as chromium:
        yield chromium


@pytest.fixture
def studio(folder):
    """A server over the studio's folder."""
    running = app.Studio(folder, FLAT)
    web = browsers.Background(app.make_app(running), lifespan="on")
    yield web.address
    web.stop()


@pytest.fixture
def open_page(browser, studio):
    contexts = []

    def open_page(**options):
        context = browser.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(10_000)
        page.faults = []
        page.on("pageerror", lambda error: page.faults.append(str(error)))
        page.goto(studio)
        page.wait_for_selector("#engine:text-is('Ready')")
        return page

    yield open_page
    for context in contexts:
        assert context.pages[0].faults == []
        context.close()


def make_photo(name=NAME, **options):
    return {"name": name, "mimeType": "image/png", "buffer": encode(**options)}


def choose(page, style="Gravel", size=None):
    page.set_input_files(FILE, make_photo())
    page.wait_for_selector(".frame:not([hidden])")
    page.click(f".style:has-text('{style}')")
    if size == 64:
        # Smaller than any that the page offers.
        page.eval_on_selector("#choice-Size", "e => e.add(new Option('64 px', '64'))")
    if size:
        page.select_option("#choice-Size", str(size))


def move(page, slider, value):
    page.eval_on_selector(slider, f"e => {{ e.value = {value}; e.dispatchEvent(new Event('input')) }}")


def test_a_moved_slider_changes_the_running_job_and_two_tabs_see_it(open_page, studio):
    page = open_page()
    choose(page, size=1024)  # goes on until it is stopped
    page.wait_for_selector(".status:text-is('One pass, as a preview.')")
    page.get_by_role("button", name="Render", exact=True).click()
    page.wait_for_selector(".status:text-matches('iteration .*strength 100 %')")
    other = open_page()
    other.wait_for_selector(".status:text-matches('iteration')")  # it shows what is at work
    move(page, "#slider-Strength", 40)
    page.wait_for_selector(".status:text-matches('iteration .*strength 40 %')", timeout=2000)
    other.wait_for_selector(".status:text-matches('iteration .*strength 40 %')", timeout=2000)
    assert other.input_value("#slider-Strength") == "40"
    page.reload()
    page.wait_for_selector(".status:text-matches('iteration .*strength 40 %')")
    page.click("text=Stop")
    other.wait_for_selector(".status:text-is('Stopped')")
    other.click("text=Go on")
    page.wait_for_selector(".status:text-matches('iteration')")
    page.click("text=Stop")
    page.wait_for_selector(".status:text-is('Stopped')")
    src = page.get_attribute(".compare .after", "src")
    body = page.request.get(studio + (src or "")).body()
    assert np.asarray(Image.open(io.BytesIO(body)).convert("L")).mean() == pytest.approx(102, abs=1)
    assert page.inner_text(".job .name") == NAME
    assert page.title() == "Atelier studio"
    assert page.locator("img[src='x']").count() == 0


def test_history_loads_all_settings_and_deletes(open_page):
    page = open_page()
    choose(page, size=64)
    move(page, "#slider-Strength", 70)
    page.select_option("#choice-Colors", "luminance")
    page.get_by_role("button", name="Render", exact=True).click()
    page.wait_for_selector(".status:text-is('Done')")
    page.click(".style:has-text('Rosette')")
    move(page, "#slider-Strength", 10)
    page.select_option("#choice-Colors", "style")
    page.click("text=Use settings")
    page.wait_for_selector(".style[aria-pressed=true]:has-text('Gravel')")
    assert page.locator(".style[aria-pressed=true]").count() == 1
    assert page.input_value("#slider-Strength") == "70"
    assert page.input_value("#choice-Colors") == "luminance"
    assert page.input_value("#choice-Size") == "64"
    page.click(".job >> text=Delete")
    page.wait_for_selector(".job", state="detached")


def test_a_blend_is_rendered_with_the_weights_of_its_sliders(open_page, folder):
    page = open_page()
    choose(page, size=64)
    page.click(".style:has-text('Rosette')")
    move(page, "#weight-gravel", 75)
    move(page, "#weight-mosaic", 25)
    page.get_by_role("button", name="Render", exact=True).click()
    page.wait_for_selector(".status:text-is('Done')")
    (job,) = page.request.get(page.url + "api/state").json()["jobs"]
    assert job["request"]["regions"] == [{"styles": {"gravel": 1.5, "mosaic": 0.5}, "mask": ""}]
    with Image.open(folder / "jobs" / job["id"] / "result.jpg") as result:
        assert np.asarray(result).mean() == pytest.approx(0.75 * 255, abs=1)
    page.click(".style:has-text('Rosette')")  # takes it out
    page.click("text=Use settings")
    page.wait_for_selector("#weight-mosaic")
    assert [page.input_value(f"#weight-{name}") for name in ("gravel", "mosaic")] == ["75", "25"]


def test_two_styles_go_where_they_are_painted(open_page, folder):
    page = open_page()
    choose(page, size=64)
    page.click(".style:has-text('Rosette')")
    page.select_option("#choice-Where", "painted")
    for name, share in (("Gravel", 0.2), ("Rosette", 0.8)):
        page.locator(".brushes label", has_text=name).click()
        page.locator("canvas.mask").scroll_into_view_if_needed()
        box = page.locator("canvas.mask").bounding_box()
        page.mouse.move(box["x"] + share * box["width"], box["y"] + 0.5 * box["height"])
        page.mouse.down()
        page.mouse.move(box["x"] + share * box["width"], box["y"] + 0.9 * box["height"], steps=3)
        page.mouse.up()
        page.wait_for_timeout(300)
    page.click("text=Undo")
    page.click("text=Fill the rest")
    page.wait_for_timeout(500)
    page.get_by_role("button", name="Render", exact=True).click()
    page.wait_for_selector(".status:text-is('Done')")
    (job,) = page.request.get(page.url + "api/state").json()["jobs"]
    first, second = job["request"]["regions"]
    assert [list(region["styles"]) for region in (first, second)] == [["gravel"], ["mosaic"]]
    masks = []
    for region in (first, second):
        with Image.open(folder / "images" / f"{region['mask']}.image") as mask:
            masks.append(np.asarray(mask.convert("L")).astype(int))
    height, width = masks[0].shape
    assert (height, width) == (683, 1024)
    assert masks[0][round(0.7 * height), round(0.2 * width)] == 255
    assert masks[0][:, width // 2 :].max() == 0
    # All that the first has not.
    np.testing.assert_allclose(masks[0] + masks[1], 255, atol=2)
    page.reload()
    page.get_by_label("Show and paint the regions").check()  # the history has brought the masks back
    page.wait_for_selector("canvas.mask:not([hidden])")
    assert page.locator(".brushes label").count() == 3


def test_what_cannot_be_read_is_told(open_page):
    page = open_page()
    page.set_input_files(FILE, {"name": "<b>notes</b>.png", "mimeType": "image/png", "buffer": b"remember the milk"})
    page.wait_for_selector(".problem:text-matches('<b>notes</b>.png')")
    choose(page)
    assert page.locator(".problem").is_hidden()


def test_an_own_style_comes_into_the_catalog_with_its_license(open_page, folder):
    page = open_page()
    page.click("text=Add a style of your own")
    noise = np.random.default_rng(0).integers(0, 255, (80, 80, 3), np.uint8)
    stream = io.BytesIO()
    Image.fromarray(noise).save(stream, "PNG")
    page.set_input_files("#own-file", {"name": "x.png", "mimeType": "image/png", "buffer": stream.getvalue()})
    page.fill("#own-title", "My <i>noise</i>")
    page.fill("#own-license", "CC0-1.0")
    page.click("text=Add to my styles")
    page.wait_for_selector(".style[aria-pressed=true] span:text-is('My <i>noise</i>')")
    assert "licence: CC0-1.0" in (folder / "styles/own/catalog.yaml").read_text()


def test_presets_and_many_images(open_page):
    page = open_page()
    choose(page, size=64)
    move(page, "#slider-Strength", 60)
    page.click("text=Presets and many images")
    page.fill("#preset-name", "Soft")
    page.get_by_role("button", name="Save").click()
    page.wait_for_selector("#choice-Preset option:text-is('Soft')", state="attached")
    move(page, "#slider-Strength", 90)
    page.select_option("#choice-Preset", "Soft")
    assert page.input_value("#slider-Strength") == "60"
    move(page, "#slider-Strength", 80)
    asked = []

    def decline(dialog):
        asked.append(dialog.message)
        dialog.dismiss()

    page.on("dialog", decline)
    page.fill("#preset-name", " Soft ")
    page.get_by_role("button", name="Save").click()
    assert asked == ["Replace the preset Soft?"]
    assert page.request.get(page.url + "api/state").json()["presets"]["Soft"]["strength"] == 0.6
    move(page, "#slider-Strength", 60)
    notes = {"name": "notes.txt", "mimeType": "text/plain", "buffer": b"milk"}
    page.set_input_files("#controls input[type=file][multiple]", [notes])
    page.wait_for_selector("text=There is no image among these files.")
    files = [make_photo(f"{color}.png", color=color) for color in ("red", "blue")]
    broken = {"name": "cut.png", "mimeType": "image/png", "buffer": encode()[:60]}
    page.set_input_files("#controls input[type=file][multiple]", [*files, broken])
    page.wait_for_selector("text=/2 of 3 in the queue. cut.png/")
    page.wait_for_selector(".job:nth-child(2) .hint:text-is('Done')")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [(1300, 900), (390, 844)])
def test_axe_finds_nothing_and_nothing_is_cut_off(open_page, size, scheme):
    # axe is a script of the test's own, which the page's policy does not let in.
    page = open_page(viewport={"width": size[0], "height": size[1]}, color_scheme=scheme, bypass_csp=True)
    axe = (packages.install("axe-core") / "axe.min.js").read_text()
    page.evaluate(axe)

    def check():
        found = page.evaluate("axe.run()")
        assert [(each["id"], [node["html"] for node in each["nodes"]]) for each in found["violations"]] == []
        assert page.evaluate("document.documentElement.scrollWidth") <= size[0]

    check()
    choose(page, size=64)
    page.click(".style:has-text('Rosette')")
    page.select_option("#choice-Where", "painted")
    for summary in page.locator("summary").all():
        summary.click()
    page.locator("canvas.mask").press(" ")
    page.wait_for_timeout(400)
    page.get_by_role("button", name="Render", exact=True).click()
    page.wait_for_selector(".status:text-is('Done')")
    check()

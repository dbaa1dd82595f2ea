"""The page in Chromium: Python's answers, nothing sent, and usable by everybody."""

import functools
import http.server
import threading
import urllib.parse

import pytest

from tests.browsers import CHROMIUM
from tests.deferred import deferred_imports
from tests.serving.web.conftest import LABELS, choose, read_answers

with deferred_imports():
    import numpy as np
    from PIL import Image

    from serving.tflite_model import TFLiteModel
    from serving.web import export, packages, site

pytestmark = pytest.mark.slow

WIDTHS = {"phone": (390, 844), "desktop": (1300, 900)}


@pytest.fixture(scope="module")
def golden(tmp_path_factory):
    """Ten files: photographs and drawings of several formats, sizes and depths."""
    folder = tmp_path_factory.mktemp("golden")
    random = np.random.default_rng(1)

    def draw(width, height):
        coarse = random.integers(0, 256, (5, 6, 3), np.uint8)
        return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)

    draw(200, 120).save(folder / "0.jpg", quality=85)
    draw(64, 64).save(folder / "1.png")
    draw(90, 300).save(folder / "2.webp", quality=80)
    draw(32, 32).save(folder / "3.bmp")
    draw(150, 150).quantize(32).save(folder / "4.gif")
    draw(80, 60).convert("L").save(folder / "5.jpg", quality=90)
    draw(700, 500).save(folder / "6.jpg", quality=92, progressive=True)
    exif = Image.Exif()
    exif[274] = 6
    draw(120, 70).save(folder / "7.jpg", quality=92, exif=exif)
    draw(20, 500).save(folder / "8.png")
    draw(97, 96).save(folder / "9.jpg", quality=95, subsampling=0)
    return sorted(folder.iterdir())


@pytest.mark.parametrize(("variant", "tolerance"), [("float", 2e-3), ("dynamic", 2e-3), ("int8", 1e-6)])
def test_golden_images_get_pythons_answers(open_page, address, pushed, golden, variant, tolerance):
    page = open_page(address(variant))
    choose(page, *golden)
    expected = TFLiteModel(pushed[variant] / "tflite" / "7").predict(golden)
    answers = read_answers(page)
    assert [name for name, _, _ in answers] == [file.name for file in golden]
    assert [label for _, label, _ in answers] == [each.label for each in expected]
    np.testing.assert_allclose([each for *_, each in answers], [each.probability for each in expected], atol=tolerance)
    assert len({label for _, label, _ in answers}) > 1
    assert page.faults == []


def test_the_page_is_isolated_and_uses_threads(open_page, address):
    page = open_page(address("float"))
    assert page.evaluate("crossOriginIsolated") is True
    assert "WebAssembly" in page.inner_text("#facts")
    threads = page.evaluate("navigator.hardwareConcurrency")
    assert ("1 thread" if threads == 1 else f"{threads} threads") in page.inner_text("#facts")
    assert "90.0 %" in page.inner_text("#facts")
    assert page.get_by_text("Images never leave this machine.").is_visible()


def test_without_webgpu_the_switch_says_so_and_webassembly_answers(open_page, address, pushed, golden):
    page = open_page(address("float"))
    with page.expect_navigation():
        # Not check(), which looks at the box of the new page before its script has set it, and clicks again.
        page.get_by_label("Use the graphics processor (WebGPU)").click()
    page.wait_for_selector("html[data-ready]")
    assert page.get_by_label("Use the graphics processor (WebGPU)").is_checked()
    facts = page.inner_text("#facts")
    assert "WebAssembly" in facts
    assert "not on the graphics processor: this browser has no WebGPU" in facts
    choose(page, golden[0])
    ((_, label, _),) = read_answers(page)
    assert label == TFLiteModel(pushed["float"] / "tflite" / "7").predict([golden[0]])[0].label


SOFTWARE_GPU = ("--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader", "--enable-features=Vulkan")


@pytest.mark.parametrize("wrong", [False, True])
def test_webgpu_is_used_where_it_gives_what_webassembly_gives(request, address, pushed, golden, wrong):
    chromium = request.getfixturevalue("browser").browser_type.launch(
        executable_path=CHROMIUM, args=["--no-sandbox", *SOFTWARE_GPU]
    )
    page = chromium.new_page()
    page.goto(address("float"))
    if not page.evaluate("async () => Boolean(await navigator.gpu?.requestAdapter())"):
        chromium.close()
        pytest.skip("this Chromium has no WebGPU by SwiftShader")
    if wrong:
        broken = "isNear(values, expected) {\n  return false;"
        page.route(
            "**/runtime.js",
            lambda route: route.fulfill(
                response=(got := route.fetch()), body=got.text().replace("isNear(values, expected) {", broken)
            ),
        )
    page.goto(f"{address('float')}?webgpu")
    page.wait_for_selector("html[data-ready]")
    facts = page.inner_text("#facts")
    choose(page, *golden)
    answers = read_answers(page)
    chromium.close()
    assert ("by WebGPU" in facts, "it gives other values" in facts) == (not wrong, wrong)
    expected = TFLiteModel(pushed["float"] / "tflite" / "7").predict(golden)
    assert [label for _, label, _ in answers] == [each.label for each in expected]
    np.testing.assert_allclose([each for *_, each in answers], [each.probability for each in expected], atol=2e-3)


def test_no_request_leaves_this_machine_and_none_carries_an_image(open_page, address, golden):
    page = open_page(address("float"))
    loaded = len(page.requested)
    assert loaded > 10
    choose(page, *golden)
    local = [url for url in page.requested if not url.startswith("blob:")]
    assert {urllib.parse.urlsplit(url).hostname for url in local} == {"localhost"}
    assert [url for url in page.requested[loaded:] if not url.startswith("blob:")] == []


def test_it_answers_offline_once_it_is_loaded(open_page, address, golden):
    page = open_page(address("float"))
    page.context.set_offline(True)
    choose(page, golden[0])
    assert len(read_answers(page)) == 1


def test_the_keyboard_is_enough(open_page, address, golden):
    page = open_page(address("float"))
    # From here on Chromium tells of its dialog; told together with the key, it may be too late.
    page.on("filechooser", lambda _: None)

    def tab_to(name):
        for _ in range(30):
            page.keyboard.press("Tab")
            # The body, which has the focus before the first key, holds every name.
            if name in page.evaluate("document.querySelector('body :focus')?.textContent ?? ''"):
                return
        pytest.fail(f"the keyboard does not reach {name!r}")

    tab_to("Choose images")
    with page.expect_file_chooser() as chooser:
        page.keyboard.press("Enter")
    chooser.value.set_files(golden[:3])
    page.wait_for_selector(".status:text('3 images classified.')")
    tab_to(golden[2].name)
    page.keyboard.press("Enter")
    assert page.inner_text(".answer .file-name") == golden[2].name
    assert golden[2].name in page.inner_text("tr[aria-current]")


def test_names_are_text_and_never_markup(open_page, address, tmp_path):
    name = "<img src=x onerror=document.title='broken'>.png"
    Image.new("RGB", (40, 40), "red").save(tmp_path / "red.png")
    page = open_page(address("float"))
    content = (tmp_path / "red.png").read_bytes()
    page.set_input_files("#classify input >> nth=0", {"name": name, "mimeType": "image/png", "buffer": content})
    page.wait_for_selector(".status:text('1 image classified.')")
    assert page.inner_text(".answer .file-name") == name
    assert name in page.inner_text(".results")
    assert page.locator("img[src='x']").count() == 0
    assert page.title() == "Atelier"
    assert page.inner_text(".answer .best") in LABELS  # two of which hold angle brackets


def test_a_name_of_hundreds_of_letters_takes_three_lines(open_page, address, golden):
    page = open_page(address("float"), viewport={"width": 390, "height": 844})
    names = [f"{'W' * 290}{number}.png" for number in range(2)]
    buffers = [golden[1].read_bytes(), b""]
    page.set_input_files(
        "#classify input >> nth=0",
        [
            {"name": name, "mimeType": "image/png", "buffer": content}
            for name, content in zip(names, buffers, strict=True)
        ],
    )
    page.wait_for_selector(".status:text('1 image classified, 1 could not be read.')")
    rows = page.locator(".results tbody tr")
    assert [row.bounding_box()["height"] < 120 for row in rows.all()] == [True, True]
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert sorted(page.locator(".results .name").evaluate_all("all => all.map(each => each.title)")) == names


def test_what_cannot_be_read_is_listed_and_the_others_are_classified(open_page, address, golden, tmp_path):
    (tmp_path / "notes.txt").write_text("remember the milk")
    (tmp_path / "cut.jpg").write_bytes(golden[0].read_bytes()[:500])
    page = open_page(address("float"))
    choose(page, tmp_path / "notes.txt", tmp_path / "cut.jpg", golden[1])
    assert page.inner_text(".status") == "1 image classified, 2 could not be read."
    failed = page.locator(".failed").all_inner_texts()
    assert any("notes.txt" in line and "not an image that the page can read" in line for line in failed)
    assert any("cut.jpg" in line and "damaged or not complete" in line for line in failed)


def test_a_folder_is_classified_at_any_depth(open_page, address, golden, tmp_path):
    for file, place in zip(golden[:2], ("a/b", "a"), strict=True):
        (tmp_path / "images" / place).mkdir(parents=True, exist_ok=True)
        (tmp_path / "images" / place / file.name).write_bytes(file.read_bytes())
    page = open_page(address("float"))
    page.set_input_files("#classify input[webkitdirectory]", tmp_path / "images")
    page.wait_for_selector(".status:text('2 images classified.')")
    assert [name for name, *_ in read_answers(page)] == ["images/a/1.png", "images/a/b/0.jpg"]


def test_the_camera_is_classified_and_stopped(open_page, address):
    page = open_page(address("float"), permissions=["camera"])
    page.get_by_role("button", name="Use the camera").click()
    page.wait_for_selector(".answer .best:not(:empty)")
    assert page.inner_text(".answer .file-name") == "Camera"
    page.get_by_role("button", name="Stop the camera").click()
    assert page.locator("video").is_hidden()
    assert page.evaluate("document.querySelector('video').srcObject") is None


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("navigator.mediaDevices.getUserMedia = undefined", "over HTTPS"),
        (
            "navigator.mediaDevices.getUserMedia = async () => { throw new DOMException('', 'NotFoundError') }",
            "No camera was found",
        ),
        (
            "navigator.mediaDevices.getUserMedia = async () => { throw new DOMException('', 'NotAllowedError') }",
            "The browser does not allow the camera",
        ),
    ],
)
def test_a_missing_camera_is_told(open_page, address, script, words):
    page = open_page(address("float"), script=script)
    page.get_by_role("button", name="Use the camera").click()
    page.wait_for_selector(f".status:text-matches('{words}')")


def test_a_browser_without_webassembly_is_told(open_page, address):
    page = open_page(address("float"), script="delete globalThis.WebAssembly")
    assert "does not run WebAssembly" in page.inner_text("#failure")
    assert page.locator("#loading").is_hidden()


def test_too_little_memory_is_told(open_page, address):
    page = open_page(address("float"))
    explain = """async () => (await import("/page/failures.js")).explain(
        new RangeError("WebAssembly.Memory(): could not allocate memory"))"""
    assert page.evaluate(explain).startswith("There is not enough memory for the model.")


def test_a_model_that_cannot_be_downloaded_is_told(browser, address):
    page = browser.new_page()
    page.context.route("**/*.tflite", lambda route: route.abort())
    page.goto(address("float"))
    page.wait_for_selector("#failure:not([hidden])")
    assert "model.tflite cannot be downloaded. Is the server still running?" in page.inner_text("#failure")
    page.context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_axe_finds_nothing_and_nothing_is_cut_off(open_page, address, golden, width, scheme):
    wide, high = WIDTHS[width]
    page = open_page(address("float"), viewport={"width": wide, "height": high}, color_scheme=scheme)
    axe = (packages.install("axe-core") / "axe.min.js").read_text()
    for files in ((), golden[:3]):
        if files:
            choose(page, *files)
        page.wait_for_timeout(200)  # transitions of colors
        page.evaluate(axe)
        found = page.evaluate("axe.run()")
        assert [(each["id"], [node["html"] for node in each["nodes"]]) for each in found["violations"]] == []
        assert page.evaluate("document.documentElement.scrollWidth") <= wide


@pytest.fixture
def static_host(pushed, tmp_path):
    """An export on a host that sends no headers, below a folder."""
    export.export(site.collect(pushed["float"]), tmp_path / "host" / "below")
    handler = functools.partial(_Quiet, directory=tmp_path / "host")
    host = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=host.serve_forever, daemon=True).start()
    yield f"http://localhost:{host.server_port}/below/"
    host.shutdown()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass


def test_a_static_host_serves_it_without_threads(open_page, static_host, pushed, golden):
    page = open_page(static_host)
    assert page.evaluate("crossOriginIsolated") is False
    assert "1 thread (the host does not isolate this page" in page.inner_text("#facts")
    choose(page, golden[0])
    ((_, label, probability),) = read_answers(page)
    (expected,) = TFLiteModel(pushed["float"] / "tflite" / "7").predict([golden[0]])
    assert label == expected.label
    assert probability == pytest.approx(expected.probability, abs=2e-3)

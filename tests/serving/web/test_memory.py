"""Memory of the page: images that are done with are gone, in JavaScript and in WebAssembly."""

import pytest

from tests.deferred import deferred_imports

with deferred_imports():
    from playwright import sync_api

    from serving.web import server, site
    from tests.serving.web.conftest import CHROMIUM, Background
    from tests.trainer.golden_pictures import scene

pytestmark = pytest.mark.slow

CLASSIFIED, RESTYLED = 200, 50
WARM_UP = 10
GROWTH = 0.1

MEASURE = "async () => (await performance.measureUserAgentSpecificMemory()).bytes"
"""Of the page and its workers, after a garbage collection; WebAssembly's memory counts."""
RUN = """async ([name, count, argument]) => {
  const blob = await (await fetch(argument.url)).blob();
  for (let index = 0; index < count; index++) {
    const result = await globalThis.engine.call(name, name === "classify" ? blob : argument.settings);
    for (const value of Object.values(result)) if (value instanceof ImageBitmap) value.close();
  }
}"""
START = """async ([url]) => {
  const { Engine } = await import("/model/client.js");
  globalThis.engine = new Engine();
  await globalThis.engine.call("start", await (await fetch("/site.json")).json());
  await globalThis.engine.call("openForRestyling", await (await fetch(url)).blob());
}"""


@pytest.fixture(scope="module")
def page(stylizing, tmp_path_factory):
    """The page, with a photograph that it may load."""
    if not CHROMIUM:
        pytest.skip("chromium is missing: apt-get install chromium")
    photo = tmp_path_factory.mktemp("photo") / "photo.jpg"
    scene(640, 480).save(photo)
    files = site.collect(stylizing) | {"photo.jpg": site.SiteFile(photo.read_bytes())}
    running = Background(server.make_app(files))
    options = ["--no-sandbox", "--enable-blink-features=ForceEagerMeasureMemory"]
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=options)
        page = chromium.new_page()
        page.goto(running.address)
        page.wait_for_selector("html[data-ready]")
        page.evaluate(START, ["/photo.jpg"])
        yield page
        chromium.close()
    running.stop()


@pytest.mark.parametrize(("call", "count"), [("classify", CLASSIFIED), ("restyle", RESTYLED)])
def test_memory_does_not_grow(page, call, count):
    weights = [1 if index == 0 else 0 for index in range(21)]
    settings = {"size": 64, "weights": weights, "strength": 1, "keepsColors": False}
    argument = {"url": "/photo.jpg", "settings": settings}
    page.evaluate(RUN, [call, WARM_UP, argument])
    before = page.evaluate(MEASURE)
    page.evaluate(RUN, [call, count, argument])
    after = page.evaluate(MEASURE)
    assert before > 10e6
    assert after <= before * (1 + GROWTH), f"{before / 1e6:.1f} MB before, {after / 1e6:.1f} MB after {count} images"

"""Memory of the page: images that are done with are gone, in JavaScript and in WebAssembly."""

import pytest

from tests import browsers
from tests.deferred import deferred_imports

with deferred_imports():
    from serving.web import server, site
    from tests.trainer.image_kinds import draw_scene

pytestmark = pytest.mark.slow

CLASSIFIED, RESTYLED = 200, 50
WARM_UP = 10
GROWTH = 0.1

MEASURE = "async () => (await performance.measureUserAgentSpecificMemory()).bytes"
"""Of the page and its workers, after a garbage collection; WebAssembly's memory counts.

Chromium waits a minute for workers that do not answer, and WebAssembly's threads never do: it measures without them.
"""
THREADS = ("const threaded = self.crossOriginIsolated && ", "const threaded = false && ")
"""In `model/runtime.js`; and what takes them away."""
KEEP_MEMORIES = """self.memories = [];
WebAssembly.Memory = class extends WebAssembly.Memory {
  constructor(...given) { super(...given); self.memories.push(this); }
};
"""
"""Before `model/worker.js`: what the threads share is in the memories that their runtime makes."""
MEASURE_SHARED = "() => self.memories.reduce((sum, each) => sum + each.buffer.byteLength, 0)"
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
def chromium():
    with browsers.launched("--enable-blink-features=ForceEagerMeasureMemory") as chromium:
        yield chromium


@pytest.fixture(scope="module", params=[False, True], ids=["alone", "threads"])
def page(request, chromium, stylizing, tmp_path_factory):
    """The page, with a photograph that it may load; and whether WebAssembly has threads."""
    photo = tmp_path_factory.mktemp("photo") / "photo.jpg"
    draw_scene(640, 480).save(photo)
    files = site.collect(stylizing) | {"photo.jpg": site.SiteFile(photo.read_bytes())}
    runtime, worker = (files[f"model/{name}.js"].content.decode() for name in ("runtime", "worker"))
    assert runtime.count(THREADS[0]) == 1
    if not request.param:
        files["model/runtime.js"] = site.SiteFile(runtime.replace(*THREADS).encode())
    files["model/worker.js"] = site.SiteFile((KEEP_MEMORIES + worker).encode())
    running = browsers.Background(server.make_app(files))
    page = chromium.new_page()
    page.goto(running.address)
    page.wait_for_selector("html[data-ready]")
    page.evaluate(START, ["/photo.jpg"])
    yield page, request.param
    page.close()
    running.stop()


def measure(page, threaded):
    if not threaded:
        return page.evaluate(MEASURE)
    workers = [worker for worker in page.workers if worker.url.endswith("/model/worker.js")]
    assert len(workers) == 2  # the page's own, and the one of START
    return sum(worker.evaluate(MEASURE_SHARED) for worker in workers)


@pytest.mark.parametrize(("call", "count"), [("classify", CLASSIFIED), ("restyle", RESTYLED)])
def test_memory_does_not_grow(page, call, count):
    page, threaded = page
    weights = [1 if index == 0 else 0 for index in range(21)]
    settings = {"size": 64, "weights": weights, "strength": 1, "keepsColors": False}
    argument = {"url": "/photo.jpg", "settings": settings}
    page.evaluate(RUN, [call, WARM_UP, argument])
    before = measure(page, threaded)
    page.evaluate(RUN, [call, count, argument])
    after = measure(page, threaded)
    assert before > 10e6
    assert after <= before * (1 + GROWTH), f"{before / 1e6:.1f} MB before, {after / 1e6:.1f} MB after {count} images"

"""An output folder with two versions and their traffic, the page that shows it, and a browser."""

import time
from datetime import UTC, datetime, timedelta

import pytest

from serving.ab.answer_log import AnswerLog
from serving.ab.image_statistics import ImageStatistics
from serving.ab.samples import SampleFolder, Samples
from serving.ab.verdict import Rules
from serving.monitor import reference as references
from serving.monitor.page.memory import MemoryScrape
from serving.monitor.page.watcher import Sources, Watcher
from serving.registry.aliases import Registry
from tests import browsers
from tests.deferred import deferred_imports
from tests.serving.ab.answers import answer
from tests.serving.malformed import make_image

with deferred_imports():
    import numpy as np

    from serving.monitor.page.server import LivePage

CLASSES = ("cat", "dog", "<b>yak</b>")
MEANS = (0.5, 0.2, 0.1, 17.0)
"""Of the brightness, contrast, sharpness and size of images; their deviations are 0.05."""
_CONFIG = """model_config_list { config {
  name: "default" base_path: "/models" model_platform: "tensorflow"
  version_labels { key: "stable" value: 1 } version_labels { key: "canary" value: 2 } } }
"""


@pytest.fixture
def output(tmp_path):
    """Two versions and their aliases; neither traffic nor a reference."""
    for version in (1, 2):
        folder = tmp_path / "serving_model" / str(version)
        folder.mkdir(parents=True)
        (folder / "saved_model.pb").write_bytes(b"made up")
    (tmp_path / "models.config").write_text(_CONFIG)
    return tmp_path


def write_reference(output, brightness=0.5):
    """Of version 1: two classes equally often, images around a brightness."""
    drawn = np.random.default_rng(0)
    numbers = np.stack([drawn.normal(mean, 0.05, 400) for mean in (brightness, *MEANS[1:])], axis=1)
    references.save(
        references.locate(output, 1),
        references.Reference(
            version=1,
            classes=np.array(CLASSES),
            class_counts=np.array([200, 200, 0]),
            numbers=numbers,
            formats=np.array(["jpeg"] * 400),
            features=np.zeros((0, 0), np.float16),
        ),
    )


def write_traffic(output, requests=600, wrong=(0.1, 0.4), start=0):
    """Answers of the last minutes, half of them of the canary; `wrong` are the shares of both versions' mistakes."""
    drawn = np.random.default_rng(start)
    log, kept = AnswerLog(output / "answers.jsonl"), SampleFolder(Samples(output / "samples", share=0.9))
    now = datetime.now(UTC)
    for number in range(start, start + requests):
        version = 1 + number % 2
        truth = CLASSES[int(drawn.integers(2))]
        label = (
            truth
            if drawn.random() >= wrong[version - 1]
            else CLASSES[2 if number % 10 == 1 else 1 - CLASSES.index(truth)]
        )
        log.add_answer(
            answer(
                number,
                when=(now - timedelta(seconds=(start + requests - number) / 3)).isoformat(timespec="milliseconds"),
                arm=("control", "canary")[version - 1],
                version=version,
                label=label,
                milliseconds=float(drawn.gamma(9, 2)),
                canary=0.5,
                control=0.5,
                image=draw_image(drawn),
            )
        )
        log.add_truths([(f"r{number}", truth)])
        if number > start + requests - 60:
            kept.keep(f"r{number}", make_image(int(drawn.integers(255))))
    log.close()


def draw_image(drawn):
    brightness, contrast, sharpness, size = (float(drawn.normal(mean, 0.05)) for mean in MEANS)
    return ImageStatistics(brightness, contrast, sharpness, size, "jpeg")


def watch(output, **options):
    """Returns a watcher of the folder."""
    registry = Registry(output / "serving_model", output / "models.config", (), "default")
    return Watcher(Sources(registry, output, [output / "answers.jsonl"], Rules(), output / "samples", **options))


class Served:
    """A page that is served by a thread."""

    def __init__(self, watcher, token=""):
        self.page = LivePage(watcher, token=token)
        self._server = browsers.Background(self.page.app)
        self.address = self._server.address

    def stop(self):
        self.page.stop()
        self._server.stop()


@pytest.fixture
def serve():
    """Serves watchers' pages until the test ends."""
    running = []

    def serve(watcher, token=""):
        running.append(Served(watcher, token))
        return running[-1].address

    yield serve
    for each in running:
        each.stop()


@pytest.fixture(scope="module")
def browser():
    with browsers.launched() as chromium:
        yield chromium


@pytest.fixture
def open_page(browser):
    """Opens an address in a window of its own, and waits until it shows data."""
    contexts = []

    def open_page(address, **options):
        context = browser.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        page.requested, page.faults = [], []
        context.on("request", lambda request: page.requested.append(request.url))
        page.on("pageerror", lambda error: page.faults.append(str(error)))
        page.on("console", lambda message: page.faults.append(message.text) if message.type == "error" else None)
        page.goto(address)
        page.wait_for_selector("html[data-ready]")
        return page

    yield open_page
    for context in contexts:
        context.close()


def scrape_of(*megabytes):
    """A scrape that has these values, a second apart."""
    scrape = MemoryScrape("http://127.0.0.1:9/metrics")
    scrape.ask = lambda: None  # type: ignore[method-assign]
    scrape.points.extend((time.time() - len(megabytes) + at, 1e6 * value) for at, value in enumerate(megabytes))
    return scrape

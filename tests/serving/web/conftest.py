"""Models, a server and a browser for the tests of the page."""

import base64
import json

import pytest

from atelier.preprocessing import Preprocessing
from tests import browsers
from tests.deferred import deferred_imports

with deferred_imports():
    import keras
    import numpy as np

    from components.stylizer import stylizer
    from components.stylizer.exports import tflite
    from components.tflite_exporter import convert, measure
    from serving.web import server, site

SIZE = 32
LABELS = ("<b>ant</b>", "bee", "cow", "dog", "eel")


@pytest.fixture(scope="session")
def contents():
    """The flatbuffer by variant; see `convert_net`."""
    return convert_net("float", "dynamic", "int8")


def convert_net(*variants):
    """Returns the flatbuffer by variant, of a small net with random weights whose answers differ between images."""
    keras.utils.set_random_seed(7)
    pixels = keras.Input((SIZE, SIZE, 3))
    values = keras.layers.Rescaling(1 / 64, offset=-2)(pixels)
    for filters in (8, 16):
        values = keras.layers.Conv2D(filters, 3, strides=2, activation="relu")(values)
    scores = keras.layers.Dense(len(LABELS), name="scores")
    values = scores(keras.layers.GlobalAveragePooling2D()(values))
    net = keras.Model(pixels, keras.layers.Softmax()(values))
    # Coarse patterns: no class is the best of all images once the mean scores are taken off.
    patterns = np.random.default_rng(0).integers(0, 256, (64, 4, 4, 3), np.uint8).repeat(8, axis=1).repeat(8, axis=2)
    found = keras.Model(pixels, values).predict_on_batch(patterns)
    kernel, bias = scores.get_weights()
    spread = 2 / found.std(axis=0)
    scores.set_weights([kernel * spread, (bias - found.mean(axis=0)) * spread])
    calibration = list(patterns)
    frozen = convert.freeze(net, SIZE)
    return {variant: convert.convert(frozen, variant, calibration) for variant in variants}


def push(content, output, version="7", **preprocessing):
    """Lays the files out as a run pushes them; returns the output folder."""
    folder = output / "tflite" / version
    folder.mkdir(parents=True)
    (folder / "model.tflite").write_bytes(content)
    (folder / "labels.txt").write_text("".join(f"{label}\n" for label in LABELS))
    told = Preprocessing(size=SIZE, resize="crop", store_size=96).model_copy(update=preprocessing)
    card = measure.describe(folder / "model.tflite") | {"resize": told.resize, "preprocessing": told.model_dump()}
    (folder / "card.json").write_text(json.dumps(card | {"test": {"accuracy": 0.9}}))
    return output


SIDES = (64, 128)


def push_stylizer(output):
    """Lays out the base stylizer, with files of small sides, as a run pushes one; returns the output folder."""
    folder = output / "stylizer" / "9" / "assets.extra" / "tflite"
    folder.mkdir(parents=True)
    gray = np.full((64, 64, 3), 128, np.uint8)
    tflite.export(stylizer.load_base(), folder, gray, sizes=SIDES, variants=("float16",))
    return output


@pytest.fixture(scope="session")
def pushed(contents, tmp_path_factory):
    """Output folders by variant."""
    return {variant: push(content, tmp_path_factory.mktemp(variant)) for variant, content in contents.items()}


@pytest.fixture(scope="session")
def stylizing(contents, tmp_path_factory):
    """An output folder with a classifier and a stylizer."""
    return push_stylizer(push(contents["float"], tmp_path_factory.mktemp("both")))


@pytest.fixture(scope="session")
def address(pushed, request):
    """Returns the address at which the page shows a variant, or the classifier and the stylizer: `both`."""
    running = {}

    def outputs(variant):
        return request.getfixturevalue("stylizing") if variant == "both" else pushed[variant]

    def start(variant):
        if variant not in running:
            running[variant] = browsers.Background(server.make_app(site.collect(outputs(variant))))
        return running[variant].address

    yield start
    for each in running.values():
        each.stop()


@pytest.fixture(scope="module")
def browser():
    """Chromium with a camera that shows a test pattern."""
    with browsers.launched("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream") as chromium:
        yield chromium


@pytest.fixture
def open_page(browser):
    """Opens an address in a window of its own and waits until the models are loaded, or cannot be."""
    contexts = []

    def open_page(address, *, script="", **options):
        context = browser.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        page.requested, page.faults = [], []
        context.on("request", lambda request: page.requested.append(request.url))
        page.on("pageerror", lambda error: page.faults.append(str(error)))
        if script:
            page.add_init_script(script)
        page.goto(address)
        page.wait_for_selector("html[data-ready], #failure:not([hidden])")
        return page

    yield open_page
    for context in contexts:
        context.close()


def choose(page, *files):
    """Chooses files in the panel in front, and waits until all are classified."""
    page.set_input_files("#classify input[type=file] >> nth=0", [str(file) for file in files])
    page.wait_for_selector(".status:text-matches('classified')")


def read_answers(page):
    """Class and probabilities by file, as the page computed them."""
    with page.expect_download() as download:
        page.get_by_role("button", name="Download as CSV").click()
    rows = download.value.path().read_text().splitlines()
    assert rows[0] == "image,label,probability"
    return [
        (name.strip('"'), label.strip('"'), float(value)) for name, label, value in (r.split(",") for r in rows[1:])
    ]


def encode(content):
    return base64.b64encode(content).decode()

"""StylizerTrainer: what it writes, and that a killed training goes on."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from components.stylizer.settings import CatalogSettings
from tests.components.stylizer import components
from tests.deferred import deferred_imports

with deferred_imports():
    import tensorflow as tf

    from components.style_renderer.batch.contents import ContentError
    from components.stylizer import stylizer
    from components.stylizer.training.crops import Crops

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]
SETTINGS = CatalogSettings(
    start="random",
    steps=6,
    steps_per_round=1,
    batch_size=1,
    image_size=64,
    smallest_crop=64,
    largest_crop=70,
    style_size=64,
    workers=1,
    minutes=None,
)


def save(file, seed, size=(80, 90, 3)):
    file.parent.mkdir(exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, size, np.uint8)).save(file)


@pytest.fixture(scope="module")
def contents(tmp_path_factory):
    folder = tmp_path_factory.mktemp("contents")
    for number in range(3):
        save(folder / f"{number}.png", number)
    (folder / "broken.jpg").write_bytes(b"no image")
    return folder


@pytest.fixture(scope="module")
def catalog(tmp_path_factory):
    folder = tmp_path_factory.mktemp("catalog")
    for number, name in enumerate(("dots", "lines")):
        save(folder / "images" / f"{name}.png", 10 + number)
    return components.publish(folder / "published", str(folder / "images"))


@pytest.fixture(scope="module")
def trained(catalog, contents, tmp_path_factory):
    output = tmp_path_factory.mktemp("trained")
    components.train(catalog, contents, output, SETTINGS, tflite_sizes="[64]")
    return output


def test_the_model_is_the_file_the_savedmodel_and_the_tflite_files(trained):
    served = trained / "model" / "Format-Serving"
    found = stylizer.load(trained / "model" / "stylizer.npz")
    assert found.styles == ("dots", "lines")
    assert (served / "assets.extra" / "labels.txt").read_text().split() == ["dots", "lines"]
    names = {file.name for file in (served / "assets.extra" / "tflite").iterdir()}
    assert {"stylizer-64-float16.tflite", "stylizer-64-dynamic.tflite", "stylizer-64-float16.json"} <= names
    image = np.random.default_rng(7).integers(0, 256, (37, 50, 3), np.uint8)
    signature = tf.saved_model.load(str(served)).signatures["serving_pixels"]
    answer = signature(
        pixels=tf.constant(image[None]), style_weights=tf.constant([[0.0, 1.0]]), strength=tf.constant([0.6])
    )["stylized"].numpy()[0]
    expected = found.stylize(image, {"lines": 1.0}, 0.6)
    assert np.abs(answer.astype(int) - expected).max() <= 1


def test_the_run_tells_what_was_trained_and_what_was_not_used(trained):
    told = json.loads((trained / "run" / "training.json").read_text())
    assert told["styles"] == ["dots", "lines"]
    assert told["photographs"] == 3
    assert list(told["rejected"]) == ["broken.jpg"]
    ((phase, steps, losses),) = [each.values() for each in told["phases"]]
    assert (phase, steps) == ("whole", 6)
    assert losses.keys() == {"loss", "content", "style", "tv"}


def test_tensorboard_has_losses_and_sample_images(trained):
    found: dict[str, list] = {}
    for file in (trained / "run" / "whole").glob("events*"):
        for record in tf.data.TFRecordDataset(str(file)):
            event = tf.compat.v1.Event.FromString(record.numpy())
            for value in event.summary.value:
                found.setdefault(value.tag, []).append((event.step, value))
    assert [step for step, _ in found["style"]] == [1, 2, 3, 4, 5, 6]
    step, value = found["lines"][-1]
    assert step == 6
    width, height, *samples = value.tensor.string_val
    assert (width, height) == (b"512", b"256")  # an image beside its stylized image
    assert len(samples) == 2


def test_a_killed_training_goes_on(catalog, contents, trained, tmp_path, monkeypatch):
    command = [sys.executable, "-m", "tests.components.stylizer.components"]
    words = [catalog, contents, tmp_path / "killed", tmp_path / "state", SETTINGS.model_dump_json()]
    process = subprocess.Popen(
        [*command, *map(str, words)], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    while not (files := list((tmp_path / "state").glob("*/whole.npz"))):
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    (file,) = files
    assert not (tmp_path / "killed" / "model" / "stylizer.npz").exists()
    steps = []
    build_batch = Crops.build_batch

    def note_step(self, step):
        steps.append(step)
        return build_batch(self, step)

    monkeypatch.setattr(Crops, "build_batch", note_step)
    components.train(catalog, contents, tmp_path / "again", SETTINGS, state_directory=str(tmp_path / "state"))
    assert steps
    assert min(steps) > 0  # it did not begin anew
    assert not file.exists()
    expected, found = (stylizer.load(output / "model" / "stylizer.npz") for output in (trained, tmp_path / "again"))
    for one, other in zip(expected.model.variables, found.model.variables, strict=True):
        np.testing.assert_allclose(one, other, atol=2e-3)


def test_what_cannot_be_trained_on_is_told(catalog, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ContentError, match="empty: no content images found"):
        components.train(catalog, tmp_path / "empty", tmp_path / "output", SETTINGS)
    (tmp_path / "empty" / "a.jpg").write_bytes(b"no image")
    with pytest.raises(ContentError, match=r"empty: there is no image that can be used \(a\.jpg: "):
        components.train(catalog, tmp_path / "empty", tmp_path / "output", SETTINGS)
    with pytest.raises(ContentError, match="split:train, but there are no examples"):
        components.train(catalog, "split:train", tmp_path / "output", SETTINGS)

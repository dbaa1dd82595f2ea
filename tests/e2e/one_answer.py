"""What each way to run a pushed classifier answers for images, and the table of the docs that shows it."""

import json
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from PIL import Image
from playwright import sync_api

from atelier import images, labels, resizing
from atelier.layout import ASSETS_EXTRA, LABELS_FILE, PREPROCESSING_FILE
from atelier.preprocessing import Preprocessing, parse
from pipeline.commands.work import serve_models
from serving.client import Client, Preparation, ServedModel
from serving.client.preparation import prepare
from serving.server.local_server import LocalServer, Options
from serving.tflite_model import TFLiteModel
from serving.web import server, site
from tests import browsers
from tests.serving import warmup
from tests.serving.web.conftest import choose, read_answers
from trainer.images import ops

Answer = tuple[str, float]
"""The label of the best class, and its probability."""


@dataclass(frozen=True)
class Pushed:
    """What a run has pushed, and its Keras model."""

    output: Path
    keras_file: Path
    saved_model: Path
    tflite: Path

    @property
    def labels(self) -> Sequence[str]:
        """Names of the classes by id."""
        return labels.parse_labels((self.saved_model / ASSETS_EXTRA / LABELS_FILE).read_bytes())

    @property
    def preprocessing(self) -> Preprocessing:
        """How an image becomes the model's input."""
        return parse((self.saved_model / ASSETS_EXTRA / PREPROCESSING_FILE).read_bytes())

    def prepare(self, file: Path) -> bytes:
        """Returns the image as every client sends it."""
        return prepare(file, Preparation.from_model(self.preprocessing)).encoded


def predict_with_keras(pushed: Pushed, files: Sequence[Path]) -> list[Answer]:
    """The `.keras` file, with the pixels that its training got."""
    model = keras.models.load_model(pushed.keras_file)
    told = pushed.preprocessing
    encoded = tf.constant([pushed.prepare(file) for file in files])
    pixels = ops.decode_and_resize(encoded, told.size, told.resize)
    return _name_classes(pushed, model.predict_on_batch(pixels))


def predict_with_saved_model(pushed: Pushed, files: Sequence[Path]) -> list[Answer]:
    """The signature `serving_bytes`, in TensorFlow."""
    signature = tf.saved_model.load(str(pushed.saved_model)).signatures["serving_bytes"]
    given = {"image_bytes": tf.constant([pushed.prepare(file) for file in files])}
    return _name_classes(pushed, signature(**given)["probabilities"].numpy())


def predict_over_grpc(pushed: Pushed, files: Sequence[Path], folder: Path) -> list[Answer]:
    """A client and a server, whose files are in `folder`."""
    config = serve_models.find_config(_copy_with_one_warmup(pushed.saved_model, folder), None)
    with LocalServer(config, Options(port=0)) as running, Client(running.target, ServedModel()) as client:
        return [(each.label, each.probability) for each in client.predict(files)]


def _copy_with_one_warmup(saved_model: Path, folder: Path) -> Path:
    """A base path of that version with the warm-up request of the only signature that is asked."""
    shutil.copytree(saved_model, folder / saved_model.name)
    warmup.keep_request(folder / saved_model.name, "serving_bytes")
    return folder


def predict_with_tflite(pushed: Pushed, files: Sequence[Path]) -> list[Answer]:
    """`atelier predict --tflite`."""
    return [(each.label, each.probability) for each in TFLiteModel(pushed.tflite).predict(files)]


def predict_with_mediapipe(pushed: Pushed, files: Sequence[Path], python: Path, folder: Path) -> list[Answer]:
    """MediaPipe Tasks in `python`'s environment, with the pixels that the model takes: it resizes otherwise."""
    told, sized = pushed.preprocessing, []
    for file in files:
        decoded = images.decode(pushed.prepare(file), told.max_pixels).image
        sized.append(folder / f"{file.name}.png")
        Image.fromarray(resizing.resize(np.asarray(decoded), told.size, told.resize)).save(sized[-1])
    script = Path(__file__).with_name("mediapipe_answers.py")
    command: list[str | Path] = [python, "-I", script, pushed.tflite / "model.tflite", *sized]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return [(name, score) for _, name, score in json.loads(done.stdout)]


def predict_in_browser(pushed: Pushed, files: Sequence[Path]) -> list[Answer]:
    """The page of `atelier web` in Chromium."""
    with _open_page(pushed.output) as page:
        choose(page, *files)
        answers = read_answers(page)
    assert [name for name, *_ in answers] == [file.name for file in files]
    return [(label, probability) for _, label, probability in answers]


@contextmanager
def _open_page(output: Path) -> Iterator[sync_api.Page]:
    running = browsers.Background(server.make_app(site.collect(output)))
    with browsers.launched() as chromium:
        page = chromium.new_page()
        page.goto(running.address)
        page.wait_for_selector("html[data-ready]")
        yield page
    running.stop()


def _name_classes(pushed: Pushed, probabilities: np.ndarray) -> list[Answer]:
    names = pushed.labels
    return [(names[int(row.argmax())], float(row.max())) for row in probabilities]


def format_table(
    special: Mapping[Path, str], answers: Mapping[str, Sequence[Answer]], tolerances: Mapping[str, float]
) -> str:
    """Returns the table as Markdown: a row for each image, a column for each way."""
    rows = [["image", "kind", *answers], ["---"] * (2 + len(answers))]
    for number, (file, kind) in enumerate(special.items()):
        rows.append([f"`{file.name}`", kind, *(found[number][0] for found in answers.values())])
    rows.append(
        ["probability", "differs from Keras' by at most", "", *(f"{tolerances[way]:g}" for way in [*answers][1:])]
    )
    return "".join(f"| {' | '.join(row)} |\n".replace("|  |", "| |") for row in rows)

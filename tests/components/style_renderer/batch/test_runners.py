"""The same batch on four Beam runners, with the real engine: the same pictures, byte for byte."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.config.sections.beam import Beam
from tests.pipeline import job_service

pytestmark = pytest.mark.slow

# A process of its own for each runner: TensorFlow's number of threads, on which the last bits depend, is set once.
SCRIPT = """
import sys
from pathlib import Path

from components.style_catalog import catalog
from components.style_renderer.batch import batch, contents
from pipeline.beam import pipeline_options
from pipeline.config.sections.beam import Beam

if __name__ == "__main__":
    beam, pictures, output = sys.argv[1:]
    report = batch.render_batch(
        contents.from_folder(str(Path(pictures, "content"))),
        catalog.load_folder(Path(pictures, "styles")),
        output,
        batch.Request(overrides={"scales": [{"size": 64, "iterations": 3}]}, picture_format="png"),
        batch.make_local_pipelines(pipeline_options.build_pipeline_options(Beam.model_validate_json(beam))),
        threads=1,
    )
    assert report.rendered == 4, report
"""
ROOT = Path(__file__).resolve().parents[4]
ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT), "TF_NUM_INTRAOP_THREADS": "1", "OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Two contents and two styles."""
    root = tmp_path_factory.mktemp("pictures")
    random = np.random.default_rng(0)
    for folder in ("content", "styles"):
        (root / folder).mkdir()
        for name in "ab":
            blocks = random.integers(0, 256, (6, 8, 3), dtype=np.uint8)
            Image.fromarray(blocks).resize((96, 72)).save(root / folder / f"{name}.png")
    return root


def rendered(settings, images, output):
    script = images / "script.py"
    script.write_text(SCRIPT)
    command = [sys.executable, script, settings.model_dump_json(), images, output]
    done = subprocess.run(
        [str(word) for word in command], env=ENVIRONMENT, cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return {file.name: file.read_bytes() for file in (output / "pictures").iterdir()}


def test_runners_render_the_same_bytes(images, tmp_path):
    here = {"in_memory": Beam(), "processes": Beam(workers=2), "dask": Beam(runner="dask", workers=2)}
    with job_service.running(tmp_path / "service", environment=ENVIRONMENT) as portable:
        runners = here | {"portable": portable}
        found = {name: rendered(settings, images, tmp_path / name) for name, settings in runners.items()}
    assert len(found["in_memory"]) == 4
    for name in found:
        assert found[name] == found["in_memory"], name

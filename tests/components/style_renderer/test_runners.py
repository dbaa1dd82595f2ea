"""The same batch on three Beam runners, with the real engine: the same pictures, byte for byte."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytestmark = pytest.mark.slow

# A process of its own for each runner: TensorFlow's number of threads, on which the last bits depend, is set once.
SCRIPT = """
import sys
from contextlib import nullcontext
from pathlib import Path

from components.style_catalog import catalog
from components.style_renderer import batch, contents

IN_MEMORY = ["--runner=FnApiRunner", "--direct_running_mode=in_memory", "--direct_num_workers=1"]
PROCESSES = ["--runner=FnApiRunner", "--direct_running_mode=multi_processing", "--direct_num_workers=2"]
DASK = ["--runner=apache_beam.runners.dask.dask_runner.DaskRunner", "--dask_partition_size=1"]


def cluster():
    from dask.distributed import LocalCluster

    return LocalCluster(n_workers=2, threads_per_worker=1, processes=True, host="127.0.0.1", dashboard_address=None)


if __name__ == "__main__":
    runner, pictures, output = sys.argv[1:]
    with cluster() if runner == "dask" else nullcontext() as running:
        arguments = {
            "in_memory": lambda: IN_MEMORY,
            "processes": lambda: PROCESSES,
            "dask": lambda: [*DASK, f"--dask_client_address={running.scheduler_address}"],
        }[runner]()
        scales = [{"size": 64, "iterations": 3}]
        report = batch.render_batch(
            contents.from_folder(str(Path(pictures, "content"))),
            catalog.of_folder(Path(pictures, "styles")),
            output,
            batch.Request(overrides={"scales": scales}, picture_format="png"),
            batch.local_pipelines(arguments),
            threads=1,
        )
    assert report.rendered == 4, report
"""


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Two contents and two styles."""
    root = tmp_path_factory.mktemp("pictures")
    random = np.random.default_rng(0)
    for folder in ("content", "styles"):
        (root / folder).mkdir()
        for name in "ab":
            blocks = random.integers(0, 256, (6, 8, 3), dtype=np.uint8)
            Image.fromarray(blocks).resize((96, 72)).save(root / folder / f"{name}.png")
    return root


def rendered(runner, pictures, output):
    script = pictures / "script.py"
    script.write_text(SCRIPT)
    root = Path(__file__).resolve().parents[3]
    environment = os.environ | {"PYTHONPATH": str(root), "TF_NUM_INTRAOP_THREADS": "1", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, script, runner, pictures, output]
    done = subprocess.run(
        [str(word) for word in command], env=environment, cwd=root, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return {file.name: file.read_bytes() for file in (output / "pictures").iterdir()}


def test_runners_render_the_same_bytes(pictures, tmp_path):
    found = {runner: rendered(runner, pictures, tmp_path / runner) for runner in ("in_memory", "processes", "dask")}
    assert len(found["in_memory"]) == 4
    assert found["processes"] == found["in_memory"]
    assert found["dask"] == found["in_memory"]

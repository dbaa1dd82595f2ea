"""Commands that are ended from outside: what lives on, and what lies about."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

from pipeline.beam import pipeline_options
from pipeline.config import config
from pipeline.ingest import ingest
from pipeline.ingest.errors import IngestError

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = config.load_ingest([])


@pytest.fixture
def source(tmp_path):
    """Large images by the hundred, nearly all of them links to a few: enough to be ended in the midst of."""
    for color, label in enumerate(("cat", "dog")):
        folder = tmp_path / "in" / label
        folder.mkdir(parents=True)
        for number in range(4):
            first = folder / f"{number}.png"
            Image.effect_noise((1500, 1500), 40 + number + 10 * color).save(first)
            for copy in range(60):
                os.link(first, folder / f"{number}_{copy}.png")
    return tmp_path / "in"


@pytest.fixture
def small(tmp_path):
    for color, label in enumerate(("cat", "dog")):
        (tmp_path / "small" / label).mkdir(parents=True)
        for number in range(20):
            Image.new("RGB", (8, 8), (number, 99 * color, 0)).save(tmp_path / "small" / label / f"{number}.png")
    return tmp_path / "small"


def stop(number, source, output):
    """Ends an ingest with two workers in the midst of it; gives its code, its words, and its workers' ids."""
    command = [sys.executable, "-m", "pipeline.cli", "ingest", "--source", str(source), "--output", str(output)]
    command += ["--beam", "workers=2"]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        wait_for(lambda: list(output.parent.glob(f".{output.name}.ingesting-*/work/*.plan.json")))
        workers = wait_for(lambda: len(found := children.read_text().split()) >= 3 and found)
        wait_for(lambda: list(output.parent.glob(f".{output.name}.ingesting-*/work/*.tfrecord.*")))
        process.send_signal(number)
        told = process.communicate(timeout=100)[1]
    return process.returncode, told.splitlines()[1:], workers


def wait_for(ready):
    end = time.monotonic() + 100
    while not (found := ready()):
        assert time.monotonic() < end
        time.sleep(0.02)
    return found


def hidden(folder):
    return [path.name for path in folder.iterdir() if path.name.startswith(".")]


@pytest.mark.slow
def test_sigterm_ends_an_ingests_workers_and_leaves_no_folder(source, tmp_path):
    code, told, workers = stop(signal.SIGTERM, source, tmp_path / "out")
    assert code == 143
    (line,) = told
    assert line.startswith("atelier: stopped; no data set was written")
    wait_for(lambda: not any(Path("/proc", worker).exists() for worker in workers))
    assert hidden(tmp_path) == []
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_workers_notice_a_killed_parent_and_the_next_ingest_removes_what_it_left(source, small, tmp_path):
    code, _, workers = stop(signal.SIGKILL, source, tmp_path / "out")
    assert code == -signal.SIGKILL
    wait_for(lambda: not any(Path("/proc", worker).exists() for worker in workers))
    assert len(hidden(tmp_path)) == 1
    ingest.ingest(str(small), tmp_path / "out", SETTINGS, pipeline_options.IN_MEMORY)
    assert hidden(tmp_path) == []


def test_a_data_set_that_was_about_to_be_replaced_comes_back(small, tmp_path):
    output = tmp_path / "out"
    ingest.ingest(str(small), output, SETTINGS, pipeline_options.IN_MEMORY)
    before = (output / "ingest_report.json").read_bytes()
    output.rename(tmp_path / ".out.ingesting-0123abcd.earlier")
    (tmp_path / ".out.ingesting-0123abcd").mkdir()
    with pytest.raises(IngestError):
        ingest.ingest(str(tmp_path / "none"), output, SETTINGS, pipeline_options.IN_MEMORY)
    assert hidden(tmp_path) == []
    assert (output / "ingest_report.json").read_bytes() == before


def test_folders_of_other_outputs_stay(small, tmp_path):
    others = [".out2.ingesting-0123abcd", ".out.ingesting-mine", "out.ingesting-0123abcd"]
    for name in others:
        (tmp_path / name).mkdir()
    ingest.ingest(str(small), tmp_path / "out", SETTINGS, pipeline_options.IN_MEMORY)
    assert all((tmp_path / name).is_dir() for name in others)

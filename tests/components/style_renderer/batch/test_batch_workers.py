"""A batch over worker processes, and one that was killed."""

import subprocess
import sys
from pathlib import Path

import pytest

from components.style_catalog import catalog

ROOT = Path(__file__).resolve().parents[4]
TWO = ("--runner=FnApiRunner", "--direct_running_mode=multi_processing", "--direct_num_workers=2")

KILLED = """
import sys
from tests.components.style_renderer import fake_engine
from components.style_renderer.batch import batch, contents
from components.style_catalog import catalog
folder, styles, out = sys.argv[1:]
batch.render_batch(
    contents.list_files(folder), catalog.load_folder(catalog.Path(styles)), out, batch.Request(),
    batch.make_local_pipelines(["--runner=FnApiRunner", "--direct_running_mode=in_memory"]),
    engine=fake_engine.die_at_fourth,
)
"""


def read_images(folder):
    return {path.name: path.read_bytes() for path in (folder / "pictures").glob("*.jpg")}


@pytest.mark.slow
def test_two_worker_processes_make_the_same_images(run, read_calls, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))  # where the workers find the engine
    run()
    (tmp_path / "out").rename(tmp_path / "one")
    read_calls()
    report = run(beam_args=TWO, threads=1)
    calls = read_calls()
    assert report.rendered == len(calls) == 6
    assert read_images(tmp_path / "out") == read_images(tmp_path / "one")
    assert {threads for _, threads, _ in calls} == {"1"}
    assert len({process for *_, process in calls}) == 2


@pytest.mark.slow
def test_a_killed_batch_loses_the_unit_in_work_and_no_other(run, read_calls, folder, styles, tmp_path):
    out = tmp_path / "out"
    command = [sys.executable, "-c", KILLED, str(folder), str(styles[0].file.parent), str(out)]
    assert subprocess.run(command, cwd=ROOT, check=False, capture_output=True).returncode == 9
    before = read_images(out)
    assert len(read_calls()) == len(before) == 3
    assert len(list((out / "sidecars").glob("*.json"))) == 3
    assert not (out / "manifest.jsonl").exists()

    report = run(styles=catalog.load_folder(styles[0].file.parent), overrides={})
    assert report.rendered == len(read_calls()) == 3
    assert before.items() <= read_images(out).items()
    assert len((out / "manifest.jsonl").read_text().splitlines()) == 6

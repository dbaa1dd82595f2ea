"""A run that is killed, and a run whose code has changed. Both work on a copy of the sources."""

import shutil
import signal
import time
from pathlib import Path

import pytest

from tests.e2e import forked
from tests.e2e.conftest import CONFIG, FLOAT_ONLY, ROOT, TINY, Run, run_pipeline

pytestmark = pytest.mark.slow

RUN = ("--config", CONFIG, "--set", "style.enabled=false", "--set", "stylizer.enabled=false", *FLOAT_ONLY, *TINY)
"""Nothing here is about styles, phones or the network."""


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sources, to be edited."""
    copy = tmp_path_factory.mktemp("tree")
    for package in ("components", "pipeline", "trainer"):
        shutil.copytree(ROOT / package, copy / package)
    return copy


@pytest.fixture(scope="module")
def killed(tree: Path, digits: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output of a run that got SIGKILL after its first epoch of fine-tuning."""
    output = tmp_path_factory.mktemp("killed") / "output"
    with forked.start("run", *RUN, "--data", digits, "--output", output, tree=tree) as run:
        for line in run.follow_stderr():
            if "fine_tune epoch 1/2" in line:
                _wait_for(output, "training_state/*/fine_tune/after-1.npz")
                run.process.kill()
                break
        else:
            pytest.fail(f"the run ended before it could be killed: {run.stderr.read_text()}")
    assert run.process.exitcode == -signal.SIGKILL
    return output


def _wait_for(folder: Path, pattern: str) -> None:
    deadline = time.monotonic() + 60
    while not any(folder.glob(pattern)):
        if time.monotonic() > deadline:
            pytest.fail(f"no {pattern} after a minute")
        time.sleep(0.01)


@pytest.fixture(scope="module")
def killed_execution(killed: Path) -> str:
    """Of the Trainer, in the names of its folders."""
    (folder,) = (killed / "pipeline_root" / "Trainer" / "model").iterdir()
    return folder.name


@pytest.fixture(scope="module")
def resumed(tree: Path, digits: Path, killed: Path, killed_execution: str) -> Run:
    """The next run."""
    return run_pipeline(killed, *RUN, "--data", digits, tree=tree)


def test_the_next_run_goes_on_from_the_finished_nodes(resumed: Run) -> None:
    assert resumed.code == 0, resumed.stderr
    nodes = resumed.result["nodes"]
    before = list(nodes)[: list(nodes).index("Trainer")]
    assert {nodes[name] for name in before} == {"cached"}
    assert nodes["Trainer"] == "complete"


def test_training_goes_on_from_the_last_epoch(resumed: Run) -> None:
    assert "head epoch" not in resumed.stderr, "the finished phase was trained again"
    assert "fine_tune epoch 1/2" not in resumed.stderr, "the finished epoch was trained again"
    assert "fine_tune epoch 2/2" in resumed.stderr
    phases = resumed.result["training"]["phases"]
    assert [row["epoch"] for row in phases["head"]["curves"]] == list(range(12))
    assert [row["epoch"] for row in phases["fine_tune"]["curves"]] == [0, 1]
    assert not list((resumed.output / "training_state").iterdir())


def test_nothing_of_the_killed_execution_is_left(killed_execution: str, resumed: Run) -> None:
    node = resumed.output / "pipeline_root" / "Trainer"
    assert list((node / "model").iterdir())
    assert not [path for path in node.rglob("*") if path.name == killed_execution]
    assert not list((node / ".system" / "stateful_working_dir").iterdir())


def test_changed_code_is_not_served_from_the_cache(tree: Path, digits: Path, resumed: Run) -> None:
    source = tree / "trainer" / "preprocessing.py"
    source.write_text(source.read_text() + "\n# another version\n")
    changed = run_pipeline(resumed.output, *RUN, "--data", digits, tree=tree)
    assert changed.code == 0, changed.stderr
    nodes = changed.result["nodes"]
    assert nodes["AnomalyGate"] == "cached"
    assert nodes["Transform"] == "complete"
    assert nodes["Trainer"] == "complete"

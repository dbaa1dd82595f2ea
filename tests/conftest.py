"""What holds for all tests: imports wait until a test needs them, and a test that hangs ends and says where."""

import sys
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadFileScheduling
from xdist.workermanage import WorkerController

from tests import deferred, hanging
from tests.e2e import forked

SLOW_TO_IMPORT = {"tensorflow", "keras", "tfx", "apache_beam", "sklearn"}

SHARE_A_FIXTURE = {
    "tests/e2e:first_run": {f"tests/e2e/test_{name}.py" for name in ("edge", "kubeflow_replay", "run", "serving")},
    "tests/pipeline:evaluate": {"tests/pipeline/results/test_results.py", "tests/pipeline/test_gates.py"},
    "tests/serving/web:contents": {
        f"tests/serving/web/test_{name}.py" for name in ("memory", "page", "pixels", "restyle", "site")
    },
    "tests/trainer:transformed": {
        "tests/trainer/training/test_batches.py",
        *(f"tests/trainer/test_{name}.py" for name in ("export", "features", "golden", "preprocessing")),
        *(f"tests/trainer/test_{name}.py" for name in ("train", "tuner")),
    },
}
"""Files by the fixture of a folder's `conftest.py` that they share: to make it costs each process up to a minute."""

TAKE_A_SERVER_EACH = {"tests/e2e/test_metadata_databases.py": ("Mariadb", "Postgresql")}
"""Their tests of one parameter share nothing with those of another."""

LONGEST = (
    "tests/e2e:first_run",
    "tests/e2e/test_photos.py",
    "tests/trainer:transformed",
    "tests/e2e/test_metadata_databases.py[Mariadb]",
    "tests/e2e/test_metadata_databases.py[Postgresql]",
    "tests/e2e/test_resume.py",
    "tests/docs/test_notebook.py",
    "tests/e2e/test_data.py",
    "tests/serving/deploy/test_alerts.py",
    "tests/serving/web:contents",
    "tests/components/style_renderer/batch/test_runners.py",
    "tests/pipeline/beam/test_runners.py",
    "tests/e2e/test_render.py",
    "tests/kubeflow/replay/test_replay_tfx.py",
    "tests/components/stylizer/test_trainer_component.py",
    "tests/components/test_tflite_refine.py",
    "tests/serving/ab/test_live.py",
    "tests/components/stylizer/test_evaluator_component.py",
    "tests/components/style_renderer/engine/test_render.py",
    "tests/pipeline:evaluate",
    "tests/serving/test_soak.py",
    "tests/pipeline/commands/test_studio.py",
    "tests/trainer/test_backbones.py",
    "tests/pipeline/terminal/test_disk_errors.py",
    "tests/components/style_renderer/batch/test_batch_workers.py",
)
"""What takes 20 seconds or more, files that share a fixture as one: it begins first, in this order."""

forked.collect_rarely()
deferred.begin_collecting()
hanging.show_stacks_of_children()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadFileScheduling | None:
    """Gives each worker a file at a time, and to one of them all that share a costly fixture."""
    return Scheduler(config, log) if config.getvalue("dist") == "loadfile" else None


class Scheduler(LoadFileScheduling):
    """pytest-xdist's `--dist loadfile`, with files that stay together.

    Its `loadgroup` is for that, and does nothing under pytest 9.2: it changes a node id that pytest does not read.
    """

    def _split_scope(self, nodeid: str) -> str:
        file = super()._split_scope(nodeid)
        for parameter in TAKE_A_SERVER_EACH.get(file, ()):
            if nodeid.endswith(f"[{parameter}]"):
                return f"{file}[{parameter}]"
        return next((fixture for fixture, files in SHARE_A_FIXTURE.items() if file in files), file)

    def _assign_work_unit(self, node: WorkerController) -> None:
        """Gives away the longest that is left; the others wait in the order of their numbers of tests."""
        longest = min(self.workqueue, key=lambda scope: LONGEST.index(scope) if scope in LONGEST else len(LONGEST))
        self.workqueue.move_to_end(longest, last=False)
        super()._assign_work_unit(node)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Refuses to begin where tests would cost more than they should.

    Raises:
      pytest.UsageError: a test file imports TensorFlow or the like at once, or takes a costly fixture and is not
        listed, or is listed and not there.
    """
    deferred.end_collecting()
    if loaded := SLOW_TO_IMPORT & sys.modules.keys():
        raise pytest.UsageError(
            f"collecting the tests imported {', '.join(sorted(loaded))}: see tests/deferred.py for imports that wait"
        )
    for fixture, files in SHARE_A_FIXTURE.items():
        if missing := _find_takers(session.items, *fixture.split(":")) - files:
            raise pytest.UsageError(f"add to {fixture} in tests/conftest.py: {', '.join(sorted(missing))}")
    files = {scope.partition("[")[0] for scope in LONGEST} - SHARE_A_FIXTURE.keys()
    listed = {*TAKE_A_SERVER_EACH, *files}.union(*SHARE_A_FIXTURE.values())
    if gone := [file for file in listed if not Path(__file__).parents[1].joinpath(file).exists()]:
        raise pytest.UsageError(f"tests/conftest.py names files that are not there: {', '.join(gone)}")


def _find_takers(items: list[pytest.Item], folder: str, name: str) -> set[str]:
    """Test files in `folder` that take the fixture `name` of its `conftest.py`."""
    tests = (item for item in items if isinstance(item, pytest.Function) and item.nodeid.startswith(f"{folder}/"))
    return {
        test.nodeid.split("::")[0] for test in tests if name in test.fixturenames and not hasattr(test.module, name)
    }


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Imports what the test's file and the `conftest.py` files above it have deferred."""
    for plugin in item.config.pluginmanager.get_plugins():
        file = getattr(plugin, "__file__", None) or ""
        if file.endswith("conftest.py") and Path(file).parent in item.path.parents:
            deferred.load(vars(plugin))
    if isinstance(item, pytest.Function):
        deferred.load(vars(item.module))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> object:
    """Ends the processes of a test that hangs, shortly before its own time is up."""
    with hanging.children_ended_after(float(item.config.getini("timeout")) - hanging.GRACE_S):
        return (yield)

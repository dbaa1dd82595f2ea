"""What holds for all tests: imports wait until a test needs them, and a test that hangs ends and says where."""

import sys
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadFileScheduling
from xdist.workermanage import WorkerController

from tests import deferred, hanging

SLOW_TO_IMPORT = {"tensorflow", "keras", "tfx", "apache_beam", "sklearn"}

SHARE_THE_FIRST_RUN = {f"tests/e2e/test_{name}.py" for name in ("edge", "kubeflow_replay", "run", "serving")}
"""They take the fixture `first_run`, which costs each process a minute."""

TAKE_A_SERVER_EACH = {"tests/e2e/test_metadata_databases.py": ("Mariadb", "Postgresql")}
"""Their tests of one parameter share nothing with those of another."""

LONGEST = (
    "first_run",
    "tests/e2e/test_photos.py",
    "tests/e2e/test_metadata_databases.py[Mariadb]",
    "tests/e2e/test_metadata_databases.py[Postgresql]",
    "tests/e2e/test_resume.py",
    "tests/docs/test_notebook.py",
    "tests/e2e/test_data.py",
    "tests/serving/deploy/test_alerts.py",
    "tests/trainer/test_tuner.py",
    "tests/components/style_renderer/batch/test_runners.py",
    "tests/pipeline/beam/test_runners.py",
    "tests/e2e/test_render.py",
    "tests/kubeflow/replay/test_replay_tfx.py",
    "tests/components/stylizer/test_trainer_component.py",
    "tests/components/test_tflite_refine.py",
    "tests/serving/ab/test_live.py",
    "tests/components/stylizer/test_evaluator_component.py",
    "tests/components/style_renderer/engine/test_render.py",
    "tests/trainer/test_golden.py",
    "tests/serving/test_soak.py",
    "tests/pipeline/commands/test_studio.py",
    "tests/trainer/test_backbones.py",
    "tests/pipeline/terminal/test_disk_errors.py",
    "tests/components/style_renderer/batch/test_batch_workers.py",
)
"""What takes 20 seconds or more, and `SHARE_THE_FIRST_RUN` as one: it begins first, in this order."""

deferred.begin_collecting()
hanging.show_stacks_of_children()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadFileScheduling | None:
    """Gives each worker a file at a time, and to one of them all that look at one run of the pipeline."""
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
        return "first_run" if file in SHARE_THE_FIRST_RUN else file

    def _assign_work_unit(self, node: WorkerController) -> None:
        """Gives away the longest that is left; the others wait in the order of their numbers of tests."""
        longest = min(self.workqueue, key=lambda scope: LONGEST.index(scope) if scope in LONGEST else len(LONGEST))
        self.workqueue.move_to_end(longest, last=False)
        super()._assign_work_unit(node)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Refuses to begin where tests would cost more than they should.

    Raises:
      pytest.UsageError: a test file imports TensorFlow or the like at once, or takes `first_run` and is not listed,
        or is listed and not there.
    """
    deferred.end_collecting()
    if loaded := SLOW_TO_IMPORT & sys.modules.keys():
        raise pytest.UsageError(
            f"collecting the tests imported {', '.join(sorted(loaded))}: see tests/deferred.py for imports that wait"
        )
    takers = {item.nodeid.split("::")[0] for item in session.items if "first_run" in getattr(item, "fixturenames", ())}
    if not takers <= SHARE_THE_FIRST_RUN:
        raise pytest.UsageError(f"add to SHARE_THE_FIRST_RUN in tests/conftest.py: {takers - SHARE_THE_FIRST_RUN}")
    files = (scope.partition("[")[0] for scope in LONGEST if scope != "first_run")
    listed = {*SHARE_THE_FIRST_RUN, *TAKE_A_SERVER_EACH, *files}
    if gone := [file for file in listed if not Path(__file__).parents[1].joinpath(file).exists()]:
        raise pytest.UsageError(f"tests/conftest.py names files that are not there: {', '.join(gone)}")


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

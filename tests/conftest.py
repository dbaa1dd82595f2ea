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

LONGEST = (
    "first_run",
    "tests/e2e/test_photos.py",
    "tests/e2e/test_resume.py",
    "tests/e2e/test_render.py",
    "tests/e2e/test_data.py",
    "tests/docs/test_notebook.py",
    "tests/components/style_renderer/batch/test_runners.py",
    "tests/kubeflow/replay/test_replay_tfx.py",
    "tests/trainer/test_backbones.py",
    "tests/trainer/test_tuner.py",
)
"""The files that take a minute or more, and `SHARE_THE_FIRST_RUN` as one: they begin first, in this order."""

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
    listed = {*SHARE_THE_FIRST_RUN, *LONGEST} - {"first_run"}
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

"""What holds for all tests: imports wait until a test needs them, and a test that hangs ends and says where."""

import sys
from pathlib import Path

import pytest

from tests import deferred, hanging

SLOW_TO_IMPORT = {"tensorflow", "keras", "tfx", "apache_beam", "sklearn"}

deferred.begin_collecting()
hanging.show_stacks_of_children()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Each worker takes a file at a time; the files that look at one run of the pipeline go to the same worker."""
    shared = {item.path for item in items if "first_run" in getattr(item, "fixturenames", ())}
    for item in items:
        item.add_marker(pytest.mark.xdist_group("first_run" if item.path in shared else str(item.path)))


def pytest_collection_finish() -> None:
    """Refuses to begin where collecting has cost what only tests should.

    Raises:
      pytest.UsageError: a test file imports TensorFlow or the like at once.
    """
    deferred.end_collecting()
    if loaded := SLOW_TO_IMPORT & sys.modules.keys():
        raise pytest.UsageError(
            f"collecting the tests imported {', '.join(sorted(loaded))}: see tests/deferred.py for imports that wait"
        )


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

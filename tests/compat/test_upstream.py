"""Each patch of another project's code names the version that it is for, and what it changes is still there.

A test here fails after an upgrade: look whether the patch can go, as the module says, and else raise its version.
"""

import ast
import importlib.metadata
import inspect
from pathlib import Path

import pytest

from tests.deferred import deferred_imports

with deferred_imports():
    import apache_beam.runners.dask.dask_runner
    from apache_beam.portability import python_urns
    from apache_beam.runners.dask import overrides, transform_evaluator
    from apache_beam.runners.portability.fn_api_runner import worker_handlers
    from ml_metadata.metadata_store import MetadataStore
    from PIL import Image, PngImagePlugin
    from tfx.orchestration import metadata

    from compat import beam_worker_processes

ROOT = Path(__file__).resolve().parents[2]
MODULES = sorted(path for path in (ROOT / "compat").glob("*.py") if path.name != "__init__.py")
OF_THE_SYSTEM = {"child_processes", "freed_memory", "standard_streams"}
"""They are for Linux, glibc and Python themselves, whatever their versions."""


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_each_module_says_when_it_can_go_and_is_for_the_version_that_is_installed(path: Path) -> None:
    tree = ast.parse(path.read_text())
    assert "It can go when" in (ast.get_docstring(tree) or "")
    upstream = {
        name: version
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "UPSTREAM"
        for name, version in ast.literal_eval(node.value).items()
    }
    assert bool(upstream) == (path.stem not in OF_THE_SYSTEM)
    assert upstream == {name: importlib.metadata.version(name) for name in upstream}


def test_beams_local_runner_has_what_the_worker_processes_rely_on() -> None:
    assert list(inspect.signature(worker_handlers.GrpcWorkerHandler.__init__).parameters) == [
        "self",
        "state",
        "provision_info",
        "grpc_server",
    ]
    handler = worker_handlers.WorkerHandler._registered_environments[python_urns.SUBPROCESS_SDK]
    assert handler[0] is beam_worker_processes.Worker
    assert "_futures_by_id" in inspect.getsource(worker_handlers.ControlConnection)
    assert worker_handlers.SUBPROCESS_LOCK


def test_beams_dask_runner_has_what_ours_relies_on() -> None:
    upstream = apache_beam.runners.dask.dask_runner
    assert {"_Reshuffle", "_GroupAlsoByWindow", "_Read"} <= set(vars(overrides))
    assert transform_evaluator.TRANSLATIONS
    assert callable(upstream.DaskOptions._extract_bag_kwargs)
    assert callable(upstream.DaskRunner.to_dask_bag_visitor)
    assert "dask_workers" not in inspect.getsource(upstream), "Beam has an option of its own"


def test_mlmd_and_tfx_have_the_methods_that_are_replaced() -> None:
    assert list(inspect.signature(MetadataStore._call_method).parameters) == [
        "self",
        "method_name",
        "request",
        "response",
    ]
    assert list(inspect.signature(metadata.Metadata.__enter__).parameters) == ["self"]


def test_pillow_still_reads_the_limits_that_are_lifted() -> None:
    assert "MAX_IMAGE_PIXELS" in inspect.getsource(Image._decompression_bomb_check)
    assert "MAX_TEXT_CHUNK" in inspect.getsource(PngImagePlugin)

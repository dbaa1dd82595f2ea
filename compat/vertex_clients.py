"""Keeps TFX from importing the SDK of Vertex AI in a process that calls nothing there.

`from tfx import v1` imports `google-cloud-aiplatform` through TFX's two modules of clients: over two seconds of
processor time in every run. Only the functions that submit a job or deploy a model use these modules. Here each is
executed when one of its names is first asked for. Python's own `importlib.util.LazyLoader` would execute them far
sooner: `inspect.getmodule` asks all modules for `__file__`.

Needed with TFX 1.21. It can go when `tfx.extensions.google_cloud_ai_platform.runner` imports its clients in the
functions that need them: `tests/compat/test_vertex_clients.py` then fails.
"""

import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

UPSTREAM = {"tfx": "1.21.0"}

CLIENTS = frozenset(
    f"tfx.extensions.google_cloud_ai_platform.{name}" for name in ("prediction_clients", "training_clients")
)


def load_at_first_use() -> None:
    """Acts on imports from here on; a second call changes nothing."""
    if _FINDER not in sys.meta_path:
        sys.meta_path.insert(0, _FINDER)


class _Finder(MetaPathFinder):
    """Finds `CLIENTS`, and nothing else."""

    def find_spec(self, name: str, path: Sequence[str] | None, _: ModuleType | None = None) -> ModuleSpec | None:
        spec = PathFinder.find_spec(name, path) if name in CLIENTS else None
        if spec and spec.loader:
            spec.loader = _LoaderAtFirstUse(spec.loader)
        return spec


_FINDER = _Finder()


class _LoaderAtFirstUse(Loader):
    """Leaves a module empty until it is asked for a name that Python itself does not give it."""

    def __init__(self, loader: Loader) -> None:
        self._loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        def find(name: str) -> Any:
            if name.startswith("__"):
                raise AttributeError(name)
            vars(module).pop("__getattr__", None)
            self._loader.exec_module(module)
            return getattr(module, name)

        vars(module)["__getattr__"] = find  # PEP 562

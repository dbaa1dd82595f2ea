"""Imports that wait for the first test of their file, so that collecting tests loads neither TensorFlow nor TFX.

At the top of a test file or of a `conftest.py`::

    with deferred_imports():
        import tensorflow as tf
        from trainer import export

While pytest collects, each of these names is bound to a placeholder. `tests/conftest.py` calls `load` before a test of
that file is set up, and the names become what they say. Outside of pytest's collection the block imports at once.
"""

import builtins
import contextlib
import importlib
import sys
from collections.abc import Iterator
from typing import Any

_import = builtins.__import__
_collecting = False


class Deferred:
    """Stands for a module, or for a name in it, until `load` imports it."""

    def __init__(self, module: str, start: str, names: tuple[str, ...] = ()) -> None:
        self._module, self._start, self._names = module, start, names

    def __getattr__(self, name: str) -> "Deferred":
        if builtins.__import__ is _import or name.startswith("__"):
            raise AttributeError(
                f"{self!r} is imported when its first test runs: use it in tests and fixtures only, "
                "or import it outside of deferred_imports()"
            )
        return Deferred(self._module, self._start, (*self._names, name))

    def __repr__(self) -> str:
        return ".".join([self._start, *self._names])

    def __mro_entries__(self, bases: object) -> tuple[type, ...]:
        raise TypeError(f"{self!r} is imported when its first test runs: it cannot be a base class here")

    def load(self) -> Any:
        """Imports the module, and loads what that defers itself."""
        load(vars(importlib.import_module(self._module)))
        found = sys.modules[self._start]
        for name in self._names:
            found = getattr(found, name, None) or importlib.import_module(f"{found.__name__}.{name}")
        return found


@contextlib.contextmanager
def deferred_imports() -> Iterator[None]:
    """Binds the names that its body imports to placeholders while pytest collects."""
    if _collecting and builtins.__import__ is _import:
        builtins.__import__ = _defer  # type: ignore[assignment]
        try:
            yield
        finally:
            builtins.__import__ = _import
    else:
        yield


def load(names: dict[str, Any]) -> None:
    """Replaces the placeholders among a module's global `names` by what they stand for."""
    for name, value in list(names.items()):
        if isinstance(value, Deferred):
            names[name] = value.load()


def begin_collecting() -> None:
    """From here on the imports in `deferred_imports()` wait."""
    global _collecting
    _collecting = True


def end_collecting() -> None:
    """From here on they happen at once."""
    global _collecting
    _collecting = False


def _defer(
    name: str, _globals: object = None, _locals: object = None, fromlist: object = (), level: int = 0
) -> Deferred:
    assert level == 0, "relative imports are not used here"
    return Deferred(name, name if fromlist else name.partition(".")[0])

"""Folders of the source that are not installed: the command line imports them from the current folder."""

import importlib
import sys
from pathlib import Path
from types import ModuleType

from atelier.errors import AtelierError


class SourceTreeError(AtelierError):
    """The command needs the project's source, and was not given in its root."""


def load(name: str) -> ModuleType:
    """Imports a module, such as `benchmarks.measure`, from below the current folder.

    Raises:
      SourceTreeError: it is not there.
    """
    root = Path.cwd()
    if not root.joinpath(*name.split(".")).with_suffix(".py").is_file():
        folder = name.partition(".")[0]
        raise SourceTreeError(f"{root}: no folder {folder}/ of Atelier here; run this in the root of its source")
    if str(root) not in sys.path:
        sys.path.insert(0, str(root))
    return importlib.import_module(name)

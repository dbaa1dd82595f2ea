"""Folders of the source that are not installed: the command line takes them from the current folder."""

import importlib
import sys
from pathlib import Path
from types import ModuleType

from atelier.errors import AtelierError


class SourceTreeError(AtelierError):
    """The command needs the project's source, and was not given in its root."""


def module(folder: str, name: str) -> ModuleType:
    """Imports `folder/name.py` below the current folder.

    Raises:
      SourceTreeError: there is no such file.
    """
    root = Path.cwd()
    if not (root / folder / f"{name}.py").is_file():
        raise SourceTreeError(f"{root}: no folder {folder}/ of Atelier here; run this in the root of its source")
    if str(root) not in sys.path:
        sys.path.insert(0, str(root))
    return importlib.import_module(f"{folder}.{name}")

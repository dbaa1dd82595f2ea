"""Data files that come with installed packages."""

from importlib import util
from pathlib import Path


def find(package: str, file: str) -> Path:
    """Finds a data file without importing its package, which would take seconds.

    Args:
      package: name of a top-level package.
      file: path inside the package, with slashes.

    Raises:
      FileNotFoundError: the package is not installed, or lacks the file.
    """
    spec = util.find_spec(package)
    for folder in (spec and spec.submodule_search_locations) or ():
        if (path := Path(folder) / file).is_file():
            return path
    raise FileNotFoundError(f"{file} of the package {package} is not installed")

"""The built-in sources, written as folders of labeled images: no download, only what installed packages contain.

Importing this package is cheap, since the command line names its sources: a source imports what it needs when it is
written.
"""

import importlib
import pkgutil
from pathlib import Path

from pipeline.ingest.builtin_sources.registry import SOURCES
from pipeline.ingest.errors import SourceError

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")
NAMES = tuple(SOURCES)


def write_source(name: str, folder: Path) -> None:
    """Writes a built-in source as a folder of labeled images.

    Raises:
      SourceError: `name` is not built in, or the package that holds the images is not installed.
    """
    if name not in SOURCES:
        raise SourceError(f"{name}: not a built-in source; there are {' and '.join(NAMES)}")
    try:
        for path, image in SOURCES[name]():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            if path.endswith(".png"):
                image.save(folder / path)
            else:
                image.save(folder / path, quality=95, subsampling=0)
    except FileNotFoundError as error:
        raise SourceError(f"{name}: {error}") from None

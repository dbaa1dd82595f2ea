"""Content photographs that come with packages, for a first look without pictures of one's own."""

import shutil
from pathlib import Path

from components import packaged

NAME = "photos"
"""What the command line and the configuration call them."""

_FILES = {
    "astronaut.png": ("skimage", "data/astronaut.png"),
    "cat.png": ("skimage", "data/chelsea.png"),
    "pagoda.jpg": ("sklearn", "datasets/images/china.jpg"),
}


def write(folder: Path) -> Path:
    """Copies the photographs into `folder`, which is made; those that are there already stay as they are.

    Raises:
      FileNotFoundError: a package lacks its picture; the message names both.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, (package, file) in _FILES.items():
        if not (folder / name).exists():
            shutil.copyfile(packaged.find(package, file), folder / name)
    return folder

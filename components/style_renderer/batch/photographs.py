"""Content photographs that come with packages, for a first look without images of one's own."""

from atelier import storage
from atelier.files import packaged

_FILES = {
    "astronaut.png": ("skimage", "data/astronaut.png"),
    "cat.png": ("skimage", "data/chelsea.png"),
    "pagoda.jpg": ("sklearn", "datasets/images/china.jpg"),
}


def write(folder: str) -> str:
    """Copies the photographs into `folder`, a path or URL, which is made; those that are there stay as they are.

    Raises:
      FileNotFoundError: a package lacks its image; the message names both.
    """
    there = storage.list_files(folder)
    for name, (package, file) in _FILES.items():
        if name not in there:
            storage.write_bytes(storage.join(folder, name), packaged.find(package, file).read_bytes())
    return folder

"""Content photographs that come with packages, for a first look without pictures of one's own."""

from atelier.files import packaged
from components.style_renderer.batch import store
from components.style_renderer.engine.settings import PHOTOS

NAME = PHOTOS
"""What the command line and the configuration call them."""

_FILES = {
    "astronaut.png": ("skimage", "data/astronaut.png"),
    "cat.png": ("skimage", "data/chelsea.png"),
    "pagoda.jpg": ("sklearn", "datasets/images/china.jpg"),
}


def write(folder: str) -> str:
    """Copies the photographs into `folder`, a path or URL, which is made; those that are there stay as they are.

    Raises:
      FileNotFoundError: a package lacks its picture; the message names both.
    """
    there = store.files(folder)
    for name, (package, file) in _FILES.items():
        if name not in there:
            store.write(store.join(folder, name), packaged.find(package, file).read_bytes())
    return folder

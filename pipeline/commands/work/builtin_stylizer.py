"""The built-in stylizer as TFLite files, for the page of a run that has pushed none."""

import os
import shutil
import uuid
from collections.abc import Callable
from pathlib import Path

from atelier import labels
from atelier.errors import AtelierError
from atelier.files import leftovers
from compat.standard_streams import send_to_file
from pipeline.fingerprint import fingerprint_code
from serving.web import models
from serving.web.packages import find_cache


def load(tell: Callable[[str], None]) -> models.Stylizer:
    """Returns the built-in stylizer; its files are made once and kept.

    Args:
      tell: is told that they are made, which takes time.

    Raises:
      AtelierError: they cannot be kept.
    """
    # Other weights or other code make other files.
    folder = find_cache() / "stylizer" / fingerprint_code("components.stylizer.exports.tflite")
    found = models.read_stylizer_folder(folder, version=0)
    if found is None:
        tell("making the TFLite files of the built-in stylizer, once; this takes about 20 seconds")
        try:
            _make(folder)
        except OSError as error:
            raise AtelierError(
                f"{folder}: the built-in stylizer cannot be kept: {error.strerror}; set XDG_CACHE_HOME"
            ) from None
        found = models.read_stylizer_folder(folder, version=0)
        assert found
    return found


def _make(folder: Path) -> None:
    """Writes the files, all or none, and removes those of earlier versions."""
    leftovers.sweep(folder.parent.glob(".*"))
    with leftovers.create_owned(folder.with_name(f".{folder.name}-{uuid.uuid4().hex[:12]}")) as partial:
        with send_to_file(Path(os.devnull)):  # TensorFlow's converter tells a lot
            _write(partial)
        for earlier in folder.parent.glob("[!.]*"):
            shutil.rmtree(earlier, ignore_errors=True)
        partial.rename(folder)


def _write(folder: Path) -> None:
    from components.stylizer import stylizer
    from components.stylizer.exports import tflite
    from components.stylizer.settings import TFLITE_SIZES

    variant: tflite.Variant = "float16"  # browsers run it fast
    base = stylizer.load_base()
    labels.write_labels(folder, base.styles)
    for size in TFLITE_SIZES:
        network = base.rebuild(size=(size, size), batch=1)
        (folder / tflite.name_file(size, variant)).write_bytes(tflite.convert(network, size, variant, base.styles))

"""The work of `atelier stylize`: which files are restyled, and where the images go."""

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePath

import numpy as np
from PIL import Image

from atelier import images, storage
from atelier.files import image_files, tree
from atelier.layout import MAX_PIXELS
from atelier.stylization import StylizerError
from compat.standard_streams import send_to_file
from components.style_renderer.gallery import previews
from pipeline.terminal.console import Console

_MAX_BYTES = 8 * MAX_PIXELS + 2**20
"""A file of 16-bit RGBA without compression, and its metadata."""


def stylize_files(
    paths: Sequence[Path], output: Path, *, weights: Mapping[str, float], strength: float, model: Path | None, size: int
) -> int:
    """Restyles images and writes them as JPEG; one that is there is replaced.

    Args:
      paths: of files and of folders of files.
      output: folder for the images.
      weights: of the styles, by id.
      strength: 0..1.
      model: a stylizer's file; None takes the base network.
      size: longer side in pixels to which larger images are scaled down.

    Returns:
      0 if every image was restyled, else 1; each of the others has its line on standard error.

    Raises:
      StylizerError: the model, the styles or the files cannot be used.
    """
    with os.fdopen(os.dup(2), "w", buffering=1, errors="backslashreplace") as terminal:
        console = Console(terminal)
        # TensorFlow greets on standard error, whatever one tells it.
        with send_to_file(Path(os.devnull)):
            from components.stylizer import stylizer

            files = _place(paths, output)
            loaded = stylizer.load(model) if model else stylizer.load_base()
            loaded.row(weights)  # a style that is unknown is no fault of each image
            failed = 0
            in_folders = any(path.is_dir() for path in paths)
            bar = console.bar("stylizing") if in_folders else contextlib.nullcontext(lambda *_: None)
            with bar as move:
                move(0, len(files))
                for done, (target, file) in enumerate(files.items(), 1):
                    try:
                        pixels = _read(file, size)
                    except images.RejectedImageError as error:
                        console.say(f"atelier: {image_files.format_path(str(file))}: {error}")
                        failed += 1
                    else:
                        stylized = Image.fromarray(loaded.stylize(pixels, weights, strength))
                        storage.write_bytes(str(target), previews.encode(stylized, "jpeg"))
                    move(done, len(files))
    return 1 if failed else 0


def _read(file: Path, size: int) -> np.ndarray:
    image = images.decode(image_files.read_image_file(file, _MAX_BYTES), MAX_PIXELS).image
    image.thumbnail((size, size), Image.Resampling.LANCZOS)
    return np.asarray(image)


def _place(paths: Sequence[Path], output: Path) -> dict[Path, Path]:
    """The file to read by the file to write.

    Raises:
      StylizerError: a folder is empty or cannot be listed, two images would have one name, or one would be overwritten.
    """
    found: dict[Path, Path] = {}
    for path in paths:
        for name, file in _list(path, output):
            target = output / PurePath(name).with_suffix(".jpg")
            if (other := found.setdefault(target, file)) != file:
                raise StylizerError(
                    f"{other} and {file} would both become {target}: rename one, or give another folder"
                )
            if target.exists() and file.exists() and target.samefile(file):
                raise StylizerError(f"{file}: it would be overwritten; give another --output")
    return found


def _list(path: Path, output: Path) -> Iterator[tuple[str, Path]]:
    """Names below the output folder, and files."""
    if not path.is_dir():
        yield path.name, path
        return
    shown = image_files.format_path(str(path))
    try:
        names = tree.walk(path, leave_out=output).paths
    except OSError as error:
        where = image_files.format_path(str(error.filename))
        raise StylizerError(f"{where}: the folder cannot be listed: {error.strerror}") from None
    if not names:
        raise StylizerError(f"{shown}: no files in this folder")
    yield from ((name, path / name) for name in names)

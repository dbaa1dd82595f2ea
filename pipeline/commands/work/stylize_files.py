"""The work of `atelier stylize`: which files are restyled, and where the images go."""

import contextlib
import os
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path, PurePath

from atelier import storage
from atelier.files import path_text, tree
from atelier.stylization import StylizerError
from compat.standard_streams import send_to_file
from pipeline.commands.work.restylers import ImageError, Restyle
from pipeline.terminal.console import Console


def stylize_files(paths: Sequence[Path], output: Path, restyler: AbstractContextManager[Restyle]) -> int:
    """Restyles images and writes them as JPEG; one that is there is replaced.

    Args:
      paths: of files and of folders of files.
      output: folder for the images.
      restyler: gives what restyles them, when it is entered.

    Returns:
      0 if every image was restyled, else 1; each of the others has its line on standard error.

    Raises:
      StylizerError: the model, the styles or the files cannot be used.
      ServingError: the server cannot be used; the images that are written stay.
    """
    files = _plan_outputs(paths, output)
    with os.fdopen(os.dup(2), "w", buffering=1, errors="backslashreplace") as terminal:
        console = Console(terminal)
        in_folders = any(path.is_dir() for path in paths)
        bar = console.show_bar("stylizing") if in_folders else contextlib.nullcontext(lambda *_: None)
        failed = 0
        # TensorFlow greets on standard error, whatever one tells it.
        with send_to_file(Path(os.devnull)), restyler as restyle, bar as move:
            move(0, len(files))
            for done, (target, file) in enumerate(files.items(), 1):
                try:
                    storage.write_bytes(str(target), restyle(file))
                except ImageError as error:
                    console.say(f"atelier: {error}")
                    failed += 1
                move(done, len(files))
        if failed and in_folders:
            console.say(f"atelier: {failed} of {len(files)} images are not restyled; the others are in {output}")
    return 1 if failed else 0


def _plan_outputs(paths: Sequence[Path], output: Path) -> dict[Path, Path]:
    """Returns the file to read by the file to write.

    Raises:
      StylizerError: a folder is empty or cannot be listed, two images would have one name, or one would be overwritten.
    """
    found: dict[Path, Path] = {}
    for path in paths:
        for name, file in _list_files(path, output):
            target = output / PurePath(name).with_suffix(".jpg")
            if (other := found.setdefault(target, file)) != file:
                raise StylizerError(
                    f"{other} and {file} would both become {target}: rename one, or give another folder"
                )
            if not target.exists() or not file.exists():
                continue
            if target.samefile(file):
                raise StylizerError(f"{file}: it would be overwritten; give another --output")
            # As beside the TIFF or the raw file of a camera: it may be an original, too.
            if target.parent.samefile(file.parent):
                raise StylizerError(
                    f"{target}: it lies beside {file.name} and would be overwritten; move it, or give another --output"
                )
    return found


def _list_files(path: Path, output: Path) -> Iterator[tuple[str, Path]]:
    """Yields names below the output folder, and files."""
    if not path.is_dir():
        yield path.name, path
        return
    shown = path_text.format_path(str(path))
    if output.is_dir() and output.samefile(path):
        raise StylizerError(f"{shown}: its images would be overwritten; give another --output, as in {shown}/stylized")
    try:
        names = tree.walk(path, leave_out=output).paths
    except OSError as error:
        where = path_text.format_path(str(error.filename))
        raise StylizerError(f"{where}: the folder cannot be listed: {error.strerror}") from None
    if not names:
        raise StylizerError(f"{shown}: no files in this folder")
    yield from ((name, path / name) for name in names)

"""The output of an ingest: built beside its place, and renamed when it is whole."""

import contextlib
import re
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

from atelier import builtin_names
from atelier.files import leftovers, path_text
from atelier.layout import INGEST_REPORT_FILE, LABELS_FILE, QUARANTINE_FOLDER, SCHEMA_FILE, SPLITS
from pipeline.ingest import builtin_sources
from pipeline.ingest.errors import IngestError

_OUTPUTS = frozenset({*SPLITS, LABELS_FILE, SCHEMA_FILE, QUARANTINE_FOLDER, INGEST_REPORT_FILE})


def check(source: str, output: Path) -> None:
    """Checks that the output may be made, or replaced, and does not touch the source.

    Raises:
      IngestError: it may not.
    """
    if output.is_mount():
        raise IngestError(f"{output}: is a mount point and can't be replaced as a whole; give a folder inside it")
    if not builtin_names.resolve(source, builtin_sources.NAMES):
        root = path_text.resolve_folder(Path(source))
        if root == output or root in output.parents or output in root.parents:
            raise IngestError(f"{output}: source and output lie in one another; give an output outside {root}")
    _check_replaceable(output)
    _check_replaceable(name_failed(output))


@contextlib.contextmanager
def stage(output: Path) -> Iterator[Path]:
    """Makes a folder beside `output`, gone at the end unless it was renamed."""
    _sweep(output)
    with contextlib.ExitStack() as stack:
        try:
            folder = output.with_name(f".{output.name}.ingesting-{uuid.uuid4().hex[:8]}")
            staging = stack.enter_context(leftovers.create_owned(folder))
        except OSError as error:
            raise IngestError(f"{output}: cannot be written: {error.strerror}") from None
        yield staging


def publish(staging: Path, output: Path) -> None:
    """Puts the staged folder in the place of the output, and removes what was there."""
    if not output.exists():
        staging.rename(output)
        return
    earlier = staging.with_name(f"{staging.name}.earlier")
    with leftovers.lock(output):
        output.rename(earlier)
        staging.rename(output)
        shutil.rmtree(earlier, ignore_errors=True)


def name_failed(output: Path) -> Path:
    """Returns where the quarantine and the report of a failed ingest are put."""
    return output.with_name(f"{output.name}.failed")


def _check_replaceable(folder: Path) -> None:
    """Rejects to replace anything but an ingest's own output."""
    try:
        names = {path.name for path in folder.iterdir()}
    except FileNotFoundError:
        return
    except OSError as error:
        raise IngestError(f"{folder}: cannot be used as the output folder: {error.strerror}") from None
    if names and not (INGEST_REPORT_FILE in names and names <= _OUTPUTS):
        stranger = min(names - _OUTPUTS or names)
        raise IngestError(
            f"{folder}: the folder holds {stranger}, which no earlier ingest wrote; give a new or an empty folder"
        )


def _sweep(output: Path) -> None:
    """Removes what ended processes left beside `output`; what one of them was about to replace goes back."""

    def put_back(earlier: Path) -> None:
        if output.exists():
            shutil.rmtree(earlier)
        else:
            earlier.rename(output)

    ours = re.compile(rf"\.{re.escape(output.name)}\.ingesting-[0-9a-f]{{8}}(\.earlier)?")
    found = [path for path in _list_neighbors(output) if ours.fullmatch(path.name)]
    leftovers.sweep([path for path in found if path.name.endswith(".earlier")], put_back)
    leftovers.sweep(path for path in found if not path.name.endswith(".earlier"))


def _list_neighbors(output: Path) -> list[Path]:
    try:
        return list(output.parent.iterdir())
    except OSError:  # the folder is not there yet, or cannot be used, which is told where it is written to
        return []

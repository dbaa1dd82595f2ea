"""What the DAG reads: links to the user's files, in folders that are named by what the files hold.

TFX's cache knows ImportSchemaGen's file by its path, and ImportExampleGen's by number, bytes and whole seconds. Here
other contents have another path, so that the cache sees them. The links also have plain names: TensorFlow and Beam read
`[`, `*` and `?` in a path as a pattern, and no path of the user's reaches them.
"""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from atelier import tfrecord
from atelier.files import tree
from atelier.files.path_text import format_path
from atelier.layout import SCHEMA_FILE
from pipeline import fingerprint
from pipeline.records import dataset

FOLDER = "inputs"


@dataclass(frozen=True)
class Records:
    """TFRecords as ImportExampleGen reads them.

    Attributes:
      folder: of the links.
      splits: file pattern below `folder` by split.
      schema_file: a copy of the data's schema; "" if they have none.
      fingerprint: of all records and of the files beside them.
    """

    folder: str
    splits: Mapping[str, str]
    schema_file: str
    fingerprint: str


def link_records(data: dataset.Dataset, output: Path, hashes: fingerprint.FileHashes) -> Records:
    """Links the records of `data` below `output`, and copies their schema there."""
    links = {}
    for split, pattern in data.splits.items():
        for number, file in enumerate(dataset.list_split_files(data.folder, split, pattern)):
            # Beam decompresses by the name's ending.
            links[f"{split}/{number:05d}{'.gz' if tfrecord.is_gzip(file) else ''}"] = file
    beside = {name: file for name in dataset.SIDECARS if (file := data.folder / name).is_file()}
    found = fingerprint.fingerprint_files(links | beside, hashes)
    folder = _link(links, output / FOLDER / "records", found)
    if data.schema:
        shutil.copyfile(data.schema, folder / SCHEMA_FILE)
    return Records(
        folder=str(folder),
        splits={split: f"{split}/*" for split in data.splits},
        schema_file=str(folder / SCHEMA_FILE) if data.schema else "",
        fingerprint=found,
    )


def link_contents(source: Path, output: Path, hashes: fingerprint.FileHashes, kind: str = "contents") -> Path:
    """Links the content images in the folder `source` below `output`, which is left out where it lies in `source`.

    Args:
      source: folder of images.
      output: of the run.
      hashes: reads the files, or remembers them.
      kind: what they are for: each kind has a folder of its own.

    Raises:
      dataset.DataError: there are none.
    """
    try:
        found = tree.walk(source, leave_out=output).paths
    except OSError as error:
        where = format_path(str(error.filename))
        raise dataset.DataError(f"{where}: the folder cannot be listed: {error.strerror}") from None
    if not found:
        raise dataset.DataError(f"{format_path(str(source))}: no content images found; give a folder of images")
    files = {name: source / name for name in found}
    return _link(files, output / FOLDER / kind, fingerprint.fingerprint_files(files, hashes))


def _link(links: Mapping[str, Path], parent: Path, name: str) -> Path:
    """Makes `parent/name` again with these links, and removes those of earlier inputs."""
    shutil.rmtree(parent, ignore_errors=True)
    folder = parent / name
    for link, target in links.items():
        (folder / link).parent.mkdir(parents=True, exist_ok=True)
        (folder / link).symlink_to(target.resolve())
    return folder

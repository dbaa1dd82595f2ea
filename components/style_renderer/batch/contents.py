"""Content images: where they come from, and the form in which a batch keeps them.

A source is a file or a TFRecord file. Beam's workers look through the sources: each usable image is copied into the
batch's folder under the hash of its bytes, beside a JPEG of it for the gallery; each source leaves a list of what was
found in it, good and bad. Images never pass through Beam, and planning needs the lists only.
"""

import hashlib
import json
import re
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import apache_beam as beam
from PIL import Image

from atelier import images, layout, storage, tfrecord
from atelier.errors import AtelierError
from components.style_renderer.batch.dead_letters import DeadLetter
from components.style_renderer.batch.units import Content
from components.style_renderer.gallery import previews

FOLDER = ".contents"
"""Encoded bytes of the contents by their SHA-256."""


class ContentError(AtelierError):
    """There are no contents where they should be; the message says where, and what to give."""


@dataclass(frozen=True)
class Source:
    """A file that holds content images.

    Attributes:
      kind: `file`: it is an image; `records`: a TFRecord file of tf.Examples.
      path: the file, on a disk or in an object store.
      name: an image's id, or the feature that holds the encoded image.
    """

    kind: Literal["file", "records"]
    path: str
    name: str


@dataclass(frozen=True)
class Found:
    """What a batch has to work with."""

    contents: tuple[Content, ...]
    dead: tuple[DeadLetter, ...]
    count: int
    """Images that were looked at, good and bad."""


def list_files(folder: str, leave_out: str = "") -> tuple[Source, ...]:
    """All files below a folder, in the order of their paths.

    Args:
      folder: a path or URL.
      leave_out: a folder that is not entered, under whatever name it is reached: where the results go.

    Raises:
      ContentError: there is none, or a folder cannot be listed.
    """
    try:
        found = storage.list_tree(folder, leave_out)
    except OSError as error:
        where = make_legible(str(error.filename))
        raise ContentError(f"{where}: the folder cannot be listed: {error.strerror}") from None
    if not found and not storage.is_url(folder) and not Path(folder).is_dir():
        if Path(folder).exists():
            raise ContentError(f"{make_legible(folder)}: it is a file; give the folder that it is in")
        raise ContentError(f"{make_legible(folder)}: no such folder; give a folder with JPEG, PNG or other images")
    if not found:
        raise ContentError(
            f"{make_legible(folder)}: no content images found; give a folder with JPEG, PNG or other images"
        )
    return tuple(Source("file", entry.path, name) for name, entry in found.items())


def list_records(split: str, image_key: str) -> tuple[Source, ...]:
    """The TFRecord files of a split.

    Args:
      split: the split's folder.
      image_key: the feature that holds the encoded image.

    Raises:
      ContentError: the split has no file.
    """
    found = storage.list_files(split)
    if not found:
        raise ContentError(f"{split}: no records found; name a split that the examples have")
    return tuple(Source("records", entry.path, image_key) for _, entry in sorted(found.items()))


def take_first(sources: Sequence[Source], most: int) -> Sequence[Source]:
    """No more files than `most`, 0 for all; how many images a TFRecord file holds, only reading it tells."""
    return sources[: most or None] if all(source.kind == "file" for source in sources) else sources


class Prepare(beam.DoFn):
    """(number, source) -> nothing; what was found lies in `<lists>/<number>.json` afterwards."""

    def __init__(self, directory: str, lists: str, preview: int, max_pixels: int, most: int) -> None:
        """Builds the worker.

        Args:
          directory: of the batch.
          lists: folder for the lists.
          preview: longer side of the gallery's originals in pixels, at most.
          max_pixels: that a header may promise, at most.
          most: images that are taken of one source, at most; 0 for all.
        """
        self._directory, self._lists = directory, lists
        self._preview, self._max_pixels, self._most = preview, max_pixels, most
        self._limit = layout.compute_max_file_bytes(max_pixels)

    def process(self, element: tuple[int, Source]) -> None:
        """Looks through one source."""
        number, source = element
        rows: list[Content | DeadLetter] = []
        try:
            for name, encoded in read_images(source, self._limit):
                rows.append(self._keep(name, encoded))
                if len(rows) == self._most:
                    break
        except (OSError, EOFError, zlib.error, tfrecord.DamagedError) as error:
            name = source.name if source.kind == "file" else source.path
            rows.append(
                DeadLetter(make_legible(name), images.Reason.UNREADABLE.value, f"{type(error).__name__}: {error}")
            )
        lines = [[type(row).__name__, asdict(row)] for row in rows]
        storage.write_bytes(storage.join(self._lists, f"{number:08d}.json"), json.dumps(lines).encode("ascii"))

    def _keep(self, name: str, encoded: bytes) -> Content | DeadLetter:
        try:
            if name != make_legible(name):
                raise images.RejectedImageError(images.Reason.UNREADABLE_NAME, "the name is not UTF-8: rename the file")
            if len(encoded) > self._limit:
                raise images.RejectedImageError(images.Reason.TOO_LARGE, f"more than {self._limit} bytes")
            image = images.decode(encoded, self._max_pixels).image
        except images.RejectedImageError as rejection:
            return DeadLetter(make_legible(name), rejection.reason.value, rejection.detail)
        content = Content(name, hashlib.sha256(encoded).hexdigest(), image.height, image.width)
        storage.write_bytes(locate(self._directory, content), encoded)
        previews.write(self._directory, previews.locate_original(content.stem), image, self._preview)
        return content


def collect(lists: str, sources: int, most: int = 0) -> Found:
    """Reads the lists of all sources: contents in the sources' order, one where name and bytes are the same.

    Args:
      lists: folder of the lists.
      sources: how many there are.
      most: images that are taken in all, good and bad; 0 for all.
    """
    rows: list[Content | DeadLetter] = []
    for number in range(sources):
        for kind, values in json.loads(storage.read_bytes(storage.join(lists, f"{number:08d}.json"))):
            rows.append(Content(**values) if kind == "Content" else DeadLetter(**values))
    rows = rows[: most or None]
    contents = dict.fromkeys(row for row in rows if isinstance(row, Content))
    return Found(tuple(contents), tuple(row for row in rows if isinstance(row, DeadLetter)), len(rows))


def read(directory: str, content: Content, max_pixels: int) -> Image.Image:
    """The image of a content that was prepared: upright, mode RGB."""
    return images.decode(storage.read_bytes(locate(directory, content)), max_pixels).image


def locate(directory: str, content: Content) -> str:
    """Where the encoded bytes of a content lie."""
    return storage.join(directory, FOLDER, content.sha256)


def read_images(source: Source, limit: int) -> Iterator[tuple[str, bytes]]:
    """Names and encoded bytes of the images in a source; of a file's no more than `limit` and one."""
    if source.kind == "file":
        yield source.name, storage.read_bytes(source.path, limit + 1)
        return
    with storage.open_stream(source.path) as stream:
        for record in tfrecord.read(stream):
            encoded = tfrecord.read_first_bytes(record, source.name)
            named = tfrecord.read_first_bytes(record, layout.IMAGE_FILE) or b""
            name = named.decode("utf-8", "surrogateescape")
            yield name or hashlib.sha256(encoded or b"").hexdigest()[:12], encoded or b""


def make_legible(name: str) -> str:
    r"""The name with every byte that is not UTF-8 written as \xNN."""
    return re.sub(r"[\udc80-\udcff]", lambda match: f"\\x{ord(match[0]) - 0xDC00:02x}", name)

"""What a batch leaves beside its images, all of it in one folder.

Manifest, TFRecords, dead letters, gallery and contact sheet.

A record of `renders-*.tfrecord` has `image/encoded`, `image/format`, `image/filename`, `image/height`, `image/width`,
`content/id`, `content/sha256`, `style/id`, `style/sha256`, `style/title`, `style/artist`, `style/licence`, `strength`
(float) and `key`, each with one value.
"""

import fnmatch
import io
from collections.abc import Callable, Sequence
from typing import Any

import apache_beam as beam

from atelier import layout, storage, tfrecord
from components.style_renderer.batch import dead_letters, manifest
from components.style_renderer.gallery import contact_sheet, gallery, previews

_PER_SHARD = 256
"""Images a TFRecord file: about 100 MB."""


def publish(page: gallery.Page, directory: str, output: str, pipelines: Callable[[], beam.Pipeline]) -> str:
    """Writes the results of a batch; files of an earlier one that stand there are replaced.

    Args:
      page: what the gallery shows.
      directory: where the images are.
      output: where the results go; images are copied there if it is another folder.
      pipelines: makes Beam pipelines.

    Returns:
      The path of `gallery.html`.
    """
    lines = page.lines
    count = -(-len(lines) // _PER_SHARD)
    names = [f"renders-{number:05d}-of-{count:05d}.tfrecord" for number in range(count)]
    shards = [
        (storage.join(output, name), lines[number * _PER_SHARD : (number + 1) * _PER_SHARD])
        for number, name in enumerate(names)
    ]
    if shards:
        with pipelines() as pipeline:
            _ = pipeline | beam.Create(shards) | beam.Reshuffle() | beam.ParDo(WriteShard(directory, output))
    for name, entry in storage.list_files(output).items():
        if fnmatch.fnmatch(name, "renders-*-of-*.tfrecord") and name not in names:
            storage.remove(entry.path)
    if directory != output:
        for content in page.contents:
            original = previews.locate_original(content.stem)
            for name in {
                original,
                previews.locate_thumbnail(original, min(max(content.height, content.width), page.size)),
            }:
                _copy(name, directory, output)
    for column in page.styles:
        previews.write(
            output, previews.locate_style(column.style.id, column.style.sha256), column.image, previews.STYLE
        )
    storage.write_bytes(storage.join(output, manifest.FILE), manifest.encode(lines))
    storage.write_bytes(storage.join(output, dead_letters.FILE), dead_letters.format_lines(page.dead))
    storage.write_bytes(storage.join(output, contact_sheet.FILE), contact_sheet.make(page, directory))
    target = storage.join(output, gallery.FILE)
    storage.write_bytes(target, gallery.render(page).encode("utf-8", "xmlcharrefreplace"))
    return target


class WriteShard(beam.DoFn):
    """(path, lines of the manifest) -> nothing; the TFRecord file is there, and its images beside it, afterwards."""

    def __init__(self, directory: str, output: str) -> None:
        """Takes images from `directory`, and copies them to `output` if that is another folder."""
        self._directory, self._output = directory, output

    def process(self, shard: tuple[str, Sequence[dict[str, Any]]]) -> None:
        """Writes one file."""
        path, lines = shard
        stream = io.BytesIO()
        for line in lines:
            encoded = storage.read_bytes(storage.join(self._directory, *line["file"].split("/")))
            tfrecord.write(stream, _build_record(line, encoded))
            if self._directory != self._output:
                storage.write_bytes(storage.join(self._output, *line["file"].split("/")), encoded)
                thumbnail = previews.locate_thumbnail(line["file"], max(line["height"], line["width"]))
                if thumbnail != line["file"]:
                    _copy(thumbnail, self._directory, self._output)
        storage.write_bytes(path, stream.getvalue())


def _build_record(line: dict[str, Any], encoded: bytes) -> bytes:
    content, style = line["content"], line["style"]
    return tfrecord.serialize_example(
        {
            layout.ENCODED_IMAGE: encoded,
            layout.IMAGE_FORMAT: line["format"],
            layout.IMAGE_FILE: line["file"],
            layout.IMAGE_HEIGHT: line["height"],
            layout.IMAGE_WIDTH: line["width"],
            "content/id": content["id"],
            "content/sha256": content["sha256"],
            **{f"style/{name}": style[name] for name in ("id", "sha256", "title", "artist", "licence")},
            "strength": float(line["strength"]),
            "key": line["key"],
        }
    )


def _copy(name: str, directory: str, output: str) -> None:
    parts = name.split("/")
    storage.write_bytes(storage.join(output, *parts), storage.read_bytes(storage.join(directory, *parts)))

"""Content images of a stylizer's training and of its gate: of a split of the data, of a folder, or of packages."""

import hashlib
import heapq
import logging
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image
from tfx import types
from tfx.types import artifact_utils

from atelier import builtin_names, images, tfrecord
from atelier.files import leftovers
from atelier.layout import MAX_PIXELS, compute_max_file_bytes
from components.style_renderer.batch import contents
from components.style_renderer.batch import photographs as packaged_photographs

LONGER_SIDE = 1024
"""Photographs are kept in memory at this size at most."""

_LOGGER = logging.getLogger("atelier.stylizer")
_SHOWN = 3


@dataclass(frozen=True)
class Photographs:
    """Images that were read, in the order of their hashes."""

    images: dict[str, Image.Image]
    """By the SHA-256 of their encoded bytes; mode RGB, `LONGER_SIDE` pixels on the longer side at most."""
    names: dict[str, str]
    """By the same."""
    rejected: dict[str, str]
    """By name, why an image cannot be used."""

    @property
    def digest(self) -> str:
        """The same for the same images only: 16 hex digits."""
        return hashlib.sha256("".join(self.images).encode()).hexdigest()[:16]


def read_photographs(where: str, examples: Sequence[types.Artifact], image_key: str, most: int) -> Photographs:
    """Reads images; those that cannot be used are counted and logged.

    Where there are more than `most`, those with the smallest hashes are taken: a choice that depends neither on their
    order nor on their names.

    Args:
      where: `photos`, `split:NAME` of the examples, or a folder, a path or URL.
      examples: of the split; may be empty otherwise.
      image_key: the feature that holds the encoded image.
      most: how many are kept.

    Raises:
      ContentError: there is no usable image, no such folder, or no such split.
    """
    if builtin_names.resolve(where, (builtin_names.PHOTOS,)):
        with leftovers.create_scratch("photographs") as folder:
            return _read(contents.list_files(packaged_photographs.write(str(folder))), where, most)
    if not where.startswith(builtin_names.SPLIT_PREFIX):
        return _read(contents.list_files(where), where, most)
    split = where.removeprefix(builtin_names.SPLIT_PREFIX)
    if not examples:
        raise contents.ContentError(f"the images are {where}, but there are no examples to take them from")
    known = artifact_utils.decode_split_names(artifact_utils.get_single_instance(list(examples)).split_names)
    if split not in known:
        raise contents.ContentError(f"the images are {where}, but the examples have the splits {', '.join(known)}")
    uri = artifact_utils.get_split_uri(list(examples), split)
    return _read(contents.list_records(uri, image_key), where, most)


def _read(sources: Sequence[contents.Source], where: str, most: int) -> Photographs:
    limit = compute_max_file_bytes(MAX_PIXELS)
    kept: list[tuple[int, str, str, bytes]] = []  # a heap with the largest hash on top
    taken: set[str] = set()
    rejected: dict[str, str] = {}
    for source in sources:
        try:
            for name, encoded in contents.read_images(source, limit):
                digest = hashlib.sha256(encoded).hexdigest()
                if digest in taken or (len(kept) == most and -int(digest, 16) < kept[0][0]):
                    continue
                if fault := _find_fault(encoded, limit):
                    rejected[contents.make_legible(name)] = fault
                    continue
                taken.add(digest)
                entry = (-int(digest, 16), digest, contents.make_legible(name), encoded)
                if len(kept) < most:
                    heapq.heappush(kept, entry)
                else:
                    taken.discard(heapq.heapreplace(kept, entry)[1])
        except (OSError, EOFError, zlib.error, tfrecord.DamagedError) as error:
            rejected[contents.make_legible(source.name if source.kind == "file" else source.path)] = str(error)
    for name, fault in rejected.items():
        _LOGGER.warning("%s: %s", name, fault)
    if not kept:
        faults = [f"{name}: {fault}" for name, fault in list(rejected.items())[:_SHOWN]]
        raise contents.ContentError(
            f"{where}: there is no image that can be used" + (f" ({'; '.join(faults)})" if faults else "")
        )
    chosen = sorted(kept, reverse=True)
    return Photographs(
        {digest: _decode(encoded) for _, digest, _, encoded in chosen},
        {digest: name for _, digest, name, _ in chosen},
        rejected,
    )


def _find_fault(encoded: bytes, limit: int) -> str:
    if len(encoded) > limit:
        return f"more than {limit} bytes"
    try:
        images.decode(encoded, MAX_PIXELS)
    except images.RejectedImageError as rejection:
        return str(rejection)
    return ""


def _decode(encoded: bytes) -> Image.Image:
    image = images.decode(encoded, MAX_PIXELS).image
    image.thumbnail((LONGER_SIDE, LONGER_SIDE), Image.Resampling.LANCZOS)
    return image

"""The catalogue: style pictures, where they come from, under which licence, and how they are best rendered.

`catalog.yaml` is a list; `file` is relative to it, `preset` holds fields of `Settings` that differ from the defaults::

    - id: great-wave
      file: pictures/great-wave.jpg
      title: The Great Wave off Kanagawa
      artist: Katsushika Hokusai
      year: 1831
      licence: Public domain
      source: https://...
      sha256: 5f6c...
      preset: {style_scale: 0.75}
"""

import atexit
import contextlib
import hashlib
import os
import stat
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from atelier import builtin_names, images, storage
from atelier.errors import AtelierError
from atelier.files import leftovers, tree
from atelier.layout import MAX_PIXELS
from components.style_catalog import builtin, entry
from components.style_renderer.engine.settings import Settings

FILE = "catalog.yaml"
MIN_SIDE = 64
"""Pixels of the shorter side: below, there is no stroke to learn from."""
UNKNOWN_LICENCE = "unknown"
"""Of pictures in a plain folder."""

_SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")


class CatalogError(AtelierError):
    """A catalogue that cannot be used; one line a fault, naming file and entry."""


@dataclass(frozen=True)
class Style:
    """One style of a catalogue.

    Attributes:
      id: lower-case letters, digits and hyphens; unique in its catalogue.
      file: the picture, absolute.
      title: of the picture.
      artist: who made it; "" if unknown.
      year: a number, or a text where it is less exact.
      licence: under which the picture may be used.
      source: where it was found.
      sha256: of the file's bytes, 64 hex digits.
      preset: fields of `Settings` that this style looks best with.
    """

    id: str
    file: Path
    title: str
    artist: str
    year: int | str | None
    licence: str
    source: str
    sha256: str
    preset: Mapping[str, Any] = field(default_factory=dict, hash=False)


def open_catalog(name: str | Path, builtin_folder: Path | None = None) -> tuple[Style, ...]:
    """The styles of a catalogue.

    Args:
      name: `builtin`, a `catalog.yaml`, or a folder of pictures.
      builtin_folder: where the built-in catalogue is written; by default, a folder that is removed at exit.

    Raises:
      CatalogError: it cannot be used.
    """
    if isinstance(name, str) and builtin_names.resolve(name, (builtin_names.CATALOG,)):
        folder = builtin_folder
        if folder is None:
            kept = contextlib.ExitStack()
            folder = kept.enter_context(leftovers.scratch("styles"))
            atexit.register(kept.close)
        try:
            return load(builtin.write(folder))
        except builtin.BuiltinError as error:
            raise CatalogError(str(error)) from None
    path = Path(name)
    return of_folder(path) if path.is_dir() else load(path)


def load(path: Path) -> tuple[Style, ...]:
    """Reads and checks a `catalog.yaml`, its pictures included.

    Raises:
      CatalogError: names every fault of the file, one line each.
    """
    entries = read(path)
    if not entries:
        raise CatalogError(f"{path}: it holds no entries; `atelier styles add` writes one")
    styles: list[Style] = []
    faults: list[str] = []
    ids: dict[str, int] = {}
    for number, values in enumerate(entries, 1):
        style_id = values.get("id") if isinstance(values, dict) else None
        here = f"entry {number} ({style_id})" if style_id and str(style_id).isprintable() else f"entry {number}"
        found = entry.faults(values)
        if not found:
            style = _style(path, values)
            found = _picture_faults(style)
            styles.append(style)
        if isinstance(style_id, str) and (first := ids.setdefault(style_id, number)) != number:
            found.append(f"entry {first} has the id {style_id} already")
        faults += [f"{path}: {here}: {fault}" for fault in found]
    if faults:
        raise CatalogError("\n".join(faults))
    return tuple(styles)


def of_folder(folder: Path) -> tuple[Style, ...]:
    """The catalogue in `folder`, or, where there is none, every picture in it as a style of unknown licence.

    Pictures beside a catalogue that has no entry for them have two meanings, and are a fault.

    Raises:
      CatalogError: names every fault, one line each.
    """
    try:
        names = [found.name for found in tree.entries(folder) if not tree.is_ignored(found.name)]
    except OSError as error:
        raise CatalogError(f"{folder}: {error.strerror}; give a {FILE} or a folder of pictures") from None
    files = [folder / name for name in names if name.lower().endswith(_SUFFIXES)]
    if (folder / FILE).exists():
        styles_there = load(folder / FILE)
        if strays := sorted({file.name for file in files} - {style.file.name for style in styles_there}):
            raise CatalogError(
                f"{folder}: {strays[0]} is beside {FILE}, but not in it: add it with `atelier styles add`, "
                f"or give {folder / FILE} to leave it out"
            )
        return styles_there
    if not files:
        raise CatalogError(f"{folder}: neither a {FILE} nor a picture ({', '.join(_SUFFIXES)}) is in it")
    styles: list[Style] = []
    faults: list[str] = []
    for file in files:
        try:
            encoded = read_picture(file)
        except CatalogError as error:
            faults.append(str(error))
            continue
        name = entry.unique_id(file.stem, {style.id for style in styles})
        digest = hashlib.sha256(encoded).hexdigest()
        title = os.fsencode(file.stem).decode("utf-8", "backslashreplace")
        styles.append(Style(name, file.absolute(), title, "", None, UNKNOWN_LICENCE, "", digest))
    if faults:
        raise CatalogError("\n".join(faults))
    return tuple(styles)


def chosen(name: str, styles: Sequence[Style], ids: Sequence[str]) -> tuple[Style, ...]:
    """Those of the catalogue `name` with these ids, in their order; all of them if there are no ids.

    Raises:
      CatalogError: it lacks one; the nearest is named.
    """
    by_id = {style.id: style for style in styles}
    check_ids(name, by_id, ids)
    return tuple(by_id[style_id] for style_id in dict.fromkeys(ids)) or tuple(styles)


def check_ids(name: str, known: Collection[str], ids: Sequence[str]) -> None:
    """Compares `ids` with those that the catalog `name` has.

    Raises:
      CatalogError: it lacks one; the nearest is named.
    """
    unknown = [style_id for style_id in ids if style_id not in known]
    if unknown:
        lines = (f"{name}: there is no style {style_id}; {entry.nearest(style_id, known)}" for style_id in unknown)
        raise CatalogError("\n".join(lines))


def pixels(style: Style) -> np.ndarray:
    """The style's picture, [H, W, 3] uint8 RGB, upright.

    Raises:
      CatalogError: the file is no longer what the catalogue says.
    """
    encoded = read_picture(style.file)
    if (found := hashlib.sha256(encoded).hexdigest()) != style.sha256:
        raise CatalogError(f"{style.file}: {_hash_fault(style.sha256, found)}")
    return np.asarray(images.decode(encoded, MAX_PIXELS).image)


def settings_for(style: Style, overrides: Mapping[str, Any]) -> Settings:
    """The defaults, over them the style's preset, over that `overrides` (fields of `Settings`).

    Raises:
      CatalogError: names the fields that are wrong.
    """
    # Named, so that layers and weights are checked against this one network.
    values = {"network": Settings().network, **style.preset, **overrides}
    if faults := entry.preset_faults(values, "settings"):
        raise CatalogError("\n".join(f"style {style.id}: {fault}" for fault in faults))
    return Settings(**values)


def fingerprint(name: str) -> str:
    """Changes when the catalogue or any of its pictures does: 16 hex digits; "" for one in an object store.

    Args:
      name: as for `open_catalog`.

    Raises:
      CatalogError: the catalogue cannot be read.
    """
    if builtin_names.resolve(name, (builtin_names.CATALOG,)):
        return builtin.fingerprint()
    if storage.is_url(name):
        return ""
    path = Path(name)
    digest = hashlib.sha256()
    if path.is_dir() and not (path / FILE).exists():
        for style in of_folder(path):
            digest.update(f"{style.file.name}\0{style.sha256}\n".encode())
        return digest.hexdigest()[:16]
    path = path / FILE if path.is_dir() else path
    digest.update(hashlib.sha256(_bytes(path)).digest())
    for values in read(path):
        file = values.get("file") if isinstance(values, dict) else None
        if isinstance(file, str) and (path.parent / file).is_file():
            digest.update(hashlib.sha256(_bytes(path.parent / file)).digest())
    return digest.hexdigest()[:16]


def read(path: Path) -> list[Any]:
    """The entries of a `catalog.yaml` as YAML gives them, unchecked.

    Raises:
      CatalogError: it is no YAML list.
    """
    try:
        entries = yaml.safe_load(_bytes(path).decode("utf-8"))
    except UnicodeDecodeError:
        raise CatalogError(
            f"{path}: it is not UTF-8 text; expected a catalog.yaml, a folder of images or `builtin` "
            "(an image alone: give its folder, or write it into a catalog with `atelier styles add`)"
        ) from None
    except yaml.YAMLError as error:
        raise CatalogError(f"{path}: it is not YAML: {' '.join(str(error).split())}") from None
    if entries is not None and not isinstance(entries, list):
        raise CatalogError(f"{path}: it must be a list of entries, each beginning with `- id: ...`")
    return entries or []


def read_picture(file: Path) -> bytes:
    """The bytes of a picture that can be a style.

    Raises:
      CatalogError: it cannot be read, is no picture, or is tiny.
    """
    encoded = _bytes(file)
    if fault := _picture_fault(encoded):
        raise CatalogError(f"{file}: {fault}")
    return encoded


def _style(path: Path, values: dict[str, Any]) -> Style:
    return Style(
        id=values["id"],
        file=(path.parent / values["file"]).absolute(),
        title=values["title"],
        artist=values.get("artist") or "",
        year=values.get("year"),
        licence=values["licence"],
        source=values.get("source") or "",
        sha256=values["sha256"],
        preset=values.get("preset") or {},
    )


def _picture_faults(style: Style) -> list[str]:
    try:
        encoded = _bytes(style.file)
    except CatalogError as error:
        return [str(error)]
    found = hashlib.sha256(encoded).hexdigest()
    faults = [] if found == style.sha256 else [f"{style.file.name}: {_hash_fault(style.sha256, found)}"]
    if fault := _picture_fault(encoded):
        faults.append(f"{style.file.name}: {fault}")
    return faults


def _hash_fault(expected: str, found: str) -> str:
    return f"its SHA-256 is {found}, the catalogue says {expected}; restore the picture or correct the entry"


def _picture_fault(encoded: bytes) -> str:
    try:
        image = images.decode(encoded, MAX_PIXELS).image
    except images.RejectedImageError as refusal:
        return str(refusal)
    if min(image.size) < MIN_SIDE:
        return f"{image.width} x {image.height} pixels are too few; a style needs {MIN_SIDE} on the shorter side"
    return ""


def _bytes(path: Path) -> bytes:
    try:
        if stat.S_ISREG(path.stat().st_mode):
            return path.read_bytes()
    except OSError as error:
        raise CatalogError(f"{path}: {error.strerror}") from None
    except ValueError as error:  # a NUL in the name
        raise CatalogError(f"{path}: {error}") from None
    raise CatalogError(f"{path}: it is not a file")

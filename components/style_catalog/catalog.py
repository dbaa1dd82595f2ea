"""The catalog: style images, where they come from, under which license, and how they are best rendered.

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
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from atelier import builtin_names, storage
from atelier.files import leftovers, tree
from atelier.files.slugs import make_unique_id
from components.style_catalog import builtin, entry
from components.style_catalog.style import CatalogError, Style, find_image_faults, load_pixels, read_file, read_image

FILE = "catalog.yaml"
UNKNOWN_LICENCE = "unknown"
"""Of images in a plain folder."""

_SUFFIXES = (
    *(".avif", ".bmp", ".gif", ".heic", ".heif", ".jfif", ".jpe", ".jpeg", ".jpg", ".mpo", ".png"),
    *(".tif", ".tiff", ".webp"),
)
"""Of files that are meant as images. Those of formats that cannot be read are faults, and not left out."""


def open_catalog(name: str | Path, builtin_folder: Path | None = None, ids: Sequence[str] = ()) -> tuple[Style, ...]:
    """Reads the styles of a catalog.

    Args:
      name: `builtin`, a `catalog.yaml`, or a folder of images.
      builtin_folder: where the built-in catalog is written; by default, a folder that is removed at exit.
      ids: the styles that the caller selects: no other is drawn of the built-in catalog.

    Raises:
      CatalogError: it cannot be used, or the built-in catalog lacks one of `ids`.
    """
    if isinstance(name, str) and builtin_names.resolve(name, (builtin_names.CATALOG,)):
        check_ids(str(name), builtin.list_ids(), ids)
        folder = builtin_folder
        if folder is None:
            kept = contextlib.ExitStack()
            folder = kept.enter_context(leftovers.create_scratch("styles"))
            atexit.register(kept.close)
        try:
            return load_catalog(builtin.write_catalog(folder, ids))
        except builtin.BuiltinError as error:
            raise CatalogError(str(error)) from None
    path = Path(name)
    return load_folder(path) if path.is_dir() else load_catalog(path)


def load_catalog(path: Path) -> tuple[Style, ...]:
    """Reads and checks a `catalog.yaml`, its images included.

    Raises:
      CatalogError: names every fault of the file, one line each.
    """
    entries = read_entries(path)
    if not entries:
        raise CatalogError(f"{path}: it holds no entries; `atelier styles add` writes one")
    styles: list[Style] = []
    faults: list[str] = []
    ids: dict[str, int] = {}
    for number, values in enumerate(entries, 1):
        style_id = values.get("id") if isinstance(values, dict) else None
        here = f"entry {number} ({style_id})" if style_id and str(style_id).isprintable() else f"entry {number}"
        try:
            styles.append(_make_style(path, entry.parse_entry(values), values))
            found = find_image_faults(styles[-1])
        except entry.EntryError as error:
            found = error.faults
        if isinstance(style_id, str) and (first := ids.setdefault(style_id, number)) != number:
            found.append(f"entry {first} has the id {style_id} already")
        faults += [f"{path}: {here}: {fault}" for fault in found]
    if faults:
        raise CatalogError("\n".join(faults))
    return tuple(styles)


def load_published(uri: str) -> dict[str, np.ndarray]:
    """Loads the images of a catalog that StyleCatalog published: [H, W, 3] uint8 RGB by style id, in its order.

    Raises:
      CatalogError: the catalog or one of its images is faulty.
    """
    with storage.read_folder(uri) as folder:
        return {style.id: load_pixels(style) for style in load_catalog(folder / FILE)}


def load_folder(folder: Path) -> tuple[Style, ...]:
    """Reads the catalog in `folder`, or, where there is none, every image in it as a style of unknown license.

    Images beside a catalog that has no entry for them have two meanings, and are a fault.

    Raises:
      CatalogError: names every fault, one line each.
    """
    try:
        names = [found.name for found in tree.list_entries(folder) if not tree.is_ignored(found.name)]
    except OSError as error:
        raise CatalogError(f"{folder}: {error.strerror}; give a {FILE} or a folder of images") from None
    files = [folder / name for name in names if name.lower().endswith(_SUFFIXES)]
    if (folder / FILE).exists():
        styles_there = load_catalog(folder / FILE)
        if strays := sorted({file.name for file in files} - {style.file.name for style in styles_there}):
            raise CatalogError(
                f"{folder}: {strays[0]} is beside {FILE}, but not in it: add it with `atelier styles add`, "
                f"or give {folder / FILE} to leave it out"
            )
        return styles_there
    if not files:
        raise CatalogError(f"{folder}: neither a {FILE} nor an image ({', '.join(_SUFFIXES)}) is in it")
    styles: list[Style] = []
    faults: list[str] = []
    for file in files:
        try:
            encoded = read_image(file)
        except CatalogError as error:
            faults.append(str(error))
            continue
        name = make_unique_id(file.stem, {style.id for style in styles}, "style")
        digest = hashlib.sha256(encoded).hexdigest()
        title = os.fsencode(file.stem).decode("utf-8", "backslashreplace")
        styles.append(Style(name, file.absolute(), title, "", None, UNKNOWN_LICENCE, "", digest))
    if faults:
        raise CatalogError("\n".join(faults))
    return tuple(styles)


def select_styles(name: str, styles: Sequence[Style], ids: Sequence[str]) -> tuple[Style, ...]:
    """Selects those of the catalog `name` with these ids, in their order; all of them if there are no ids.

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
        lines = (f"{name}: there is no style {style_id}; {entry.find_nearest(style_id, known)}" for style_id in unknown)
        raise CatalogError("\n".join(lines))


def compute_fingerprint(name: str) -> str:
    """Changes when the catalog or any of its images does: 16 hex digits; "" for one in an object store.

    Args:
      name: as for `open_catalog`.

    Raises:
      CatalogError: the catalog cannot be read.
    """
    if builtin_names.resolve(name, (builtin_names.CATALOG,)):
        return builtin.compute_fingerprint()
    if storage.is_url(name):
        return ""
    path = Path(name)
    digest = hashlib.sha256()
    if path.is_dir() and not (path / FILE).exists():
        for style in load_folder(path):
            digest.update(f"{style.file.name}\0{style.sha256}\n".encode())
        return digest.hexdigest()[:16]
    path = path / FILE if path.is_dir() else path
    digest.update(hashlib.sha256(read_file(path)).digest())
    for values in read_entries(path):
        file = values.get("file") if isinstance(values, dict) else None
        if isinstance(file, str) and (path.parent / file).is_file():
            digest.update(hashlib.sha256(read_file(path.parent / file)).digest())
    return digest.hexdigest()[:16]


def read_entries(path: Path) -> list[Any]:
    """Reads the entries of a `catalog.yaml` as YAML gives them, unchecked.

    Raises:
      CatalogError: it is no YAML list.
    """
    try:
        entries = yaml.safe_load(read_file(path).decode("utf-8"))
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


def _make_style(path: Path, parsed: entry.Entry, values: dict[str, Any]) -> Style:
    facts = parsed.model_dump(exclude={"file", "preset"})
    # The preset as it is written: its defaults are those of whoever renders.
    return Style(file=(path.parent / parsed.file).absolute(), preset=values.get("preset") or {}, **facts)

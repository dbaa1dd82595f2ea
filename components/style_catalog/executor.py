"""The work of StyleCatalog."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

from PIL import Image
from tfx import types

from atelier import storage
from atelier.files import leftovers
from components.style_catalog import catalog, entry
from components.style_catalog.style import CatalogError, Style, load_pixels

THUMBNAIL = 256
"""Longer side of a thumbnail in pixels."""


def publish(name: str, styles: str, published: types.Artifact) -> None:
    """Writes the catalog `name`, a path or URL, to `published`, reduced to `styles` (JSON list of ids; empty: all).

    Raises:
      CatalogError: the catalog is faulty, or lacks a style.
    """
    ids = _parse_ids(styles)
    if storage.is_url(name):
        parent, file = name.rsplit("/", 1) if name.endswith((".yaml", ".yml")) else (name, "")
        with storage.read_folder(parent) as copy:
            publish(str(copy / file), styles, published)
        return
    with leftovers.create_scratch("styles") as scratch:
        opened = catalog.open_catalog(name, Path(scratch, "builtin"), ids)
        kept = catalog.select_styles(name, opened, ids)
        folder = Path(scratch, "published")
        _write(kept, folder)
        catalog.load_catalog(folder / catalog.FILE)
        storage.copy_folder(str(folder), published.uri)
    published.set_string_custom_property("styles", ",".join(style.id for style in kept))
    published.set_int_custom_property("count", len(kept))


def _parse_ids(styles: str) -> list[str]:
    try:
        ids = json.loads(styles)
    except json.JSONDecodeError:
        ids = None
    if not isinstance(ids, list) or not all(isinstance(style_id, str) for style_id in ids):
        raise CatalogError(f"styles is {styles!r}: it must be a JSON list of ids, [] for all")
    return ids


def _write(styles: Sequence[Style], folder: Path) -> None:
    for name in ("pictures", "thumbnails"):
        (folder / name).mkdir(parents=True)
    entries = []
    for style in styles:
        file = f"pictures/{style.id}{style.file.suffix.lower()}"
        shutil.copyfile(style.file, folder / file)
        entries.append({**vars(style), "file": file})
        thumbnail = Image.fromarray(load_pixels(style))
        thumbnail.thumbnail((THUMBNAIL, THUMBNAIL), Image.Resampling.LANCZOS, reducing_gap=3.0)
        thumbnail.save(folder / "thumbnails" / f"{style.id}.jpg", quality=85)
    (folder / catalog.FILE).write_text(entry.dump_entries(entries), encoding="utf-8")

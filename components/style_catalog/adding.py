"""Adding a style to a catalog."""

import contextlib
import hashlib
import re
import shutil
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from atelier import images
from atelier.files import leftovers
from atelier.files.replacing import replace_text
from atelier.files.slugs import make_unique_id
from atelier.layout import MAX_PIXELS
from components.style_catalog import catalog, entry
from components.style_catalog.style import CatalogError, Style, read_image
from components.style_renderer.engine.settings import Settings

_FOLDER = "pictures"
_INDENT = re.compile("^( *)- ", re.MULTILINE)
_SUFFIXES = {"JPEG": ".jpg", "MPO": ".jpg", "TIFF": ".tif"}


def add_style(
    catalog_file: Path,
    image_file: Path,
    *,
    title: str,
    licence: str,
    artist: str = "",
    year: int | str | None = None,
    source: str = "",
    id: str | None = None,  # noqa: A002  # the key's own name
    preset: Mapping[str, Any] | None = None,
) -> Style:
    """Writes an entry at the end of a catalog, and copies its image into `pictures/` beside it.

    What stands in the file, comments included, stays as it is. The file is replaced in one step: a crash leaves the
    old one. Processes and threads that add to one catalog take turns.

    Args:
      catalog_file: a `catalog.yaml` (made if it does not exist), or the folder that it is in.
      image_file: the style's image; one that lies in the catalog's folder already stays there.
      title: of the image.
      licence: under which the image may be used.
      artist: who made it.
      year: a number, or a text where it is less exact.
      source: where it was found.
      id: by default made from the title.
      preset: fields of `Settings` that this style looks best with.

    Raises:
      CatalogError: the catalog, the image or a value is not right, or the image is there already. Nothing was
        changed then.
    """
    if catalog_file.is_dir():
        catalog_file = catalog_file / catalog.FILE
    encoded = read_image(image_file)
    digest = hashlib.sha256(encoded).hexdigest()
    values: dict[str, Any] = {"id": id, "title": title, "artist": artist, "year": year, "licence": licence}
    values |= {"source": source, "sha256": digest, "preset": preset}
    if id is None:
        values["id"] = make_unique_id(title, (), "style")
    try:
        entry.parse_entry({**values, "file": _FOLDER})
    except entry.EntryError as error:
        raise CatalogError("\n".join(f"{image_file}: {fault}" for fault in error.faults)) from None
    values["preset"] = Settings(**(preset or {})).model_dump(mode="json", exclude_unset=True)
    with _lock(catalog_file.parent):
        return _add_entry(catalog_file, image_file, encoded, values, is_id_given=id is not None)


def _add_entry(
    catalog_file: Path, image_file: Path, encoded: bytes, values: dict[str, Any], *, is_id_given: bool
) -> Style:
    known = _read_existing(catalog_file)
    if same := [style.id for style in known if style.sha256 == values["sha256"]]:
        raise CatalogError(f"{image_file}: the catalog {catalog_file} already holds this image, as {same[0]}")
    taken = {style.id for style in known}
    if is_id_given and values["id"] in taken:
        raise CatalogError(f"{catalog_file}: the id {values['id']} is taken; give another")
    if not is_id_given:
        values["id"] = make_unique_id(values["title"], taken, "style")
    folder = catalog_file.parent.resolve()
    # A name that is not UTF-8 cannot stand in the catalog: the image is copied under another one.
    inside = image_file.resolve().is_relative_to(folder) and not _has_surrogates(str(image_file.resolve()))
    file = image_file.resolve() if inside else _copy(image_file, encoded, folder / _FOLDER, values["id"])
    values["file"] = file.relative_to(folder).as_posix()
    try:
        _replace(catalog_file, _append(catalog_file, values))
    except CatalogError:
        if not inside:
            file.unlink()
        raise
    return catalog.load_catalog(catalog_file)[-1]


@contextlib.contextmanager
def _lock(folder: Path) -> Iterator[None]:
    """Makes the catalog's folder, and keeps others from adding to the catalog until the block ends."""
    with contextlib.ExitStack() as stack:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            stack.enter_context(leftovers.lock(folder))
        except OSError as error:
            raise CatalogError(f"{folder}: the folder cannot be used: {error.strerror}") from error
        yield


def _has_surrogates(path: str) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in path)


def _read_existing(catalog_file: Path) -> tuple[Style, ...]:
    if not catalog_file.exists() or not catalog.read_entries(catalog_file):
        return ()
    return catalog.load_catalog(catalog_file)


def _copy(image_file: Path, encoded: bytes, folder: Path, style_id: str) -> Path:
    """Copies an image under the style's name; a file of that name that no entry knows is never overwritten."""
    pillow_format = images.decode(encoded, MAX_PIXELS).format
    suffix = _SUFFIXES.get(pillow_format, f".{pillow_format.lower()}")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        name = make_unique_id(style_id, {file.stem for file in folder.iterdir()}, "style")
    except OSError as error:
        raise CatalogError(f"{folder}: the folder cannot be used: {error.strerror}") from error
    copy = folder / f"{name}{suffix}"
    try:
        shutil.copyfile(image_file, copy)
    except OSError as error:
        copy.unlink(missing_ok=True)
        raise CatalogError(f"{copy}: the image cannot be copied: {error.strerror}") from error
    return copy


def _append(catalog_file: Path, values: dict[str, Any]) -> str:
    """The file's text with one more entry; written again, below its leading comments, if it is in an unusual form."""
    old = catalog_file.read_text(encoding="utf-8") if catalog_file.exists() else ""
    new = entry.dump_entries([values])
    expected = [*(yaml.safe_load(old) or []), *yaml.safe_load(new)]
    indent = _INDENT.search(old)
    text = (old if not old or old.endswith("\n") else f"{old}\n") + textwrap.indent(new, indent[1] if indent else "")
    with contextlib.suppress(yaml.YAMLError):
        if yaml.safe_load(text) == expected:
            return text
    lines = old.splitlines(keepends=True)
    comments = next((i for i, line in enumerate(lines) if line.strip() and not line.startswith("#")), len(lines))
    return "".join(lines[:comments]) + entry.dump_entries(expected)


def _replace(file: Path, text: str) -> None:
    try:
        replace_text(file, text)
    except OSError as error:
        raise CatalogError(f"{file}: the catalog cannot be written: {error.strerror}") from error

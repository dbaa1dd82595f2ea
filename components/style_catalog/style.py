"""One style: its image and facts, and the settings that it is rendered with."""

import hashlib
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from atelier import images
from atelier.errors import AtelierError
from atelier.layout import MAX_PIXELS
from components.style_catalog import entry
from components.style_renderer.engine.settings import Settings

MIN_SIDE = 64
"""Pixels of the shorter side: below, there is no stroke to learn from."""


class CatalogError(AtelierError):
    """A catalog that cannot be used; one line for each fault, naming file and entry."""


@dataclass(frozen=True)
class Style:
    """One style of a catalog.

    Attributes:
      id: lower-case letters, digits and hyphens; unique in its catalog.
      file: the image, absolute.
      title: of the image.
      artist: who made it; "" if unknown.
      year: a number, or a text where it is less exact.
      licence: under which the image may be used.
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


def load_pixels(style: Style) -> np.ndarray:
    """Loads the style's image, [H, W, 3] uint8 RGB, upright.

    Raises:
      CatalogError: the file is no longer what the catalog says.
    """
    encoded = read_image(style.file)
    if (found := hashlib.sha256(encoded).hexdigest()) != style.sha256:
        raise CatalogError(f"{style.file}: {_explain_hash(style.sha256, found)}")
    return np.asarray(images.decode(encoded, MAX_PIXELS).image)


def resolve_settings(style: Style, overrides: Mapping[str, Any]) -> Settings:
    """Returns the defaults, over them the style's preset, over that `overrides` (fields of `Settings`).

    Raises:
      CatalogError: names the fields that are wrong.
    """
    # Named, so that layers and weights are checked against this one network.
    values = {"network": Settings().network, **style.preset, **overrides}
    try:
        entry.check_settings(values, "settings")
    except entry.EntryError as error:
        raise CatalogError("\n".join(f"style {style.id}: {fault}" for fault in error.faults)) from None
    return Settings(**values)


def find_image_faults(style: Style) -> list[str]:
    """Returns what is wrong with the style's image, one line each."""
    try:
        encoded = read_file(style.file)
    except CatalogError as error:
        return [str(error)]
    found = hashlib.sha256(encoded).hexdigest()
    faults = [] if found == style.sha256 else [f"{style.file.name}: {_explain_hash(style.sha256, found)}"]
    if fault := _find_fault(encoded):
        faults.append(f"{style.file.name}: {fault}")
    return faults


def read_image(file: Path) -> bytes:
    """Reads an image that can be a style.

    Raises:
      CatalogError: it cannot be read, is no image, or is tiny.
    """
    encoded = read_file(file)
    if fault := _find_fault(encoded):
        raise CatalogError(f"{file}: {fault}")
    return encoded


def read_file(path: Path) -> bytes:
    """Reads a regular file.

    Raises:
      CatalogError: it cannot be read, or is none.
    """
    try:
        if stat.S_ISREG(path.stat().st_mode):
            return path.read_bytes()
    except OSError as error:
        raise CatalogError(f"{path}: the file cannot be read: {error.strerror}") from None
    except ValueError as error:  # a NUL in the name
        raise CatalogError(f"{path}: {error}") from None
    raise CatalogError(f"{path}: it is not a file")


def _explain_hash(expected: str, found: str) -> str:
    return f"its SHA-256 is {found}, the catalog says {expected}; restore the image or correct the entry"


def _find_fault(encoded: bytes) -> str:
    try:
        image = images.decode(encoded, MAX_PIXELS).image
    except images.RejectedImageError as rejection:
        return str(rejection)
    if min(image.size) < MIN_SIDE:
        return f"{image.width} x {image.height} pixels are too few; a style needs {MIN_SIDE} on the shorter side"
    return ""

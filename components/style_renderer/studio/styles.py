"""The styles that the page offers: the built-in catalog, and a catalog of the user's own beside the jobs."""

import threading
from dataclasses import asdict
from pathlib import Path
from typing import Any

from atelier.files import leftovers
from atelier.files.slugs import make_unique_id
from components.style_catalog import adding, builtin, catalog
from components.style_catalog.style import CatalogError, Style
from components.style_renderer.studio import uploads
from components.style_renderer.studio.folder import explain_full_disk
from components.style_renderer.studio.request import StudioError

_DRAWN_BY = "drawn_by.txt"
THUMBNAIL = 192
"""Longer side in pixels."""


class Styles:
    """The catalogs, read once."""

    def __init__(self, folder: Path) -> None:
        """Reads the catalogs in `folder`, and draws the built-in one into it unless it is there.

        Raises:
          CatalogError: a catalog is faulty.
        """
        self._own = folder / "own" / catalog.FILE
        self._lock = threading.Lock()
        drawn = folder / "builtin"
        marker = drawn / _DRAWN_BY
        fingerprint = builtin.compute_fingerprint()
        if not marker.is_file() or marker.read_text() != fingerprint:
            builtin.write_catalog(drawn)
            marker.write_text(fingerprint)
        self._styles = {style.id: style for style in catalog.load_catalog(drawn / catalog.FILE)}
        if self._own.is_file():
            self._styles |= {style.id: style for style in catalog.load_catalog(self._own)}

    def list(self) -> list[dict[str, Any]]:
        """What the page shows of each."""
        shown = ("id", "title", "artist", "year", "licence", "source")
        return [{name: getattr(style, name) for name in shown} for style in self._styles.values()]

    def get(self, identity: str) -> Style:
        """A style.

        Raises:
          StudioError: there is none of this id.
        """
        if identity not in self._styles:
            raise StudioError(f"there is no style {identity}; choose another, or add it again")
        return self._styles[identity]

    def describe(self, identities: tuple[str, ...]) -> dict[str, dict[str, Any]]:
        """All facts by id, for the worker."""
        return {
            identity: asdict(self.get(identity)) | {"file": str(self.get(identity).file)} for identity in identities
        }

    def encode_thumbnail(self, identity: str) -> bytes:
        """A small JPEG."""
        return uploads.make_view(self.get(identity).file, THUMBNAIL)

    def add(self, encoded: bytes, title: str, licence: str, artist: str = "") -> str:
        """Adds an image to the user's catalog; returns the style's id.

        Raises:
          StudioError: title or license is missing, or the image cannot be a style.
          OSError: the disk is full.
        """
        # The next title's id depends on this one.
        with self._lock, leftovers.create_scratch("style") as scratch:
            identity = make_unique_id(title, set(self._styles), "style")
            file = scratch / "upload"
            file.write_bytes(encoded)
            try:
                style = adding.add_style(self._own, file, title=title, licence=licence, artist=artist, id=identity)
            except CatalogError as error:
                if isinstance(cause := error.__cause__, OSError) and explain_full_disk(cause):
                    raise cause from None
                raise StudioError(str(error).splitlines()[0].replace(f"{file}: ", "")) from None
            self._styles = self._styles | {style.id: style}
            return style.id


def read(described: dict[str, Any]) -> Style:
    """The style that `describe` described."""
    return Style(**described | {"file": Path(described["file"])})

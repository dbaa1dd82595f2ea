"""Writes the page into a folder that any static host can serve."""

import json
import os
import uuid
from collections.abc import Mapping
from pathlib import Path

from atelier.files import leftovers
from serving.web.errors import WebError
from serving.web.headers import SECURITY_HEADERS
from serving.web.site import SITE_FILE, SiteFile

HEADERS_FILE = "_headers"
"""Hosts such as Netlify and Cloudflare Pages read from this file which headers to send."""


def export(files: Mapping[str, SiteFile], folder: Path) -> None:
    """Writes the files; an export that is there is replaced when the new one is complete.

    What somebody has put beside an export, such as `.git` or `CNAME`, stays.

    Raises:
      WebError: the folder holds something else, or cannot be written.
    """
    try:
        place = folder.resolve()
        if place.exists() and not _is_export(place) and (not place.is_dir() or any(place.iterdir())):
            raise WebError(f"{folder}: it holds something else than an exported page; give an empty or a new folder")
        leftovers.sweep(place.parent.glob(f".{place.name}-*"))
        with leftovers.create_owned(place.with_name(f".{place.name}-{uuid.uuid4().hex[:12]}")) as partial:
            page = partial / "page"
            _write(files, page)
            if place.exists():
                _replace(page, place, partial)
            else:
                page.rename(place)
    except OSError as error:
        raise WebError(f"{error.filename or folder}: cannot be written: {error.strerror}") from None


def _is_export(place: Path) -> bool:
    """Whether the folder's `SITE_FILE` is one of ours: other tools have files of this name, too."""
    try:
        described = json.loads((place / SITE_FILE).read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(described, dict) and {"atelier", "runtime"} <= described.keys()


def _write(files: Mapping[str, SiteFile], page: Path) -> None:
    for path, file in files.items():
        target = page / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(file.content)
    lines = ["/*", *(f"  {name}: {value}" for name, value in SECURITY_HEADERS.items()), ""]
    (page / HEADERS_FILE).write_text("\n".join(lines), encoding="utf-8")


def _replace(page: Path, place: Path, partial: Path) -> None:
    """Moves what is in `page` into `place`, and what had these names there into `partial`."""
    earlier = partial / "earlier"
    earlier.mkdir()
    for new in sorted(page.iterdir()):
        target = place / new.name
        if os.path.lexists(target):
            target.rename(earlier / new.name)
        new.rename(target)

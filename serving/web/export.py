"""Writes the page into a folder that any static host can serve."""

import shutil
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

    Raises:
      WebError: the folder holds something else, or cannot be written.
    """
    try:
        if folder.exists() and not (folder / SITE_FILE).is_file() and (not folder.is_dir() or any(folder.iterdir())):
            raise WebError(f"{folder}: it holds something else than an exported page; give an empty or a new folder")
        place = folder.absolute()
        leftovers.sweep(place.parent.glob(f".{place.name}-*"))
        with leftovers.create_owned(place.with_name(f".{place.name}-{uuid.uuid4().hex[:12]}")) as partial:
            for path, file in files.items():
                target = partial / path
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(file.content)
            lines = ["/*", *(f"  {name}: {value}" for name, value in SECURITY_HEADERS.items()), ""]
            (partial / HEADERS_FILE).write_text("\n".join(lines), encoding="utf-8")
            if place.exists():
                shutil.rmtree(place)
            partial.rename(place)
    except OSError as error:
        raise WebError(f"{error.filename or folder}: cannot be written: {error.strerror}") from None

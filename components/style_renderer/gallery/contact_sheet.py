"""The gallery as one small image: styles across, contents down, originals at the edges."""

import io
from collections.abc import Iterator

from PIL import Image, ImageOps

from atelier import storage
from components.style_renderer.gallery import previews
from components.style_renderer.gallery.gallery import Page

FILE = "contact_sheet.jpg"

_CELL, _GAP, _MOST_ROWS = 160, 6, 12


def make(page: Page, directory: str) -> bytes:
    """A JPEG of square cells, cut out of the middle of each image; the strongest rendering of each pair is shown.

    Args:
      page: of the gallery; the first twelve contents are shown.
      directory: where its images are.
    """
    rows = min(len(page.contents), _MOST_ROWS)
    width, height = (_GAP + (count + 1) * (_CELL + _GAP) for count in (len(page.styles), rows))
    sheet = Image.new("RGB", (width, height), "white")
    for row, column, image in _read_cells(page, directory):
        cell = ImageOps.fit(image, (_CELL, _CELL), Image.Resampling.LANCZOS)
        sheet.paste(cell, (_GAP + column * (_CELL + _GAP), _GAP + row * (_CELL + _GAP)))
    stream = io.BytesIO()
    sheet.save(stream, "JPEG", quality=80, optimize=True)
    return stream.getvalue()


def _read_cells(page: Page, directory: str) -> Iterator[tuple[int, int, Image.Image]]:
    """Row, column and image of each cell that has one."""
    strongest = {
        (line["content"]["sha256"], line["style"]["id"]): line["file"]
        for line in sorted(page.lines, key=lambda line: line["strength"])
    }
    for column, style in enumerate(page.styles, start=1):
        yield 0, column, style.image
    for row, content in enumerate(page.contents[:_MOST_ROWS], start=1):
        yield row, 0, _read(directory, previews.locate_original(content.stem))
        for column, style in enumerate(page.styles, start=1):
            if file := strongest.get((content.sha256, style.style.id)):
                yield row, column, _read(directory, file)


def _read(directory: str, name: str) -> Image.Image:
    return Image.open(io.BytesIO(storage.read_bytes(storage.join(directory, *name.split("/"))))).convert("RGB")

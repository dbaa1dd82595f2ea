import io

import numpy as np
import pytest
from PIL import Image

from components.style_catalog.style import Style
from components.style_renderer.batch.units import Content
from tests.deferred import deferred_imports

with deferred_imports():
    from atelier import storage
    from components.style_renderer.gallery import contact_sheet, previews
    from components.style_renderer.gallery.gallery import Column, Page


@pytest.fixture
def page(tmp_path):
    """Contents a (blue, wide) and b; styles x and y; a in x at two strengths (green at the stronger), b in y (red)."""

    def save(name, color, size=(64, 48)):
        storage.write_bytes(str(tmp_path / name), previews.encode(Image.new("RGB", size, color), "png"))

    contents = [Content(name, name * 64, 48, 64) for name in "ab"]
    for content in contents:
        save(previews.locate_original(content.stem), "blue")
    lines = []
    for letter, style, strength, color in (("a", "x", 1.0, "lime"), ("a", "x", 0.5, "black"), ("b", "y", 1.0, "red")):
        name = f"pictures/{letter}{style}{strength}.png"
        save(name, color)
        lines.append({"content": {"sha256": letter * 64}, "style": {"id": style}, "strength": strength, "file": name})
    styles = [
        Column(Style(name, tmp_path, name, "", None, "CC0-1.0", "", name * 64), Image.new("RGB", (99, 70), "yellow"))
        for name in "xy"
    ]
    return Page(lines=lines, contents=contents, styles=styles, dead=(), size=64)


def test_each_image_is_in_its_place(page, tmp_path):
    sheet = Image.open(io.BytesIO(contact_sheet.make(page, str(tmp_path))))
    assert sheet.size == (3 * 166 + 6, 3 * 166 + 6)
    pixels = np.asarray(sheet, int)
    places = [(row, column) for row in range(3) for column in range(3)]
    middle = {(row, column): pixels[86 + 166 * row, 86 + 166 * column] for row, column in places}
    white, yellow, blue, lime, red = (255, 255, 255), (255, 255, 0), (0, 0, 255), (0, 255, 0), (255, 0, 0)
    expected = [white, yellow, yellow, blue, lime, white, blue, white, red]
    for place, color in zip(middle, expected, strict=True):
        assert np.abs(middle[place] - color).max() < 12, place

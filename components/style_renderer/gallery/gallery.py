"""`gallery.html`: contents down, styles across, every rendering one click from its full size and its original.

One file that fetches nothing but the images beside it; it needs no server.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from atelier import templates
from components.style_catalog.style import Style
from components.style_renderer.batch.dead_letters import DeadLetter
from components.style_renderer.batch.units import Content
from components.style_renderer.gallery import previews

FILE = "gallery.html"
MOST_ROWS = 200
"""Contents that are shown; beyond that a page is no pleasure, and the manifest has them all."""

_BRIEF = ("Strength", "Iterations", "Loss: total", "Time")
"""What fits over the smallest cell; the tooltip has everything."""


@dataclass(frozen=True)
class Column:
    """A style, and its image in full."""

    style: Style
    image: Image.Image


@dataclass(frozen=True)
class Page:
    """What the page shows.

    Attributes:
      lines: of the manifest.
      contents: from the top down.
      styles: from left to right.
      dead: what could not be rendered.
      size: longer side of the originals in pixels, at most.
    """

    lines: Sequence[Mapping[str, Any]]
    contents: Sequence[Content]
    styles: Sequence[Column]
    dead: Sequence[DeadLetter]
    size: int


def render(page: Page) -> str:
    """The page as text; images are named relative to it."""
    strengths = sorted({line["strength"] for line in page.lines})
    shown = page.contents[:MOST_ROWS]
    contents = [_describe_content(content, page.size) for content in shown]
    styles = [_describe_style(column.style) for column in page.styles]
    return templates.load(Path(__file__).with_name("gallery.html.j2")).render(
        page=page,
        contents=contents,
        hidden=len(page.contents) - len(shown),
        styles=styles,
        rows=_build_rows(page, shown),
        strengths=strengths,
        seconds=_format_duration(sum(line["seconds"] for line in page.lines)),
        # What the script needs beyond the grid; Jinja's `tojson` escapes it for a script element.
        data={"contents": contents, "styles": styles, "strengths": strengths},
    )


def _build_rows(page: Page, shown: Sequence[Content]) -> list[list[dict[str, Any]]]:
    """The grid's cells: renderings from the weakest to the strongest, or why there is none."""
    by_cell: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for line in sorted(page.lines, key=lambda line: line["strength"]):
        cell = (line["content"]["id"], line["content"]["sha256"], line["style"]["id"])
        by_cell.setdefault(cell, []).append(_describe_rendering(line))
    reasons = {(letter.content, letter.style): letter.reason for letter in page.dead}
    return [
        [
            {
                "renderings": by_cell.get((content.id, content.sha256, column.style.id), []),
                "reason": reasons.get((content.id, column.style.id), "not rendered"),
            }
            for column in page.styles
        ]
        for content in shown
    ]


def _describe_rendering(line: Mapping[str, Any]) -> dict[str, Any]:
    settings = line["settings"]
    scales = " → ".join(str(scale["size"]) for scale in settings["scales"])
    engine = line.get("engine", "finest")  # before there was another one, no line named it
    optimized = [
        ("Network", settings["network"].replace("_", " ")),
        *([("Scales", scales)] if engine == "finest" else []),
        ("Iterations", f"{line['iterations']:,} {settings['optimizer']}"),
        ("Style scale", f"{settings['style_scale']:g}"),
    ]
    facts = [
        ("Strength", f"{line['strength']:g}"),
        ("Engine", engine),
        *(optimized if engine != "fast" else []),
        ("Colors", settings["colors"]),
        *((f"Loss: {name}", f"{value:.4g}") for name, value in line["losses"].items()),
        ("Time", _format_duration(line["seconds"])),
        *([("Seam score", f"{line['seam_score']:.3g}")] if line["seam_score"] is not None else []),
        ("Size", f"{line['width']} × {line['height']}"),
    ]
    return {
        "key": line["key"][:12],
        "file": line["file"],
        "thumbnail": previews.locate_thumbnail(line["file"], max(line["height"], line["width"])),
        "width": line["width"],
        "height": line["height"],
        "strength": line["strength"],
        "facts": facts,
        "brief": [fact for fact in facts if fact[0] in _BRIEF],
        "tooltip": "\n".join(f"{name}: {value}" for name, value in facts),
    }


def _describe_content(content: Content, size: int) -> dict[str, Any]:
    original = previews.locate_original(content.stem)
    return {
        "name": content.id.rsplit("/", 1)[-1].rsplit(".", 1)[0] or content.id,
        "id": content.id,
        "file": original,
        "thumbnail": previews.locate_thumbnail(original, min(size, max(content.height, content.width))),
        "width": content.width,
        "height": content.height,
    }


def _describe_style(style: Style) -> dict[str, Any]:
    file = previews.locate_style(style.id, style.sha256)
    return {
        "title": style.title,
        "artist": style.artist,
        "year": "" if style.year is None else str(style.year),
        "licence": style.licence,
        "source": style.source,
        "link": style.source.startswith(("https://", "http://")),
        "file": file,
        "thumbnail": file,
    }


def _format_duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"

"""What the report shows of the one-pass stylizer: losses by style, what its gate asks for, and images to look at."""

import base64
import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from components.stylizer.layout import COLUMNS, GRID
from pipeline.report.columns import Column, Table
from pipeline.results.stylizer import read_evaluation

if TYPE_CHECKING:
    from pipeline.results.nodes import Node

_SIDE = 256


@dataclass(frozen=True)
class GridRow:
    """One style on one held-out image."""

    style: str
    sources: list[str]
    """`data:` URLs: content, optimizer, one pass, one pass at a strength of 0.5."""


def read_grid(evaluator: "Node | None") -> list[GridRow]:
    """Returns a row for each style that was measured."""
    evaluation = read_evaluation(evaluator)
    if evaluation is None or evaluator is None:
        return []
    folder = Path(evaluator.outputs["evaluation"].uri) / GRID
    return [
        GridRow(style, [_shrink(folder / f"{style}-{column}.jpg") for column in COLUMNS])
        for style in (each["style"] for each in evaluation["styles"])
    ]


def list_rules(gate: dict[str, Any]) -> list[str]:
    """Returns what the gate asks for, from its section of the configuration."""
    return [
        f"style loss of any style at most {gate['max_style_loss']:g} times the optimizer's",
        f"content loss at most {gate['max_content_loss']:g} times",
        f"SSIM at a strength of 0 at least {gate['min_ssim']:g}",
        f"at most {gate['max_megabytes']:g} MB, and {gate['max_latency_ms']:g} ms for an image",
    ]


def build_table(evaluation: dict[str, Any]) -> Table:
    """Builds losses by style."""
    count = len(evaluation["images"])
    images = "one held-out image" if count == 1 else f"{count} held-out images"
    caption = f"Losses at {evaluation['size']} pixels, mean over {images}, and how many times the optimizer's they are."
    return Table(caption, COLUMNS_OF_STYLES, evaluation["styles"])


def _format_number(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


COLUMNS_OF_STYLES = (
    Column("Style", lambda row: row["style"]),
    Column("Style loss", lambda row: _format_number(row["style_loss"], 4), is_number=True),
    Column("Optimizer's", lambda row: _format_number(row["optimizer_style_loss"], 4), is_number=True),
    Column("Times", lambda row: _format_number(row["style_ratio"], 2), is_number=True),
    Column("Content loss", lambda row: _format_number(row["content_loss"], 3), is_number=True),
    Column("Optimizer's", lambda row: _format_number(row["optimizer_content_loss"], 3), is_number=True),
    Column("Times", lambda row: _format_number(row["content_ratio"], 2), is_number=True),
)


def _shrink(file: Path) -> str:
    """A `data:` URL of 256 pixels at most."""
    image = Image.open(file)
    image.thumbnail((_SIDE, _SIDE), Image.Resampling.LANCZOS)
    encoded = io.BytesIO()
    image.save(encoded, "JPEG", quality=85)
    return f"data:image/jpeg;base64,{base64.b64encode(encoded.getvalue()).decode()}"

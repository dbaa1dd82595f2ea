"""Tables of the report whose columns are listed in one place; `templates/table.html.j2` draws them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class Cell:
    """What a cell shows."""

    text: str
    style: Literal["", "code", "note", "warn"] = ""


@dataclass(frozen=True)
class Column:
    """One column."""

    title: str
    read: Callable[[Any], str | Cell]
    """Returns the cell of a row."""
    is_number: bool = False
    """Aligned to the right."""


@dataclass(frozen=True)
class Table:
    """Rows of any kind, and the columns that are read from them; the first column names the row."""

    caption: str
    columns: Sequence[Column]
    rows: Sequence[Any]

    @property
    def cells(self) -> list[list[Cell]]:
        """The cells by row."""
        read = [[column.read(row) for column in self.columns] for row in self.rows]
        return [[cell if isinstance(cell, Cell) else Cell(cell) for cell in row] for row in read]

"""Tables on standard output."""

import sys
from collections.abc import Iterable, Sequence

import click
from rich.console import Console
from rich.table import Table


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Prints a table. In a file or a pipe there is no width to keep to."""
    table = Table(*columns)
    for row in rows:
        table.add_row(*row)
    terminal = Console(markup=False, emoji=False, highlight=False, width=None if sys.stdout.isatty() else 100_000)
    with terminal.capture() as written:
        terminal.print(table)
    click.echo(written.get(), nl=False)


def format_number(value: float | None) -> str:
    """Returns a metric with four digits; "-" where there is none."""
    return "-" if value is None else f"{value:.4f}"


def format_megabytes(size: int) -> str:
    """Returns a size in MB."""
    return f"{size / 1e6:.1f} MB"

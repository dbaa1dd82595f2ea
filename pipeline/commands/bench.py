"""`atelier bench`: the benchmarks, which are in the folder `benchmarks/` of the source."""

from collections.abc import Sequence
from pathlib import Path

import click

from pipeline import source_tree
from pipeline.commands.options.values import FILE
from pipeline.terminal.verb import Verb


@click.command(cls=Verb, name="bench", example="atelier bench train ingest")
@click.argument("names", metavar="[NAME]...", nargs=-1)
@click.option(
    "--output",
    metavar="DIR",
    type=FILE,
    default=Path("output"),
    show_default=True,
    help="Write bench.json into this folder. Results of other benchmarks that it holds are kept.",
)
def command(names: Sequence[str], output: Path) -> None:
    """Measure speed.

    Each benchmark measures Atelier beside what one would do without it. NAME is a benchmark of the documentation's
    page on performance; without a name all of them run. Run this in the root of the source.
    """
    bench_command = source_tree.load("benchmarks.bench_command")
    for name in names:
        if name not in bench_command.MODULES:
            raise click.UsageError(f"{name} is not a benchmark. The benchmarks are {', '.join(bench_command.MODULES)}.")
    bench_command.run(names, output)

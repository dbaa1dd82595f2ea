"""`atelier ingest`: labeled images to TFRecords."""

from pathlib import Path

import click

from pipeline.commands.options.configuration import add_beam_option, add_set_option
from pipeline.commands.options.values import FILE
from pipeline.ingest import builtin_sources
from pipeline.terminal.verb import Verb


@click.command(
    cls=Verb,
    name="ingest",
    example="atelier ingest --source images/ --output data/",
    after_stop="; no data set was written, and the next run starts from the beginning",
)
@click.option(
    "--source",
    metavar="|".join(["DIR", *builtin_sources.NAMES]),
    type=click.Path(),
    required=True,
    help="Read this folder, whose subfolders are the classes, or a built-in source.",
)
@click.option(
    "--output", metavar="DIR", type=FILE, required=True, help="Write the TFRecords and a report into this folder."
)
@add_set_option("a value of the section `ingest`", "shards=4")
@add_beam_option
def command(source: str, output: Path, overrides: tuple[str, ...], beam: tuple[str, ...]) -> None:
    """Convert labeled images to TFRecords.

    Files that cannot be used are counted, named and set aside in a quarantine.
    """
    from pipeline.config import config

    settings = config.load_ingest(overrides)
    beam_settings = config.load_beam(beam)

    from pipeline.beam import pipeline_options
    from pipeline.ingest import ingest, ingest_report
    from pipeline.terminal.console import Console

    with pipeline_options.explain_missing_service(beam_settings), Console().show_bar(f"ingesting {source}") as progress:
        report = ingest.ingest(
            source, output, settings, pipeline_options.build_pipeline_options(beam_settings), progress
        )
    click.echo(ingest_report.summarize(report, output))

"""`atelier run`: the pipeline on this machine."""

from pathlib import Path

import click

from pipeline.commands.options.configuration import add_config_option, add_set_option
from pipeline.commands.options.values import FILE
from pipeline.ingest.builtin_sources import NAMES
from pipeline.terminal.verb import Verb


@click.command(
    cls=Verb,
    name="run",
    example="atelier run --config configs/photos.yaml --set trainer.head_epochs=5",
    after_stop="; the next run into the same folder continues after the last finished node",
)
@add_config_option()
@click.option(
    "--data",
    metavar="DIR",
    type=click.Path(),
    help=f"Read this folder of labeled images or TFRecords, or a built-in source: {' or '.join(NAMES)}. It takes the "
    "place of data.source in the configuration.",
)
@click.option(
    "--output",
    metavar="DIR",
    type=FILE,
    help="Write everything into this folder.  [default: output/NAME, where NAME is the configuration's name]",
)
@add_set_option("a value of the configuration", "trainer.head_epochs=5")
def command(config: Path, data: str | None, output: Path | None, overrides: tuple[str, ...]) -> int:
    """Run the pipeline on this machine.

    It trains, evaluates, exports and pushes a model, and writes a report. The exit code is 1 if a gate rejects the
    model; standard error then holds the reasons.
    """
    from pipeline.config import config as configuration

    settings = configuration.load(config, overrides)
    if data:
        settings = settings.with_source(data)

    from pipeline import local_runner
    from pipeline.config import file_checks
    from pipeline.terminal.console import Console
    from pipeline.terminal.run_summary import format_summary

    file_checks.check_files(settings)
    output = output or Path("output", settings.name)
    outcome = local_runner.run(settings, output, Console())
    click.echo(format_summary(outcome.result, outcome.report, output))
    for reason in outcome.result["reasons"]:
        click.echo(f"atelier: {reason}", err=True)
    return 0 if outcome.passed else 1

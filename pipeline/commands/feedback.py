"""`atelier feedback`: the truth of requests, once it is known."""

from pathlib import Path

import click

from pipeline.commands.ab.ab_options import log_option
from pipeline.commands.options.values import FILE
from pipeline.terminal.verb import Verb


@click.command(
    cls=Verb,
    name="feedback",
    example="atelier feedback 4f1c6ad0 cat --log answers.jsonl",
)
@click.argument("request_id", metavar="[ID", required=False)
@click.argument("truth", metavar="CLASS]", required=False)
@click.option("--file", metavar="FILE", type=FILE, help="Take the truths from this CSV file: an id and a class a line.")
@log_option
def command(request_id: str | None, truth: str | None, file: Path | None, log: Path) -> None:
    """Add the true class of requests to the log of an A/B test.

    ID is the request's, which the client returned. A later truth for the same request replaces the earlier one. If an
    id is not in the log, nothing is added and the exit code is 1.
    """
    if (truth is None) == (file is None) or (file is not None and request_id is not None):
        raise click.UsageError("Give an ID and its CLASS, or --file.")
    if truth is not None and not truth.strip():
        raise click.UsageError("CLASS is empty.")

    from pipeline.commands.work.feedback import add_truths, read_truths

    truths = [(str(request_id), str(truth).strip())] if file is None else read_truths(file)
    never_predicted = add_truths(log, truths)
    if never_predicted:
        names = ", ".join(never_predicted[:5]) + (", ..." if len(never_predicted) > 5 else "")
        click.echo(
            f"atelier: warning: no answer in {log} names the class {names}; a truth that is spelled otherwise than "
            "the model's class counts as an error",
            err=True,
        )
    click.echo(f"{log}: {len(truths)} truth{'s' if len(truths) != 1 else ''} added")

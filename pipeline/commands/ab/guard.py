"""`atelier ab guard`: looks at the test on a schedule, and acts."""

from pathlib import Path
from typing import Any

import click

from pipeline.commands.ab.ab_options import log_option, read_rules, rule_options
from pipeline.commands.models.model_options import open_registry, server_options, wait_option, where_options
from pipeline.commands.options.metrics import check_metrics, metrics_options
from pipeline.commands.options.values import FiniteRange
from pipeline.terminal.verb import ClientVerb


@click.command(
    cls=ClientVerb,
    name="guard",
    example="atelier ab guard --models output/demo/serving_model --log answers.jsonl --target localhost:8500",
    after_stop="; the next guard, promote or rollback finishes or undoes the change",
)
@log_option
@click.option(
    "--every",
    metavar="SECONDS",
    type=FiniteRange(0.1, 86400),
    default=60.0,
    show_default=True,
    help="Judge once in this many seconds.",
)
@click.option("--once", is_flag=True, help="Judge once and exit, as for cron.")
@metrics_options
@click.option("--advise", is_flag=True, help="Only print the verdict, and change nothing.")
@where_options
@server_options
@rule_options
@wait_option
@click.pass_context
def command(
    context: click.Context,
    /,
    log: Path,
    every: float,
    once: bool,
    advise: bool,
    metrics_port: int | None,
    metrics_host: str | None,
    **options: Any,
) -> None:
    """Judge the canary on a schedule, and act.

    A better canary is promoted to stable, a worse or slower one is rolled back to stable, on every server. Each look
    prints a line. Each action is in the history of the aliases, with the numbers that decided. The metrics have the
    verdict and its numbers, the servers' versions, and the accuracy over the truth in the log.
    """
    check_metrics(context)

    from pipeline.commands.ab.guarding import guard, publish_metrics

    rules = read_rules(options)
    with open_registry(options) as registry, publish_metrics(log, metrics_port, metrics_host) as metrics:
        guard(registry, log, rules, every=every, once=once, advise=advise, metrics=metrics)

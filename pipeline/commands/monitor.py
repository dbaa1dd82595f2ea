"""`atelier monitor`: the page that shows how models do in production."""

from pathlib import Path
from typing import Any

import click

from pipeline.commands.ab.ab_options import read_rules, rule_options
from pipeline.commands.models.model_options import find_output, open_registry, where_options
from pipeline.commands.options.values import FILE, Target
from pipeline.terminal.verb import ClientVerb


@click.command(
    cls=ClientVerb,
    name="monitor",
    example="atelier monitor --models output/demo/serving_model --log answers.jsonl --target localhost:8500",
)
@click.option(
    "--log",
    "logs",
    metavar="FILE",
    type=FILE,
    multiple=True,
    required=True,
    help="Follow this log of answers, which the clients write. Repeat the option for several logs.",
)
@where_options
@click.option("--samples", metavar="DIR", type=FILE, help="Show the images in this folder, which the clients keep.")
@click.option(
    "--target",
    metavar="HOST:PORT",
    type=Target(),
    help="Let this server compute features of the kept images. Drift of the features needs it.",
)
@click.option(
    "--metrics",
    metavar="URL",
    help="Show the memory of the server whose metrics are at this URL, such as http://localhost:9090/metrics.",
)
@click.option(
    "--host",
    metavar="ADDRESS",
    default="127.0.0.1",
    show_default=True,
    help="Listen on this address. On any but a loopback address the page needs a token, which is part of the printed "
    "URL.",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8700,
    show_default=True,
    help="Listen on this port. 0 takes a free one.",
)
@rule_options
def command(
    logs: tuple[Path, ...],
    samples: Path | None,
    target: str | None,
    metrics: str | None,
    host: str,
    port: int,
    **options: Any,
) -> None:
    """Show in a web page how models do in production.

    The page shows accuracy, latency, memory, traffic by version, drift, the verdict of the A/B test with its E-value
    over time, and the last mistakes. It is live. Drift needs a reference, which `atelier models reference` writes.
    Prometheus finds the drift below /metrics.
    """
    from pipeline.commands.work.monitoring import watch

    rules = read_rules(options)
    inside = options["models"] / "serving_model"
    options["models"] = inside if inside.is_dir() else options["models"]
    with open_registry(options) as registry:
        watch(
            registry,
            find_output(options["models"]),
            logs,
            rules,
            samples=samples,
            target=target,
            metrics=metrics,
            host=host,
            port=port,
        )
    click.echo("atelier monitor: stopped")

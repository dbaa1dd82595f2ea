"""`atelier models history`: every change of an alias."""

import json
from dataclasses import asdict
from typing import Any

import click

from pipeline.commands.models.model_options import (
    MODELS_CONFIG,
    as_json_option,
    where_options,
)
from pipeline.terminal.verb import Verb


@click.command(cls=Verb, name="history", example="atelier models history --models output/demo/serving_model")
@where_options
@as_json_option
def command(as_json: bool, **options: Any) -> None:
    """List every change of an alias, oldest first.

    Each change has its time, user, old and new version, and reason, with the numbers that decided. The log is one JSON
    object a line in models.history.jsonl beside models.config. Nothing in it is ever changed.
    """
    from pipeline.commands.models.tables import print_table
    from serving.registry.history import Change, History

    config_file = options["config_file"] or options["models"].resolve().parent / MODELS_CONFIG
    changes = [
        each for each in History.open_beside(config_file).list_changes() if each.intent.model == options["model"]
    ]
    if as_json:
        click.echo(json.dumps([asdict(change) for change in changes], indent=1, allow_nan=False))
        return

    def describe(change: Change) -> list[str]:
        intent = change.intent
        before = "-" if intent.from_version is None else str(intent.from_version)
        outcome = change.outcome or "interrupted"
        numbers = json.dumps(intent.numbers) if intent.numbers else "-"
        return [
            change.when,
            change.who,
            intent.verb,
            intent.alias,
            before,
            str(intent.to_version),
            f"{outcome}: {change.reason}" if change.reason else outcome,
            intent.why or "-",
            numbers,
        ]

    columns = ("when (UTC)", "who", "change", "alias", "from", "to", "outcome", "why", "numbers")
    print_table(columns, [describe(change) for change in changes])

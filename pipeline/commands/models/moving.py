"""The work of promote and rollback: settles what was interrupted, moves the alias, and says what was done."""

from typing import Any

import click

from pipeline.commands.models.model_options import find_output
from pipeline.metadata.database import MetadataError
from pipeline.results.pushed_runs import read_pushed_runs
from serving.registry.aliases import Registry
from serving.registry.history import describe_unfinished


def move(registry: Registry, verb: str, alias: str, version: int | None, why: str) -> None:
    """Moves an alias and prints one line.

    Args:
      registry: with its servers.
      verb: promote or rollback.
      alias: stable or canary.
      version: where to; None: a rollback to the version before.
      why: for the history.

    Raises:
      AtelierError: nothing was moved.
    """
    if settled := registry.settle():
        click.echo(f"atelier: {describe_unfinished(settled)}; now it is {settled.outcome}", err=True)
    numbers = _read_accuracies(registry)
    if verb == "promote":
        assert version is not None
        change = registry.promote(version, alias=alias, why=why, numbers=numbers)
    else:
        change = registry.roll_back(version, alias=alias, why=why, numbers=numbers)
    intent = change.intent
    before = "nothing" if intent.from_version is None else intent.from_version
    click.echo(f"{alias}: {before} -> {intent.to_version} on {', '.join(intent.targets)}")


def _read_accuracies(registry: Registry) -> dict[str, Any]:
    """Returns the accuracies that the gates measured, by version; a rollback does not wait for a missing database."""
    try:
        runs = read_pushed_runs(find_output(registry.models), registry.models)
    except MetadataError as error:
        click.echo(f"atelier: warning: {error}", err=True)
        return {}
    return {"accuracy": {str(number): run.metrics.overall.get("accuracy") for number, run in runs.items()}}

"""`atelier models list`: every version at a glance."""

import json
from typing import TYPE_CHECKING, Any

import click

from pipeline.commands.models.model_options import as_json_option, open_registry, server_options, where_options
from pipeline.terminal.verb import ClientVerb

if TYPE_CHECKING:
    from pipeline.commands.models.version_facts import VersionFacts


@click.command(
    cls=ClientVerb,
    name="list",
    example="atelier models list --models output/demo/serving_model --target localhost:8500",
)
@where_options
@server_options
@as_json_option
def command(as_json: bool, **options: Any) -> int:
    """List the pushed versions, the newest first.

    For each it prints when and by which run it was pushed, the fingerprints of its code and data, accuracy, gate, size,
    the aliases that point at it, and its state on each server. The exit code is 1 if a server does not answer.
    """
    from pipeline.commands.models.tables import print_table
    from pipeline.commands.models.version_facts import collect_facts

    with open_registry(options) as registry:
        facts, all_answered = collect_facts(registry)
    newest_first = [facts[number] for number in sorted(facts, reverse=True)]
    if as_json:
        click.echo(json.dumps([each.to_json() for each in newest_first], indent=1, allow_nan=False))
    else:
        columns = ("version", "pushed (UTC)", "run", "code", "data", "accuracy", "gate", "size", "alias", "served")
        print_table(columns, [_build_row(each) for each in newest_first])
    return 0 if all_answered else 1


def _build_row(facts: "VersionFacts") -> list[str]:
    from pipeline.commands.models.tables import format_megabytes, format_number

    pushed = facts.pushed
    blessed = facts.run.blessed if facts.run else None
    return [
        str(pushed.number),
        f"{pushed.pushed_at:%Y-%m-%d %H:%M:%S}" if pushed.pushed_at else "-",
        facts.run.run if facts.run else "-",
        pushed.code or "-",
        pushed.data or "-",
        format_number(facts.metrics.get("accuracy")),
        {True: "passed", False: "rejected", None: "-"}[blessed],
        format_megabytes(pushed.bytes),
        ", ".join(facts.aliases) or "-",
        "\n".join(f"{target}: {state}" for target, state in facts.servers.items() if state) or "-",
    ]

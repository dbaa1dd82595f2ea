"""`atelier models show`: all that is known of one version."""

import json
from typing import Any

import click

from pipeline.commands.models.model_options import as_json_option, open_registry, server_options, where_options
from pipeline.commands.options.values import Version
from pipeline.terminal.verb import ClientVerb


@click.command(
    cls=ClientVerb,
    name="show",
    example="atelier models show 1764202741 --models output/demo/serving_model",
)
@click.argument("version", metavar="VERSION", type=Version())
@where_options
@server_options
@as_json_option
def command(version: int, as_json: bool, **options: Any) -> int:
    """Show what is known of a version.

    That is its run, code and data, metrics, slices, size, aliases and servers.
    """
    from pipeline.commands.models.tables import format_megabytes, format_number, print_table
    from pipeline.commands.models.version_facts import collect_facts
    from serving.registry.pushed_versions import get_version

    get_version(options["models"], version)
    with open_registry(options) as registry:
        collected, all_answered = collect_facts(registry)
    facts = collected[version]
    found = facts.to_json()
    if as_json:
        click.echo(json.dumps(found, indent=1, allow_nan=False))
        return 0 if all_answered else 1
    for key in ("version", "pushed", "run", "code", "data"):
        click.echo(f"{key:9}{'-' if found[key] in (None, '') else found[key]}")
    click.echo(f"{'gate':9}{ {True: 'passed', False: 'rejected', None: '-'}[found['blessed']] }")
    click.echo(f"{'size':9}{format_megabytes(found['bytes'])}")
    click.echo(f"{'aliases':9}{', '.join(found['aliases']) or '-'}")
    for target, state in found["servers"].items():
        click.echo(f"{'served':9}{target}: {state or 'not known there'}")
    if names := list(found["metrics"]):
        metrics = {"all images": found["metrics"]} | found["slices"]
        rows = [[name, *(format_number(values.get(each)) for each in names)] for name, values in metrics.items()]
        print_table(("slice", *names), rows)
    return 0 if all_answered else 1

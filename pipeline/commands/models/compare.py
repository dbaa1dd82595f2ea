"""`atelier models compare`: two versions side by side."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from atelier.layout import CLASS_ID
from pipeline.commands.models.model_options import (
    as_json_option,
    find_output,
    open_registry,
    read_data_key,
    server_options,
    where_options,
)
from pipeline.commands.options.values import FILE, Version
from pipeline.terminal.verb import ClientVerb

if TYPE_CHECKING:
    from pipeline.commands.models.version_facts import VersionFacts
    from serving.registry.comparison import Comparison


_MOST_ROWS = 50


@click.command(
    cls=ClientVerb,
    name="compare",
    example="atelier models compare 1764202741 1764209915 --models output/demo/serving_model",
)
@click.argument("first", metavar="A", type=Version())
@click.argument("second", metavar="B", type=Version())
@click.option(
    "--records",
    metavar="DIR",
    type=FILE,
    help="Run both on the TFRecords in this folder.  [default: the test split of the run that pushed B, or A]",
)
@click.option(
    "--label-key",
    metavar="NAME",
    help="Take an image's class from this feature.  [default: data.label_key of the last run]",
)
@where_options
@server_options
@as_json_option
def command(
    first: int, second: int, records: Path | None, label_key: str | None, as_json: bool, **options: Any
) -> None:
    """Compare version A with version B.

    The gates' metrics and slices come from the runs. Both versions are then run on the same test records, one after the
    other: the images on which they differ, accuracy, and latency in this process.
    """
    from compat.standard_streams import send_to_file
    from pipeline.commands.models.version_facts import collect_facts
    from serving.registry.pushed_versions import get_version

    for version in (first, second):
        get_version(options["models"], version)
    with open_registry(options) as registry:
        facts, _ = collect_facts(registry)
    both = facts[first], facts[second]
    found = [each for each in both[::-1] if each.run and each.run.test_examples]
    of_records = found[0] if found and records is None else both[1]
    records = records or (of_records.run.test_examples if of_records.run else None)
    comparison = None
    if records is not None:
        with send_to_file(Path(os.devnull)):  # TensorFlow greets, whatever one tells it
            from serving.registry.comparison import compare  # TensorFlow, which takes seconds

            comparison = compare(
                both[0].pushed.folder,
                both[1].pushed.folder,
                records,
                label_key=label_key or read_data_key(find_output(options["models"]), "label_key", CLASS_ID),
                class_names=of_records.pushed.read_class_names(),
            )
    if as_json:
        click.echo(json.dumps(_to_json(both, comparison, records), indent=1, allow_nan=False))
    else:
        _print(both, comparison, records)


def _to_json(both: "Sequence[VersionFacts]", comparison: "Comparison | None", records: Path | None) -> dict[str, Any]:
    from dataclasses import asdict

    return {
        "versions": [each.to_json() for each in both],
        "records": str(records) if records else None,
        "comparison": asdict(comparison) if comparison else None,
    }


def _print(both: "Sequence[VersionFacts]", comparison: "Comparison | None", records: Path | None) -> None:
    from pipeline.commands.models.tables import format_megabytes, format_number, print_table

    rows = [[name, *(format_number(each.metrics.get(name)) for each in both)] for name in _list_metrics(both)]
    rows += [
        [where, *(format_number(_get_slice_accuracy(each, where)) for each in both)]
        for where in sorted({where for each in both if each.run for where in each.run.metrics.slices})
    ]
    rows += [["size", *(format_megabytes(each.pushed.bytes) for each in both)]]
    if comparison:
        of = f"of {comparison.images} test images"
        measured = comparison.measured
        rows += [
            [f"right, {of}", *(f"{each.right} of {each.labeled}" for each in measured)],
            ["latency, median (here)", *(f"{each.latency_ms[0]:.1f} ms" for each in measured)],
            ["latency, 99 % (here)", *(f"{each.latency_ms[1]:.1f} ms" for each in measured)],
        ]
    print_table(("", *(str(each.pushed.number) for each in both)), rows)
    if comparison is None:
        click.echo("No test records are left: name some with --records to see the images on which the two differ.")
        return
    click.echo(f"{len(comparison.differences)} of {comparison.images} images differ ({records})")
    if comparison.differences:
        print_table(
            ("image", "class", *(str(each.pushed.number) for each in both)),
            [
                [
                    each.image,
                    each.truth or "-",
                    f"{each.first} {each.first_probability:.3f}",
                    f"{each.second} {each.second_probability:.3f}",
                ]
                for each in comparison.differences[:_MOST_ROWS]
            ],
        )
    if (more := len(comparison.differences) - _MOST_ROWS) > 0:
        click.echo(f"and {more} more, which --json lists")


def _list_metrics(both: "Sequence[VersionFacts]") -> list[str]:
    return list(dict.fromkeys(name for each in both for name in each.metrics))


def _get_slice_accuracy(facts: "VersionFacts", where: str) -> float | None:
    return facts.run.metrics.slices.get(where, {}).get("accuracy") if facts.run else None

"""`atelier ab report`: the arms, their numbers, and the verdict."""

import json
from pathlib import Path
from typing import Any

import click

from pipeline.commands.ab.ab_options import log_option, read_rules, rule_options
from pipeline.commands.models.model_options import as_json_option, open_registry, where_options
from pipeline.terminal.verb import ClientVerb


@click.command(
    cls=ClientVerb,
    name="report",
    example="atelier ab report --models output/demo/serving_model --log answers.jsonl",
)
@log_option
@where_options
@rule_options
@as_json_option
def command(log: Path, as_json: bool, **options: Any) -> None:
    """Report the test of the canary against its control group.

    For each arm it prints requests, errors, accuracy where the truth has come in, and latency. Then it prints the
    E-value of the errors, the interval of the error rates' ratio, and the verdict with its reasons: promote, roll back,
    wait, or no data.
    """
    from pipeline.commands.ab.judging import judge_test

    rules = read_rules(options)
    with open_registry(options) as registry:
        report = judge_test(registry, log, rules)
    if as_json:
        click.echo(json.dumps(report.numbers, indent=1, allow_nan=False))
        return
    if "arms" in report.numbers:
        _print_numbers(report.numbers, rules.alpha)
    for reason in report.reasons:
        click.echo(f"{report.verdict}: {reason}")


def _print_numbers(numbers: dict[str, Any], alpha: float) -> None:
    from pipeline.commands.models.tables import format_number, print_table

    columns = ("arm", "version", "requests", "failed", "truth known", "wrong", "accuracy", "p50", "p95", "p99")
    rows = [
        [
            name,
            *(str(arm[key]) for key in ("version", "requests", "failed", "labeled", "wrong")),
            format_number(arm["accuracy"]),
            *(f"{arm['latency_ms'][key]:.1f} ms" if arm["latency_ms"] else "-" for key in ("p50", "p95", "p99")),
        ]
        for name, arm in numbers["arms"].items()
    ]
    print_table(columns, rows)
    low, high = numbers["error_ratio"]
    click.echo(f"E-value of the errors: {numbers['e_value']:.4g}")
    upper = "any number of" if high is None else f"{high:.3g}"
    click.echo(
        f"The canary's error rate is {low:.3g} to {upper} times the control group's, at all looks with probability "
        f"{1 - alpha:g} or more."
    )

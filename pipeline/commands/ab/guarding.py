"""The work of `atelier ab guard`."""

import time
from pathlib import Path

import click

from atelier.errors import AtelierError
from pipeline.commands.ab.judging import Report, judge_test
from serving.ab.answer_log import format_now
from serving.ab.verdict import PROMOTE, ROLL_BACK, Rules
from serving.registry.aliases import Registry
from serving.registry.errors import RegistryError
from serving.registry.history import describe_unfinished
from serving.registry.models_config import CANARY, STABLE


def guard(registry: Registry, log: Path, rules: Rules, *, every: float, once: bool, advise: bool) -> None:
    """Looks and acts until the process is stopped.

    What goes wrong at one look is printed, and the next look tries again.

    Args:
      registry: with its servers.
      log: of the answers.
      rules: when a verdict is given.
      every: seconds between two looks.
      once: looks once only; what goes wrong is raised.
      advise: changes nothing.

    Raises:
      AtelierError: with `once`, or before the first look: there is no server to act on.
    """
    if not advise and not registry.servers:
        raise RegistryError("no server: name each server of the model with --target HOST:PORT, or take --advise")
    while True:
        try:
            _look(registry, log, rules, advise)
        except AtelierError as error:
            if once:
                raise
            click.echo(f"atelier: {format_now()} {error}", err=True)
        if once:
            return
        time.sleep(every)


def _look(registry: Registry, log: Path, rules: Rules, advise: bool) -> None:
    if not advise and (settled := registry.settle()):
        click.echo(f"{format_now()} {describe_unfinished(settled)}; now it is {settled.outcome}")
    report = judge_test(registry, log, rules)
    click.echo(f"{format_now()} {report.verdict}: {'; '.join(report.reasons)}")
    if not advise:
        _act(registry, report)


def _act(registry: Registry, report: Report) -> None:
    why = f"guard: {'; '.join(report.reasons)}"
    if report.verdict == PROMOTE and report.canary is not None:
        change = registry.promote(report.canary, alias=STABLE, why=why, numbers=report.numbers)
    elif report.verdict == ROLL_BACK:
        change = registry.roll_back(alias=CANARY, why=why, numbers=report.numbers)
    else:
        return
    intent = change.intent
    click.echo(f"{format_now()} {intent.alias}: {intent.from_version} -> {intent.to_version}")

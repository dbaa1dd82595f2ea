"""Everything that is known of a version: its folder, its run, its aliases and its servers."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import click

from pipeline.commands.models.model_options import find_output
from pipeline.results.pushed_runs import PushedRun, read_pushed_runs
from serving.client import ServingError
from serving.registry.aliases import Registry
from serving.registry.history import describe_unfinished
from serving.registry.pushed_versions import PushedVersion, list_versions

NO_ANSWER = "no answer"


@dataclass(frozen=True)
class VersionFacts:
    """One version.

    Attributes:
      pushed: what its folder says.
      run: that pushed it; None: the metadata database does not know it.
      aliases: that point at it.
      servers: its state by server; "": the server does not know it.
    """

    pushed: PushedVersion
    run: PushedRun | None
    aliases: tuple[str, ...]
    servers: Mapping[str, str]

    @property
    def metrics(self) -> Mapping[str, float]:
        """Metrics on the test split of its run; empty where the run is not known."""
        return self.run.metrics.overall if self.run else {}

    def to_json(self) -> dict[str, Any]:
        """Returns the facts as JSON has them."""
        pushed_at = self.pushed.pushed_at
        return {
            "version": self.pushed.number,
            "pushed": pushed_at.isoformat() if pushed_at else None,
            "run": self.run.run if self.run else None,
            "code": self.pushed.code,
            "data": self.pushed.data,
            "blessed": self.run.blessed if self.run else None,
            "metrics": dict(self.metrics),
            "slices": {name: dict(metrics) for name, metrics in self.run.metrics.slices.items()} if self.run else {},
            "bytes": self.pushed.bytes,
            "aliases": list(self.aliases),
            "servers": dict(self.servers),
        }


def collect_facts(registry: Registry) -> tuple[dict[int, VersionFacts], bool]:
    """Returns the facts of every version, lowest first, and whether every server answered.

    Warns on standard error of a server that does not answer, of an alias whose version is gone, and of a change that
    was interrupted.

    Raises:
      AtelierError: the versions, models.config or the metadata database cannot be read.
    """
    logging.getLogger("absl").setLevel(logging.ERROR)
    pushed = list_versions(registry.models)
    runs = read_pushed_runs(find_output(registry.models), registry.models)
    aliases = registry.read_aliases()
    states: dict[str, dict[int, str]] = {}
    all_answered = True
    for server in registry.servers:
        try:
            found = server.list_states(registry.model)
            states[server.target] = {number: status.state for number, status in found.items()}
        except ServingError as error:
            click.echo(f"atelier: {error}", err=True)
            states[server.target], all_answered = dict.fromkeys(pushed, NO_ANSWER), False
    for alias, version in aliases.items():
        if version not in pushed:
            click.echo(
                f"atelier: warning: {alias} points at version {version}, which is not in {registry.models}", err=True
            )
    if change := registry.history.find_unfinished():
        told = describe_unfinished(change)
        click.echo(f"atelier: warning: {told}; the next promote or rollback settles it first", err=True)
    facts = {
        number: VersionFacts(
            pushed=version,
            run=runs.get(number),
            aliases=tuple(alias for alias, to in aliases.items() if to == number),
            servers={target: known.get(number, "") for target, known in states.items()},
        )
        for number, version in pushed.items()
    }
    return facts, all_answered

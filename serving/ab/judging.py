"""Finds the test that runs, and judges it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from atelier.files.change_log import DONE
from serving.ab import verdict
from serving.ab.answer_log import Answer
from serving.ab.arms import count
from serving.ab.verdict import NO_DATA, Rules
from serving.registry.aliases import Registry
from serving.registry.models_config import CANARY, STABLE


@dataclass(frozen=True)
class Report:
    """What a look at the test came to.

    Attributes:
      verdict: promote, roll back, wait or no data.
      reasons: each a sentence with numbers.
      canary: version of the canary; None: there is none.
      numbers: all of them, as JSON has them.
    """

    verdict: str
    reasons: list[str]
    canary: int | None
    numbers: dict[str, Any]


@dataclass(frozen=True)
class RunningTest:
    """Which versions are compared.

    Attributes:
      canary: version of the canary.
      stable: the stable version.
      since: when the aliases began to point there, UTC, ISO 8601; "": the history does not say.
    """

    canary: int
    stable: int
    since: str


def find_test(registry: Registry) -> RunningTest | str:
    """Returns the test that models.config names, or why there is none.

    Raises:
      AtelierError: models.config or its history cannot be read.
    """
    aliases = registry.read_aliases()
    canary, stable = aliases.get(CANARY), aliases.get(STABLE)
    if canary is None or stable is None or canary == stable:
        of = f"canary and stable are both version {stable}" if stable is not None else "no alias points at a version"
        return f"there is no canary: {of}"
    return RunningTest(canary, stable, _find_start(registry, aliases))


def judge_answers(test: RunningTest, answers: Sequence[Answer], truths: Mapping[str, str], rules: Rules) -> Report:
    """Judges a test by its requests since the aliases point where they do."""
    counted = count(answers, truths, canary=test.canary, control=test.stable, since=test.since)
    found = verdict.judge(counted, rules)
    numbers = {"since": test.since or None, **verdict.to_json(counted, found)}
    return Report(found.verdict, list(found.reasons), test.canary, numbers)


def report_no_test(reason: str, canary: int | None = None) -> Report:
    """Returns the report where there is nothing to judge."""
    return Report(NO_DATA, [reason], canary, {"verdict": NO_DATA, "reasons": [reason]})


def _find_start(registry: Registry, aliases: Mapping[str, int]) -> str:
    """Returns when the aliases began to point where they do; "": the history does not say."""
    start, before = "", None
    for change in registry.history.list_changes():
        if change.outcome == DONE and change.intent.model == registry.model:
            after = _select(change.intent.aliases)
            if after == _select(aliases) and after != before:
                start = change.ended
            before = after
    return start if before == _select(aliases) else ""


def _select(aliases: Mapping[str, int]) -> tuple[int | None, int | None]:
    return aliases.get(CANARY), aliases.get(STABLE)

"""The work of report and guard: finds the test that runs, and judges it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from serving.ab import verdict
from serving.ab.answer_log import read_log
from serving.ab.arms import count
from serving.ab.verdict import NO_DATA, Rules
from serving.registry.aliases import Registry
from serving.registry.history import DONE
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


def judge_test(registry: Registry, log: Path, rules: Rules) -> Report:
    """Judges the canary that models.config names, by its requests since the alias points there.

    Raises:
      AtelierError: models.config, its history or the log cannot be read.
    """
    aliases = registry.aliases()
    canary, stable = aliases.get(CANARY), aliases.get(STABLE)
    if canary is None or stable is None or canary == stable:
        of = f"canary and stable are both version {stable}" if stable is not None else "no alias points at a version"
        return _without_test(f"there is no canary: {of}")
    if not log.exists():
        return _without_test(f"{log}: no client has logged an answer", canary)
    answers, truths = read_log(log)
    since = _find_start(registry, aliases)
    test = count(answers, truths, canary=canary, control=stable, since=since)
    found = verdict.judge(test, rules)
    return Report(found.verdict, list(found.reasons), canary, {"since": since or None, **verdict.to_json(test, found)})


def _without_test(reason: str, canary: int | None = None) -> Report:
    return Report(NO_DATA, [reason], canary, {"verdict": NO_DATA, "reasons": [reason]})


def _find_start(registry: Registry, aliases: Mapping[str, int]) -> str:
    """Returns when the aliases began to point where they do; "": the history does not say."""
    start, before = "", None
    for change in registry.history.changes():
        if change.outcome == DONE and change.intent.model == registry.model:
            after = _select(change.intent.aliases)
            if after == _select(aliases) and after != before:
                start = change.ended
            before = after
    return start if before == _select(aliases) else ""


def _select(aliases: Mapping[str, int]) -> tuple[int | None, int | None]:
    return aliases.get(CANARY), aliases.get(STABLE)

"""The append-only log of every change of an alias."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from atelier.files import change_log
from atelier.files.change_log import DONE
from serving.registry.errors import RegistryError

PROMOTE, ROLLBACK = "promote", "rollback"


@dataclass(frozen=True)
class Intent:
    """What a change is about to do.

    Attributes:
      verb: promote or rollback.
      model: its name on the servers.
      alias: that moves.
      from_version: where it pointed; None: nowhere.
      to_version: where it will point.
      aliases: all aliases of the model afterwards.
      why: in the words of who asked.
      numbers: that decided.
      targets: the servers.
      base_path: of the model as the servers see it.
      before: text of models.config; None: there was none.
      after: text of models.config once the alias has moved.
    """

    verb: str
    model: str
    alias: str
    from_version: int | None
    to_version: int
    aliases: Mapping[str, int]
    why: str
    numbers: Mapping[str, Any]
    targets: Sequence[str]
    base_path: str
    before: str | None
    after: str
    id: str = field(default_factory=lambda: uuid.uuid4().hex[:12])


Change: TypeAlias = change_log.Change[Intent]


class History(change_log.ChangeLog[Intent]):
    """The log beside a models.config."""

    def __init__(self, file: Path) -> None:
        """Takes the path of the log; it is made with the first record."""
        super().__init__(file, Intent, "an alias", RegistryError)

    @classmethod
    def open_beside(cls, models_config: Path) -> "History":
        """Returns the log of a models.config, such as `models.history.jsonl`."""
        return cls(models_config.with_name(f"{models_config.stem}.history.jsonl"))


def describe_unfinished(change: Change) -> str:
    """Returns in words that the process of a change was killed."""
    intent = change.intent
    return (
        f"the {intent.verb} of {intent.alias} to version {intent.to_version}, begun {change.when} by {change.who}, was "
        "interrupted"
    )


def list_earlier(changes: Sequence[Change], model: str, alias: str, current: int) -> list[int]:
    """Returns the versions to which an alias can go back, the nearest last: a rollback takes back its promotion.

    Args:
      changes: oldest first.
      model: its name.
      alias: stable or canary.
      current: where the alias points now, whoever moved it.
    """
    stack: list[int] = []
    for change in changes:
        intent = change.intent
        is_move = change.outcome == DONE and intent.from_version != intent.to_version
        if not is_move or (intent.model, intent.alias) != (model, alias):
            continue
        if intent.from_version is not None and stack[-1:] != [intent.from_version]:
            stack.append(intent.from_version)
        if intent.verb == ROLLBACK and intent.to_version in stack:
            del stack[_find_last_index(stack, intent.to_version) + 1 :]
        elif stack[-1:] != [intent.to_version]:
            stack.append(intent.to_version)
    if current in stack:
        return stack[: _find_last_index(stack, current)]
    return stack


def _find_last_index(stack: Sequence[int], version: int) -> int:
    return len(stack) - 1 - stack[::-1].index(version)

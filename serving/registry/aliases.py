"""Moves aliases: promote and rollback, in the two steps that TensorFlow Serving needs.

ModelServer rejects a label for a version that is not loaded. So the version is loaded beside the others first, on every
server, and the label moves once all of them say AVAILABLE. In each step models.config is replaced first and the servers
are told then: one that restarts in between reads what the others are told.

Replacing models.config in the second step is the point of no return for a process that is killed: before it, the next
change restores what was; after it, the next change completes the move.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from atelier.errors import AtelierError
from atelier.files import change_log
from serving.registry import history, models_config
from serving.registry.errors import RegistryError
from serving.registry.history import PROMOTE, ROLLBACK, Change, History, Intent
from serving.registry.model_servers import ModelServer
from serving.registry.models_config import ALIASES, CANARY, STABLE, ModelsConfig
from serving.registry.pushed_versions import get_version


@dataclass(frozen=True)
class Registry:
    """The versions of one model, its models.config, and the servers that read it.

    Attributes:
      models: the serving base path on this machine.
      config_file: the models.config; its history lies beside it.
      servers: all servers of the model.
      model: its name on the servers.
      base_path: of a model that models.config does not have yet, as the servers see it; "": `models`.
      wait: seconds that loading a version may take.
    """

    models: Path
    config_file: Path
    servers: Sequence[ModelServer]
    model: str = "default"
    base_path: str = ""
    wait: float = 60.0
    history: History = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "history", History.open_beside(self.config_file))

    def read_aliases(self) -> dict[str, int]:
        """Returns the version of each alias, as models.config has it.

        Raises:
          ModelServerConfigError: models.config cannot be read.
        """
        return models_config.read(self.config_file).read_aliases(self.model)

    def promote(
        self, version: int, *, alias: str = STABLE, why: str = "", numbers: Mapping[str, Any] | None = None
    ) -> Change:
        """Lets an alias point at a version. While there is no canary of its own, the canary goes with stable.

        Args:
          version: is loaded first where it is not.
          alias: stable or canary.
          why: for the history.
          numbers: that decided, for the history.

        Raises:
          RegistryError: the version is not there, or a step failed; all is as before then.
          ServingError: a server does not answer; nothing was changed.
        """
        return self._move(PROMOTE, alias, version, why, numbers)

    def roll_back(
        self,
        version: int | None = None,
        *,
        alias: str = STABLE,
        why: str = "",
        numbers: Mapping[str, Any] | None = None,
    ) -> Change:
        """Lets an alias point at the version before: stable at the one of the history, the canary at stable.

        Args:
          version: another one to go back to; None: the version before.
          alias: stable or canary.
          why: for the history.
          numbers: that decided, for the history.

        Raises:
          RegistryError: there is no version before, or a step failed; all is as before then.
          ServingError: a server does not answer; nothing was changed.
        """
        return self._move(ROLLBACK, alias, version, why, numbers)

    def settle(self) -> Change | None:
        """Settles a change whose process was killed; returns it with its outcome, or None.

        Raises:
          AtelierError: a server does not answer; the change stays to be settled.
        """
        with self.history.lock():
            return self._settle()

    def _move(self, verb: str, alias: str, version: int | None, why: str, numbers: Mapping[str, Any] | None) -> Change:
        if not self.servers:
            raise RegistryError("no server: name each server of the model with --target HOST:PORT")
        with self.history.lock():
            self._settle()
            before = models_config.read(self.config_file)
            if before.text is None:
                self._check_first()
            if version is None:
                version = self._find_version_before(before, alias)
            get_version(self.models, version)
            intent = self._plan(before, verb, alias, version, why, numbers)
            if self._is_done(intent):
                raise RegistryError(f"{alias} already points at version {version} on every server; nothing was changed")
            self.history.begin(intent)
            return self._carry_out(intent, before)

    def _check_first(self) -> None:
        """Raises where models.config is not there yet, but a server has another one, which would be lost."""
        for server in self.servers:
            if not server.list_states(self.model):
                raise RegistryError(f"{server.target} has no model {self.model!r}: choose another with --name")
            for alias in ALIASES:
                if (version := server.find_alias(self.model, alias)) is not None:
                    raise RegistryError(
                        f"{self.config_file}: not there, but on {server.target} {alias} is version {version}: name the "
                        "models.config of the server with --model-config-file"
                    )

    def _plan(
        self, before: ModelsConfig, verb: str, alias: str, version: int, why: str, numbers: Mapping[str, Any] | None
    ) -> Intent:
        if before.text is not None and self.model not in (known := before.list_models()):
            raise RegistryError(
                f"{self.config_file}: no model {self.model!r}; there are {', '.join(known)}: choose one with --name"
            )
        aliases = before.read_aliases(self.model)
        current = aliases.get(alias)
        if alias == CANARY and STABLE not in aliases:
            raise RegistryError(f"{self.config_file}: no stable version yet; promote one to stable first")
        if alias == STABLE and aliases.get(CANARY, current) == current:
            aliases[CANARY] = version
        aliases[alias] = version
        # The version before stays loaded, so that a rollback only moves the label.
        loaded = {*aliases.values(), *({current} if current is not None else ())}
        base_path = before.find_base_path(self.model) or self.base_path or str(self.models.resolve())
        after = before.replace(self.model, base_path, loaded, aliases)
        return Intent(
            verb=verb,
            model=self.model,
            alias=alias,
            from_version=current,
            to_version=version,
            aliases=aliases,
            why=why,
            numbers=numbers or {},
            targets=[server.target for server in self.servers],
            base_path=base_path,
            before=before.text,
            after=str(after.text),
        )

    def _is_done(self, intent: Intent) -> bool:
        """Tells whether there is nothing to move; a server that does not answer is found out before any change."""
        found = [server.find_alias(self.model, intent.alias) for server in self.servers]
        return intent.from_version == intent.to_version and set(found) == {intent.to_version}

    def _carry_out(self, intent: Intent, before: ModelsConfig) -> Change:
        try:
            self._load_version(intent, before)
            self._point_aliases(intent)
        except AtelierError as error:
            reason = f"{error}; {self._restore(intent)}"
            self.history.end(intent, change_log.FAILED, reason)
            raise RegistryError(
                f"{intent.verb} of {intent.alias} to version {intent.to_version} failed: {reason}"
            ) from None
        self.history.end(intent, change_log.DONE)
        return self.history.list_changes()[-1]

    def _load_version(self, intent: Intent, before: ModelsConfig) -> None:
        """Step one: the version is loaded beside those that are, and no alias moves."""
        loaded = {*before.list_loaded_versions(self.model), *before.read_aliases(self.model).values()}
        if intent.to_version not in loaded:
            if before.text is None or not loaded:
                # Nothing is named one by one yet: what the servers have loaded now stays until the alias points.
                loaded = {number for server in self.servers for number in _list_available(server, self.model)}
            step = before.replace(
                self.model, intent.base_path, {*loaded, intent.to_version}, before.read_aliases(self.model)
            )
            step.write()
            for server in self.servers:
                server.reload(step.message, self.wait)
        deadline = time.monotonic() + self.wait
        for server in self.servers:
            server.wait_until_available(self.model, intent.to_version, deadline)

    def _point_aliases(self, intent: Intent) -> None:
        """Step two: the aliases move, and every server must say so."""
        after = models_config.restore(self.config_file, intent.after)
        after.write()
        for server in self.servers:
            server.reload(after.message, self.wait)
        for server in self.servers:
            for alias, version in intent.aliases.items():
                if (found := server.find_alias(self.model, alias)) != version:
                    raise RegistryError(f"{server.target}: {alias} stands for {found}, not for version {version}")

    def _restore(self, intent: Intent) -> str:
        """Brings back what was before a change; returns in words what came of it."""
        before = models_config.restore(self.config_file, intent.before)
        failures = []
        try:
            before.write()
        except AtelierError as error:
            failures.append(str(error))
        config = before.build_default_config(self.model, intent.base_path)
        for server in self.servers:
            try:
                server.reload(config, self.wait)
            except AtelierError as error:
                failures.append(f"{server.target} may not be as before: {error}")
        return "; ".join(failures) or "models.config and the servers are as before"

    def _settle(self) -> Change | None:
        change = self.history.find_unfinished()
        if change is None:
            return None
        if not self.servers:
            raise RegistryError(
                f"{history.describe_unfinished(change)}; name its servers to settle it: --target HOST:PORT"
            )
        for server in self.servers:
            server.list_states(self.model)
        if models_config.read(self.config_file).text == change.intent.after:
            self._carry_out(change.intent, models_config.restore(self.config_file, change.intent.before))
        else:
            told = self._restore(change.intent)
            if others := sorted({*change.intent.targets} - {server.target for server in self.servers}):
                told += f"; not told, since they were not named: {', '.join(others)}"
            self.history.end(change.intent, change_log.UNDONE, f"the process was interrupted; {told}")
        return self.history.list_changes()[-1]

    def _find_version_before(self, before: ModelsConfig, alias: str) -> int:
        aliases = before.read_aliases(self.model)
        if alias not in aliases:
            raise RegistryError(f"{self.config_file}: {alias} points at no version; there is nothing to roll back")
        if alias == CANARY:
            return aliases[STABLE]
        earlier = history.list_earlier(self.history.list_changes(), self.model, alias, aliases[alias])
        if not earlier:
            raise RegistryError(
                f"{self.history.file}: no version was {alias} before {aliases[alias]}; name one with --to VERSION"
            )
        return earlier[-1]


def _list_available(server: ModelServer, model: str) -> list[int]:
    return [number for number, status in server.list_states(model).items() if status.state == "AVAILABLE"]

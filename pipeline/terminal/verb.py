"""What all verbs of the command line have in common."""

import importlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click


@dataclass
class Invocation:
    """One call of the command line.

    Attributes:
      verb: the context of the verb, as soon as it runs.
    """

    verb: click.Context | None = None

    @property
    def after_stop(self) -> str:
        """What the verb leaves behind when it is stopped, and what its next run does."""
        return self.verb.command.after_stop if self.verb and isinstance(self.verb.command, Verb) else ""

    @property
    def output(self) -> Path | None:
        """The place that the verb writes to."""
        given = (self.verb.params.get(name) for name in ("output", "root", "catalog")) if self.verb else ()
        return next((Path(path) for path in given if path), None)


class Verb(click.Command):
    """A command with an example in its help, which says what it leaves behind when it is stopped."""

    def __init__(self, *, example: str, after_stop: str = "", **keywords: Any) -> None:
        """Takes what `click.Command` takes, and two texts.

        Args:
          example: a command line that works, shown at the end of the help.
          after_stop: follows "atelier: stopped" when a signal ends the verb.
          keywords: as of `click.Command`.
        """
        super().__init__(epilog=f"\b\nexample: {example}", **keywords)
        self.example = example
        self.after_stop = after_stop

    def parse_args(self, context: click.Context, words: list[str]) -> list[str]:
        """Parses the verb's arguments; every error of usage then shows how the verb is used."""
        try:
            return super().parse_args(context, words)
        except click.UsageError as error:
            error.ctx = error.ctx or context  # click leaves it out where an option's value is missing
            raise

    def invoke(self, context: click.Context) -> Any:
        """Runs the verb, whose context is then known to the `Invocation`."""
        context.ensure_object(Invocation).verb = context
        return super().invoke(context)


class ClientVerb(Verb):
    """A command that asks a server, and therefore imports gRPC."""

    def invoke(self, context: click.Context) -> Any:
        """Runs the verb; what goes wrong with a connection is said once, by `ServingError`, and not by gRPC too."""
        os.environ.setdefault("GRPC_VERBOSITY", "NONE")
        return super().invoke(context)


class LazyGroup(click.Group):
    """A group whose commands are imported when they are asked for."""

    def __init__(self, *arguments: Any, modules: Mapping[str, str], **keywords: Any) -> None:
        """Takes what `click.Group` takes, and the commands' modules.

        Args:
          arguments: as of `click.Group`.
          modules: by the name of the command; each module has an attribute `command`.
          keywords: as of `click.Group`.
        """
        super().__init__(*arguments, **keywords)
        self._modules = modules

    def list_commands(self, context: click.Context) -> list[str]:
        """Returns the names of the commands, in the order in which they are shown."""
        del context
        return list(self._modules)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        """Imports a command."""
        del context
        if name not in self._modules:
            return None
        command: click.Command = importlib.import_module(self._modules[name]).command
        return command

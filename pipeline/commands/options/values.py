"""Types of the values that options take."""

import math
from pathlib import Path
from typing import Any

import click

FILE = click.Path(path_type=Path)
"""A file or a folder; whether it is there is found out by the verb, which knows what to do if it is not."""


class FiniteRange(click.FloatRange):
    """A number in a range; infinity and NaN, which pass every comparison, are none."""

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> float:
        """Returns the number."""
        number: float = super().convert(value, parameter, context)
        if not math.isfinite(number):
            self.fail(f"{value} is not a finite number.", parameter, context)
        return number


class Version(click.ParamType):
    """A model's version, written as the name of its folder."""

    name = "version"

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> int:
        """Returns the version's number."""
        from atelier.files import versions

        number = value if isinstance(value, int) else versions.parse_version(value)
        if number is None:
            self.fail(f"{value}: expected a version, an integer of at most 64 bits.", parameter, context)
        return number


class Target(click.ParamType):
    """The address of a model server."""

    name = "target"

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> str:
        """Returns the address as gRPC understands it."""
        from serving.client import target

        try:
            return target.check_target(value)
        except ValueError as error:
            self.fail(str(error), parameter, context)

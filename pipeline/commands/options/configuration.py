"""Options of the verbs that read a configuration."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from pipeline.commands.options.values import FILE

_F = TypeVar("_F", bound=Callable[..., Any])


def add_config_option(
    text: str = "Read the configuration from this YAML file. It holds what differs from the defaults.",
) -> Callable[[_F], _F]:
    """Adds --config."""
    return click.option("--config", metavar="FILE", type=FILE, required=True, help=text)


def add_set_option(what: str, example: str) -> Callable[[_F], _F]:
    """Adds --set, which may be repeated."""
    text = f"Set {what}, as in {example}. Repeat the option for several values."
    return click.option("--set", "overrides", metavar="KEY=VALUE", multiple=True, help=text)


def add_beam_option(function: _F) -> _F:
    """Adds --beam, which may be repeated."""
    text = "Set a value of the section `beam`, as in runner=dask. Repeat the option for several values."
    return click.option("--beam", "beam", metavar="KEY=VALUE", multiple=True, help=text)(function)

"""Pages from Jinja templates."""

import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jinja2


def load(file: Path, filters: Mapping[str, Callable[..., Any]] | None = None) -> jinja2.Template:
    """A template of HTML: what is put into it is escaped, and a name that it is not given is an error.

    Args:
      file: the template; others that it includes lie beside it.
      filters: more functions for it to use, by name.
    """
    return _make_environment(file.parent, frozenset((filters or {}).items())).get_template(file.name)


@functools.cache
def _make_environment(folder: Path, filters: frozenset[tuple[str, Callable[..., Any]]]) -> jinja2.Environment:
    """One for a folder: it keeps the templates that it has compiled, and compiles a file that has changed again."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(filters)
    return environment

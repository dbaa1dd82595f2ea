"""Pages from Jinja templates."""

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
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(file.parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= filters or {}
    return environment.get_template(file.name)

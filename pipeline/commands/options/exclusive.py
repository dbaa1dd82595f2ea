"""Options of which one at most may be given."""

import click


def check_exclusive(context: click.Context, *names: str, required: bool = False) -> None:
    """Checks that at most one of several options is given.

    Args:
      context: of the verb.
      names: of the parameters.
      required: one must be given.

    Raises:
      click.UsageError: several are given, or none where one is required.
    """
    flags = {parameter.name: parameter.opts[0] for parameter in context.command.params}
    given = [flags[name] for name in names if context.params[name] is not None]
    if len(given) > 1:
        raise click.UsageError(f"{given[0]} and {given[1]} exclude each other. Give one of them.", context)
    if required and not given:
        raise click.UsageError(f"Give {' or '.join(flags[name] for name in names)}.", context)

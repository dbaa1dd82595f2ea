"""Options that the commands on A/B tests share."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from pipeline.commands.options.values import FILE, FiniteRange

if TYPE_CHECKING:
    from serving.ab.verdict import Rules

_F = TypeVar("_F", bound=Callable[..., Any])

log_option = click.option(
    "--log",
    metavar="FILE",
    type=FILE,
    required=True,
    help="Use this log of answers, which the clients write.",
)
_RULES = (
    click.option(
        "--alpha",
        metavar="P",
        type=FiniteRange(0, 1, min_open=True, max_open=True),
        help="Limit the probability of a false verdict on equal arms to this.  [default: 0.05]",
    ),
    click.option(
        "--min-requests",
        metavar="N",
        type=click.IntRange(min=1),
        help="Give no verdict before each arm has this many requests.  [default: 200]",
    ),
    click.option(
        "--max-slowdown",
        metavar="X",
        type=FiniteRange(1),
        help="Roll back if the canary's median or 95 % quantile of latency is surely above this multiple of the "
        "control group's.  [default: 1.2]",
    ),
    click.option(
        "--max-silence",
        metavar="SECONDS",
        type=FiniteRange(0, min_open=True),
        help="Report `no data` if an arm has had no request for this long.  [default: 3600]",
    ),
)


def rule_options(function: _F) -> _F:
    """Adds the options of when a verdict is given."""
    for option in reversed(_RULES):
        function = option(function)
    return function


def read_rules(options: dict[str, Any]) -> "Rules":
    """Takes the rules out of the options; what is not given has its default."""
    from serving.ab.verdict import Rules

    names = ("alpha", "min_requests", "max_slowdown", "max_silence")
    return Rules(**{name: value for name in names if (value := options.pop(name)) is not None})

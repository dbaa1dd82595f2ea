"""Options that the commands on versions share, and what they open."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from pipeline.commands.options.values import FILE, FiniteRange, Target

if TYPE_CHECKING:
    from serving.client import Tls
    from serving.registry.aliases import Registry

_F = TypeVar("_F", bound=Callable[..., Any])

MODELS_CONFIG = "models.config"

_WHERE = (
    click.option(
        "--models",
        metavar="DIR",
        type=FILE,
        required=True,
        help="Take the versions in this folder, such as output/demo/serving_model.",
    ),
    click.option(
        "--model-config-file",
        "config_file",
        metavar="FILE",
        type=FILE,
        help="Keep the aliases in this models.config; their history lies beside it.  "
        "[default: models.config beside the folder of --models]",
    ),
    click.option(
        "--name", "model", default="default", show_default=True, help="Take the model that servers know by this name."
    ),
)
_SERVERS = (
    click.option(
        "--target",
        "targets",
        metavar="HOST:PORT",
        type=Target(),
        multiple=True,
        help="Ask this server, TensorFlow Serving or `atelier serve`. Repeat the option for several servers.",
    ),
    click.option("--tls", is_flag=True, help="Encrypt connections. --ca and --cert imply it."),
    click.option("--ca", metavar="FILE", type=FILE, help="Trust the authority in this PEM file."),
    click.option("--cert", metavar="FILE", type=FILE, help="Show the client certificate in this PEM file."),
    click.option("--key", metavar="FILE", type=FILE, help="Use the private key of --cert in this PEM file."),
)
wait_option = click.option(
    "--wait",
    metavar="SECONDS",
    type=FiniteRange(0.1, 86400),
    default=60.0,
    show_default=True,
    help="Wait at most this long until the version is loaded.",
)
_MOVE = (
    click.option(
        "--alias",
        type=click.Choice(["stable", "canary"]),
        default="stable",
        show_default=True,
        help="Move this alias.",
    ),
    click.option("--why", metavar="TEXT", default="", help="Write the reason into the history."),
    click.option(
        "--base-path",
        metavar="DIR",
        default="",
        help="Write this folder of the versions, as the servers see it, into a models.config that does not have the "
        "model yet.  [default: the folder of --models]",
    ),
    wait_option,
)
as_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")


def where_options(function: _F) -> _F:
    """Adds the options that say where the versions and the aliases are."""
    return _add_options(_WHERE, function)


def server_options(function: _F) -> _F:
    """Adds the options that say which servers are asked, and how."""
    return _add_options(_SERVERS, function)


def move_options(function: _F) -> _F:
    """Adds the options of a change of an alias."""
    return _add_options(_MOVE, function)


@contextlib.contextmanager
def open_registry(options: dict[str, Any]) -> Iterator["Registry"]:
    """Connects to the servers, and yields the registry that the options describe.

    Raises:
      click.UsageError: of --cert and --key one is missing.
    """
    from serving.registry.aliases import Registry
    from serving.registry.model_servers import connect_servers

    config_file = options["config_file"] or options["models"].resolve().parent / MODELS_CONFIG
    rest = {name: options[name] for name in ("base_path", "wait") if name in options}
    with connect_servers(options.get("targets", ()), _read_tls(options)) as servers:
        yield Registry(options["models"], config_file, servers, options["model"], **rest)


def _read_tls(options: dict[str, Any]) -> "Tls | None":
    from serving.client import Tls

    ca, cert, key = (options.get(name) for name in ("ca", "cert", "key"))
    if (cert is None) != (key is None):
        raise click.UsageError("--cert and --key go together. Give both.")
    return Tls(ca, cert, key) if options.get("tls") or ca or cert else None


def find_output(models: Path) -> Path:
    """Returns the output folder of the runs that pushed to a serving base path."""
    return models.resolve().parent


def read_data_key(output: Path, key: str, default: str) -> str:
    """Returns a value of the section `data` of the last run; the default where its run.json is gone.

    Raises:
      MetadataError: run.json is not that of a run.
    """
    from pipeline.results.pushed_runs import read_last_config

    return str((read_last_config(output) or {}).get("data", {}).get(key, default))


def _add_options(options: tuple[Callable[[_F], _F], ...], function: _F) -> _F:
    for option in reversed(options):
        function = option(function)
    return function

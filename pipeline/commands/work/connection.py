"""The connection with a model server, as the options of the command line say it."""

from collections.abc import Mapping
from typing import Any

from serving.client import ServedModel, ServingError, Tls


def read_connection(options: Mapping[str, Any], *, name: str | None, **others: Any) -> dict[str, Any]:
    """Returns a client's keyword arguments; options that are not given leave the client's own defaults.

    Args:
      options: what `options.connection.connection_options` added, by parameter.
      name: of the model.
      others: further arguments of the client; those that are None are left out.

    Raises:
      ServingError: the name, version or label cannot be one.
    """
    encrypted = options["tls"] or options["ca"] or options["cert"]
    try:
        model = ServedModel(**_drop_none(name=name, version=options["version"], label=options["label"]))
    except ValueError as error:
        raise ServingError(str(error)) from None
    return _drop_none(
        model=model,
        deadline=options["deadline"],
        gzip=options["gzip"],
        tls=Tls(options["ca"], options["cert"], options["key"]) if encrypted else None,
        max_message_bytes=options["max_message_mb"] and options["max_message_mb"] * 2**20,
        **others,
    )


def _drop_none(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}

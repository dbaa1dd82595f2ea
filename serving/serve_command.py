"""`atelier serve`: finds the models, starts the local server, and runs until it is told to stop."""

import logging
import os
import sys
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # the terminal is for the server's own lines

from tensorflow_serving.config import model_server_config_pb2

from serving import model_server_config
from serving.local_server import LocalServer, Options, ServerError, stopped_by_signals
from serving.status import StatusError

FIRST_LINE = (
    "a local server for laptops, tests and CI that speaks TensorFlow Serving's gRPC API; in production run "
    "TensorFlow Serving itself: serving/deploy/"
)


def run(
    models: Path | None,
    models_config: Path | None,
    name: str,
    options: Options,
    batching_file: Path | None,
    ssl_file: Path | None,
) -> None:
    """Serves until SIGINT or SIGTERM, then finishes what it took.

    Args:
      models: a model's base path, or a folder of several, each named as its folder is.
      models_config: a models.config instead.
      name: of the model, where `models` is one's base path.
      options: of the server.
      batching_file: a batching_parameters.txt; None: no batching.
      ssl_file: ModelServer's SSL configuration; None: plain text.

    Raises:
      ModelServerConfigError: a file is wrong.
      ServerError: there are no models there, or the address cannot be used.
    """
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(message)s", stream=sys.stderr)
    logging.getLogger("atelier.serving").setLevel(logging.INFO)
    sys.stderr.write(f"atelier serve: {FIRST_LINE}\n")
    if models_config:
        config = model_server_config.read_models_config(models_config)
    else:
        assert models is not None
        config = config_for(models, name)
    options = replace(
        options,
        batching=model_server_config.read_batching_parameters(batching_file) if batching_file else None,
        ssl=model_server_config.read_ssl_config(ssl_file) if ssl_file else None,
    )
    try:
        server = LocalServer(config, options)
    except StatusError as error:
        raise ServerError(str(error)) from None
    with stopped_by_signals(server):
        names = ", ".join(each.name for each in config.model_config_list.config)
        sys.stderr.write(f"atelier serve: {names} at {server.target}, TLS {'on' if options.ssl else 'off'}\n")
        sys.stderr.flush()


def config_for(folder: Path, name: str) -> model_server_config_pb2.ModelServerConfig:
    """The configuration for a model's base path, or for a folder of base paths.

    Raises:
      ServerError: it is no folder, or neither.
    """
    if not folder.is_dir():
        raise ServerError(f"{folder}: no such folder; `atelier run` pushes to output/<name>/serving_model")
    bases = {name: folder} if _has_versions(folder) else {}
    bases = bases or {each.name: each for each in sorted(folder.iterdir()) if each.is_dir() and _has_versions(each)}
    if not bases:
        raise ServerError(f"{folder}: no versions (folders named by numbers) in it, nor in its subfolders")
    config = model_server_config_pb2.ModelServerConfig()
    for each, base in bases.items():
        config.model_config_list.config.add(name=each, base_path=str(base.resolve()), model_platform="tensorflow")
    return config


def _has_versions(folder: Path) -> bool:
    return any(path.name.isdecimal() and path.is_dir() for path in folder.iterdir())

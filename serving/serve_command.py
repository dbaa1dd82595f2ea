"""`atelier serve`: finds the models, starts the local server, and runs until it is told to stop."""

import logging
import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # the terminal is for the server's own lines

from tensorflow_serving.config import model_server_config_pb2

from serving import model_server_config
from serving.local_server import LocalServer, Options, ServerError, stopped_by_signals
from serving.status import StatusError

FIRST_LINE = (
    "atelier serve: a local server for laptops, tests and CI that speaks TensorFlow Serving's gRPC API; in production "
    "run TensorFlow Serving itself (serving/deploy/)"
)


def run(
    models: Path | None,
    models_config: Path | None,
    name: str,
    *,
    host: str,
    port: int,
    batching_file: Path | None,
    ssl_file: Path | None,
    max_message_mb: int,
    max_pixels: int,
    poll_seconds: float,
) -> None:
    """Serves until SIGINT or SIGTERM, then finishes what it took.

    Args:
      models: a model's base path, or a folder of several, each named as its folder is.
      models_config: a models.config instead.
      name: of the model, where `models` is one's base path.
      host: address to listen on.
      port: 0 takes a free one.
      batching_file: a batching_parameters.txt; None: no batching.
      ssl_file: ModelServer's SSL configuration; None: plain text.
      max_message_mb: of a request.
      max_pixels: of a picture.
      poll_seconds: between two looks for new versions.

    Raises:
      ModelServerConfigError: a file is wrong.
      ServerError: there are no models there, the address cannot be used, or a file asks for what this server lacks.
    """
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(message)s", stream=sys.stderr)
    logging.getLogger("atelier.serving").setLevel(logging.INFO)
    _say(FIRST_LINE)
    if models_config:
        config = model_server_config.read_models_config(models_config)
    else:
        assert models is not None
        config = config_for(models, name)
    options = Options(
        host=host,
        port=port,
        batching=_batching(batching_file) if batching_file else None,
        ssl=model_server_config.read_ssl_config(ssl_file) if ssl_file else None,
        max_message_mb=max_message_mb,
        max_pixels=max_pixels,
        poll_seconds=poll_seconds,
    )
    try:
        server = LocalServer(config, options)
    except StatusError as error:
        raise ServerError(str(error)) from None
    with stopped_by_signals(server):
        names = ", ".join(each.name for each in config.model_config_list.config)
        _say(f"atelier serve: {names} at {server.target}, {'TLS' if options.ssl else 'plain text'}")
    _say("atelier serve: stopped")


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


def _batching(file: Path) -> model_server_config.BatchingParameters:
    parameters = model_server_config.read_batching_parameters(file)
    for name in ("pad_variable_length_inputs", "enable_large_batch_splitting"):
        if getattr(parameters, name):
            raise ServerError(
                f"{file}: {name} is beyond the local server; leave it out here, or run TensorFlow Serving"
            )
    return parameters


def _say(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()

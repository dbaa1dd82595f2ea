"""The work of `atelier serve`: finds the models, starts the local server, and runs until it is told to stop."""

import contextlib
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from tensorflow_serving.config import model_server_config_pb2

from atelier.files import versions
from atelier.layout import ASSETS_EXTRA, STYLIZATION_FILE, STYLIZER, TFLITE_FILE
from compat import native_log
from serving.server import model_server_config

if TYPE_CHECKING:
    from serving.monitor.metrics.server import ServerMetrics
    from serving.server.local_server import Options

DEFAULT = "default"
"""ModelServer's own default."""
FIRST_LINE = (
    "atelier serve: a local server for laptops, tests and CI that speaks TensorFlow Serving's gRPC API; in production "
    "run TensorFlow Serving itself (serving/deploy/)"
)


def serve_models(
    models: Path | None,
    models_config: Path | None,
    name: str | None,
    *,
    host: str,
    port: int,
    batching_file: Path | None,
    ssl_file: Path | None,
    max_message_mb: int,
    max_pixels: int,
    poll_seconds: float,
    metrics_port: int | None,
    metrics_host: str | None,
) -> None:
    """Serves until SIGINT or SIGTERM, then finishes what it took.

    Args:
      models: a model's base path, or a folder of several, each named as its folder is.
      models_config: a models.config instead.
      name: of the model, where `models` is one's base path; None: see `find_config`.
      host: address to listen on.
      port: 0 takes a free one.
      batching_file: a batching_parameters.txt; None: no batching.
      ssl_file: ModelServer's SSL configuration; None: plain text.
      max_message_mb: of a request.
      max_pixels: of an image.
      poll_seconds: between two looks for new versions.
      metrics_port: for Prometheus; None: no metrics are kept.
      metrics_host: address of that port; None: loopback.

    Raises:
      ModelServerConfigError: a file is wrong or asks for what this server lacks, or there are no models there.
      ServerError: the address cannot be used.
      MonitorError: the metrics' address cannot be used.
    """
    with native_log.filter_native_lines() as terminal:
        terminal.write(f"{FIRST_LINE}\n")
        os.environ.update(native_log.ENVIRONMENT | os.environ)
        _log_to(terminal)
        if models_config:
            config = model_server_config.read_models_config(models_config)
        else:
            assert models is not None
            config = find_config(models, name)
        from serving.server.local_server import Options  # TensorFlow and gRPC, which take seconds

        options = Options(
            host=host,
            port=port,
            batching=_read_batching(batching_file) if batching_file else None,
            ssl=model_server_config.read_ssl_config(ssl_file) if ssl_file else None,
            max_message_mb=max_message_mb,
            max_pixels=max_pixels,
            poll_seconds=poll_seconds,
        )
        with contextlib.ExitStack() as stack:
            metrics = None
            if metrics_port is not None:
                from serving.monitor.metrics.endpoint import LOOPBACK
                from serving.monitor.metrics.server import ServerMetrics

                metrics = ServerMetrics()
                # Before the models are loaded: they take seconds, and a port in use is known at once.
                endpoint = stack.enter_context(metrics.publish(metrics_port, metrics_host or LOOPBACK))
                terminal.write(f"atelier serve: metrics at {endpoint.url}\n")
            _serve(config, options, terminal, metrics)


def _serve(
    config: model_server_config_pb2.ModelServerConfig,
    options: "Options",
    terminal: native_log.Terminal,
    metrics: "ServerMetrics | None",
) -> None:
    from serving.server.local_server import LocalServer, stop_on_signals
    from serving.server.status import StatusError

    try:
        server = LocalServer(config, options, metrics)
    except StatusError as error:
        raise model_server_config.ModelServerConfigError(str(error)) from None
    if metrics:
        metrics.watch_versions(server.list_states)
    with stop_on_signals(server):
        names = ", ".join(each.name for each in config.model_config_list.config)
        kind = "TLS" if options.ssl else "plain text"
        terminal.write(f"atelier serve: {names} at {server.target}, {kind}; Ctrl-C or SIGTERM stops it\n")
    terminal.write("atelier serve: stopped\n")


def _log_to(terminal: native_log.Terminal) -> None:
    handler = logging.StreamHandler(terminal)
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    logger = logging.getLogger("atelier.serving")
    logger.setLevel(logging.INFO)
    logger.propagate = False
    logger.addHandler(handler)
    logging.getLogger("tensorflow").setLevel(logging.ERROR)  # its words on deprecation are for us, not for users


def find_config(folder: Path, name: str | None) -> model_server_config_pb2.ModelServerConfig:
    """The configuration for a model's base path, or for a folder of base paths.

    Args:
      folder: of a model's versions, or of several such folders, each named as its model; one of TFLite files is left
        out, so that the output folder of a run is such a folder.
      name: of the model whose versions are in the folder; None: `stylizer` if it is one, else `default`.

    Raises:
      ModelServerConfigError: it is no folder, or neither; or `name` is given for a folder of several.
    """
    if not folder.is_dir():
        what = "no such folder: it is a file" if folder.exists() else "no such folder"
        raise model_server_config.ModelServerConfigError(
            f"{folder}: {what}; --models takes a model's versions, which `atelier run` pushes to "
            "output/<name>/serving_model"
        )
    try:
        found = versions.list_folders(folder)
        bases = {name or _choose_name(found): folder} if found else {}
        bases = bases or {
            each.name: each
            for each in sorted(folder.iterdir())
            if each.is_dir() and (inside := versions.list_folders(each)) and not _is_tflite(inside)
        }
        if bases and name and not found:
            raise model_server_config.ModelServerConfigError(
                f"{folder}: it holds several models or one in a folder below, which are named as their folders are "
                f"({', '.join(bases)}): leave out --name, or give one of these folders to --models"
            )
        if not bases:
            raise model_server_config.ModelServerConfigError(f"{folder}: {versions.explain_none(folder)}")
    except OSError as error:
        raise model_server_config.ModelServerConfigError(
            f"{error.filename}: the folder cannot be listed: {error.strerror}"
        ) from None
    config = model_server_config_pb2.ModelServerConfig()
    for each, base in bases.items():
        config.model_config_list.config.add(name=each, base_path=str(base.resolve()), model_platform="tensorflow")
    return config


def _is_tflite(found: Mapping[int, Path]) -> bool:
    """Tells whether these are the TFLite files of a run, which no server can load."""
    return (found[max(found)] / TFLITE_FILE).is_file()


def _choose_name(found: Mapping[int, Path]) -> str:
    """Returns the name that clients ask for by default."""
    newest = found[max(found)]
    return STYLIZER if (newest / ASSETS_EXTRA / STYLIZATION_FILE).is_file() else DEFAULT


def _read_batching(file: Path) -> model_server_config.BatchingParameters:
    parameters = model_server_config.read_batching_parameters(file)
    for name in ("pad_variable_length_inputs", "enable_large_batch_splitting"):
        if getattr(parameters, name):
            raise model_server_config.ModelServerConfigError(
                f"{file}: {name} is beyond the local server; leave it out here, or run TensorFlow Serving"
            )
    return parameters

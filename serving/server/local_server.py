"""A local server with the gRPC API of TensorFlow Serving's ModelServer, for laptops, tests and CI.

Production runs ModelServer. Both read the same model folders and text files, so that what works with one works with the
other. This server has no REST API, and Python stands between the network and the graph. An observer makes metrics.
"""

import contextlib
import logging
import signal
import threading
from collections.abc import Iterator
from concurrent import futures
from dataclasses import dataclass, field
from pathlib import Path

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from tensorflow_serving.apis import model_service_pb2_grpc, prediction_service_pb2_grpc
from tensorflow_serving.config import model_server_config_pb2

from atelier.errors import AtelierError
from atelier.layout import MAX_PIXELS
from serving.server import warmup
from serving.server.batching import BatchScheduler
from serving.server.load_retries import RetryPolicy
from serving.server.loaded_model import LoadedModel
from serving.server.model_server_config import BatchingParameters, SSLConfig
from serving.server.models import Models
from serving.server.observer import Observer, VersionState
from serving.server.service import ModelService, PredictionService, tell_batches

with contextlib.suppress(AttributeError):
    # TensorFlow Serving's generated modules fail at their last line under protobuf 6. By then their services are
    # registered, which is what reflection needs.
    from tensorflow_serving.apis import prediction_service_pb2  # noqa: F401
with contextlib.suppress(AttributeError):
    from tensorflow_serving.apis import model_service_pb2  # noqa: F401

SERVICES = ("tensorflow.serving.PredictionService", "tensorflow.serving.ModelService")
_THREADS = 32
"""Calls that are answered at a time; with batching, most of them only wait."""
_log = logging.getLogger("atelier.serving")


class ServerError(AtelierError):
    """The server cannot start; the message says what to do."""


@dataclass(frozen=True)
class Options:
    """What a server is started with, besides its models."""

    host: str = "127.0.0.1"
    """Loopback: whoever reaches the port may use the models and load others."""
    port: int = 8500
    """0 takes a free one."""
    batching: BatchingParameters | None = None
    """None answers each request by a run of its own."""
    ssl: SSLConfig | None = None
    max_message_mb: int = 64
    """Of a request; larger ones are rejected before they are read to the end."""
    max_pixels: int = MAX_PIXELS
    """Of an image; the header counts, before anything is decoded."""
    poll_seconds: float = 1.0
    """Between two looks for new versions."""
    load_retries: RetryPolicy = field(default_factory=RetryPolicy)
    """Of versions that could not be loaded."""
    grace_seconds: float = 30.0
    """Time for running calls when the server is stopped."""


class LocalServer:
    """A running server. Stop it, or leave its `with` block."""

    def __init__(
        self,
        config: model_server_config_pb2.ModelServerConfig,
        options: Options,
        observer: Observer | None = None,
    ) -> None:
        """Loads the models and starts to answer.

        Args:
          config: the models.
          options: everything else.
          observer: is told of calls, batches and outputs, such as `serving.monitor.metrics.server.ServerMetrics`.

        Raises:
          ServerError: the address cannot be used.
          StatusError: a label names a version that is not there.
        """
        self._options = options
        note_batch = tell_batches(observer) if observer else None
        self._batches = BatchScheduler(options.batching, note_batch) if options.batching else None
        self._models = Models(load, options.load_retries)
        self._health = health.HealthServicer()
        self._stopped = threading.Event()
        self._server = grpc.server(
            futures.ThreadPoolExecutor(_THREADS, thread_name_prefix="grpc"),
            options=[
                ("grpc.max_receive_message_length", options.max_message_mb * 2**20),
                ("grpc.max_send_message_length", options.max_message_mb * 2**20),
                ("grpc.so_reuseport", 0),  # a second server on the same port is an error, not half of the traffic
            ],
        )
        self.port = self._bind()
        prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(
            PredictionService(self._models, self._batches, options.max_pixels, observer), self._server
        )
        model_service_pb2_grpc.add_ModelServiceServicer_to_server(
            ModelService(self._models, self._report_health, observer), self._server
        )
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        reflection.enable_server_reflection((*SERVICES, health.SERVICE_NAME, reflection.SERVICE_NAME), self._server)
        self._report_health()
        try:
            self._models.configure(config)
        except Exception:
            self.stop()
            raise
        self._report_health()
        self._server.start()
        self._models.watch(options.poll_seconds, self._report_health)

    @property
    def target(self) -> str:
        """Where clients reach it: host:port."""
        return _join(self._options.host, self.port)

    def list_states(self) -> list[VersionState]:
        """Returns the versions of all models that are wanted or in memory."""
        return self._models.list_states()

    def stop(self) -> None:
        """Takes no new calls, answers the running ones, and unloads the models."""
        if self._stopped.is_set():
            return
        self._stopped.set()
        self._health.enter_graceful_shutdown()
        self._server.stop(self._options.grace_seconds).wait()
        if self._batches:
            self._batches.close()
        self._models.close()

    def __enter__(self) -> "LocalServer":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _bind(self) -> int:
        address = _join(self._options.host, self._options.port)
        try:
            if self._options.ssl:
                return self._server.add_secure_port(address, _build_credentials(self._options.ssl))
            return self._server.add_insecure_port(address)
        except RuntimeError:
            raise ServerError(
                f"{address} cannot be listened on: it may be in use, or not this machine's; give another --port "
                "(0 for a free one), or another --host"
            ) from None

    def _report_health(self) -> None:
        states = health_pb2.HealthCheckResponse
        state = states.SERVING if self._models.is_ready else states.NOT_SERVING
        for service in ("", *SERVICES):
            self._health.set(service, state)


def _join(host: str, port: int) -> str:
    """Returns the address as gRPC understands it: an IPv6 address is in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def load(directory: Path) -> LoadedModel:
    """Loads and warms up one version.

    Raises:
      StatusError: it cannot be loaded, or cannot answer its own warm-up requests.
    """
    model = LoadedModel(directory)
    try:
        count = warmup.replay(model, directory)
    except Exception:
        model.close()
        raise
    _log.info("%s: %d warm-up requests answered", directory, count)
    return model


def _build_credentials(ssl: SSLConfig) -> grpc.ServerCredentials:
    return grpc.ssl_server_credentials(
        [(ssl.server_key.encode(), ssl.server_cert.encode())],
        root_certificates=ssl.custom_ca.encode() or None,
        require_client_auth=ssl.client_verify,
    )


@contextlib.contextmanager
def stop_on_signals(server: LocalServer) -> Iterator[None]:
    """Within this context, SIGINT and SIGTERM stop the server gracefully."""
    asked = threading.Event()
    before = {number: signal.signal(number, lambda *_: asked.set()) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
        asked.wait()
        server.stop()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

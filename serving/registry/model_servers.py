"""The servers that hold a model: their versions' states, their aliases, and a new configuration for them."""

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import grpc
from tensorflow_serving.config import model_server_config_pb2

from serving.client import messages
from serving.client.connection import MAX_MESSAGE_BYTES, Tls, connect
from serving.client.errors import Code, ServingError, explain_failure
from serving.client.messages import ServedModel, VersionStatus
from serving.client.protos import ReloadConfigRequest, Stubs
from serving.registry.errors import RegistryError

_POLL_S = 0.1
_CALL_S = 20.0
_FAILED_S = 1.0
"""A version that failed before is END until the server tries it again."""


class ModelServer:
    """One server, TensorFlow Serving's ModelServer or `atelier serve`."""

    def __init__(self, target: str, tls: Tls | None = None) -> None:
        """Connects at the first call.

        Args:
          target: HOST:PORT.
          tls: encrypts; None: plain text.

        Raises:
          ServingError: `target` is not HOST:PORT, or a file of `tls` cannot be used.
        """
        self.target = target
        self._encrypted = tls is not None
        self._channel = connect(grpc, target, tls, False, MAX_MESSAGE_BYTES)
        self._stubs = Stubs(self._channel)

    def list_states(self, model: str) -> dict[int, VersionStatus]:
        """Returns the state of every version that the server has seen; none if it does not have the model.

        Raises:
          ServingError: the call failed.
        """
        request = messages.build_status_request(ServedModel(model))
        try:
            response = self._call(self._stubs.get_model_status, request, _CALL_S)
        except ServingError as error:
            if error.code is Code.NOT_FOUND:
                return {}
            raise
        return {status.version: status for status in messages.read_status_response(response)}

    def find_alias(self, model: str, alias: str) -> int | None:
        """Returns the version that an alias stands for; None: the server does not know it.

        ModelServer does not tell its labels, but answers GetModelMetadata by label with the version.

        Raises:
          ServingError: the call failed.
        """
        request = messages.build_metadata_request(ServedModel(model, label=alias))
        try:
            response = self._call(self._stubs.get_model_metadata, request, _CALL_S)
        except ServingError as error:
            if error.code in (Code.INVALID_ARGUMENT, Code.NOT_FOUND):
                return None
            raise
        return int(response.model_spec.version.value)

    def reload(self, config: model_server_config_pb2.ModelServerConfig, deadline: float) -> None:
        """Gives the server a new configuration.

        Args:
          config: complete: a model that it does not have is unloaded.
          deadline: seconds.

        Raises:
          ServingError: the call failed, or the server rejected the configuration.
        """
        request = ReloadConfigRequest(config=config.SerializeToString())
        response = self._call(self._stubs.reload_config, request, deadline)
        if response.status.error_code:
            raise ServingError(f"{self.target} rejects the configuration: {response.status.error_message}")

    def wait_until_available(self, model: str, version: int, deadline: float) -> None:
        """Returns once a version is AVAILABLE.

        Args:
          model: its name.
          version: that is being loaded.
          deadline: time.monotonic() at which waiting ends.

        Raises:
          ServingError: a call failed.
          RegistryError: the version could not be loaded, or not in time.
        """
        failed_since = None
        while True:
            status, now = self.list_states(model).get(version), time.monotonic()
            if status and status.state == "AVAILABLE":
                return
            failed = status is not None and status.state == "END" and bool(status.error)
            failed_since = (failed_since or now) if failed else None
            if status and failed_since and now > failed_since + _FAILED_S:
                raise RegistryError(f"{self.target} cannot load version {version}: {status.error}")
            if now > deadline:
                state = status.state if status else "not known"
                raise RegistryError(
                    f"{self.target}: version {version} did not become AVAILABLE in time (it is {state}): allow more "
                    "time (--wait)"
                )
            time.sleep(_POLL_S)

    def close(self) -> None:
        """Ends the connection."""
        self._channel.close()

    def _call(self, method: Callable[..., Any], request: Any, seconds: float) -> Any:
        try:
            return method(request, timeout=seconds)
        except grpc.RpcError as error:
            if error.code() is Code.DEADLINE_EXCEEDED:
                raise ServingError(f"no answer from {self.target} within {seconds:g} s", error.code()) from None
            raise explain_failure(error, self.target, seconds, self._encrypted) from None


@contextlib.contextmanager
def connect_servers(targets: Sequence[str], tls: Tls | None = None) -> Iterator[list[ModelServer]]:
    """Yields the servers at some addresses; a repeated address counts once."""
    with contextlib.ExitStack() as stack:
        servers = []
        for target in dict.fromkeys(targets):
            servers.append(ModelServer(target, tls))
            stack.callback(servers[-1].close)
        yield servers

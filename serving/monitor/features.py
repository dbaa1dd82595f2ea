"""Penultimate features of kept images, computed by the server that serves the model."""

from collections.abc import Sequence
from pathlib import Path

import grpc
import numpy as np

from serving.ab.samples import list_samples
from serving.client.base_client import NO_SUCH_SIGNATURE
from serving.client.connection import MAX_MESSAGE_BYTES, Tls, connect
from serving.client.errors import ServingError, explain_failure
from serving.client.messages import ServedModel, build_predict_request, read_tensor
from serving.client.protos import Stubs
from serving.monitor.errors import MonitorError

FEATURES_SIGNATURE = "serving_features"
_OUTPUT = "features"
_BATCH = 32
_CALL_S = 30.0


class FeatureWindow:
    """The features of the images that were kept last. Each image is sent once for each version."""

    def __init__(self, folder: Path, target: str, model: str, tls: Tls | None = None) -> None:
        """Connects at the first call.

        Args:
          folder: of the kept images.
          target: HOST:PORT of a server.
          model: as the server knows it.
          tls: encrypts; None: plain text.

        Raises:
          ServingError: `target` is not HOST:PORT, or a file of `tls` cannot be used.
        """
        self._folder, self._target, self._model, self._encrypted = folder, target, model, tls is not None
        self._channel = connect(grpc, target, tls, False, MAX_MESSAGE_BYTES)
        self._stubs = Stubs(self._channel)
        self._version: int | None = None
        self._known: dict[str, np.ndarray] = {}

    def collect(self, version: int, most: int) -> np.ndarray:
        """Returns the features of at most `most` images, [n, channels] float32, oldest first.

        Raises:
          MonitorError: the server cannot compute them, or the folder cannot be read.
        """
        if version != self._version:
            self._version, self._known = version, {}
        try:
            files = [file for _, _, file in sorted(list_samples(self._folder))[-most:]]
        except OSError as error:
            raise MonitorError(f"{self._folder}: cannot be read: {error.strerror}") from None
        self._known = {file.name: self._known[file.name] for file in files if file.name in self._known}
        new = [file for file in files if file.name not in self._known]
        for start in range(0, len(new), _BATCH):
            self._compute(new[start : start + _BATCH], version)
        found = [self._known[file.name] for file in files if file.name in self._known]
        return np.stack(found) if found else np.zeros((0, 0), np.float32)

    def close(self) -> None:
        """Ends the connection."""
        self._channel.close()

    def _compute(self, files: Sequence[Path], version: int) -> None:
        contents = {}
        for file in files:
            try:
                contents[file.name] = file.read_bytes()
            except FileNotFoundError:  # a client has removed it meanwhile
                continue
        if not contents:
            return
        request = build_predict_request(
            ServedModel(self._model, version=version, signature=FEATURES_SIGNATURE), list(contents.values())
        )
        try:
            response = self._stubs.predict(request, timeout=_CALL_S)
            rows = read_tensor(response.outputs[_OUTPUT])
        except grpc.RpcError as error:
            raise self._explain(explain_failure(error, self._target, _CALL_S, self._encrypted), version) from None
        except ValueError as error:
            raise MonitorError(f"{self._target}: its features cannot be read: {error}") from None
        if rows.ndim != 2 or len(rows) != len(contents):
            raise MonitorError(f"{self._target}: features of shape {list(rows.shape)} for {len(contents)} images")
        self._known |= dict(zip(contents, rows, strict=True))

    def _explain(self, error: ServingError, version: int) -> MonitorError:
        if error.code in NO_SUCH_SIGNATURE and FEATURES_SIGNATURE in str(error):
            return MonitorError(f"version {version} has no signature {FEATURES_SIGNATURE}: train it again")
        return MonitorError(str(error))

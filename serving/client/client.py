"""Clients of TensorFlow Serving's gRPC API, and of the local server that speaks it.

    with Client("localhost:8500", ServedModel("pets")) as client:
        for prediction in client.predict(["cat.jpg", "dog.png"], top=3):
            print(prediction.label, prediction.probability)

`AsyncClient` has the same methods for asyncio.
"""

import asyncio
import threading
from collections.abc import Sequence
from typing import Any, TypeVar

import grpc

from serving.client.connection import Tls
from serving.client.endpoint import Alone, Call, Endpoint, Steps
from serving.client.errors import ServingError
from serving.client.messages import Metadata, ServedModel, VersionStatus
from serving.client.predictions import NoPredictionError, Prediction, all_predictions
from serving.client.preparation import Picture

__all__ = ["AsyncClient", "Client", "NoPredictionError", "ServedModel", "ServingError", "Tls"]

_T = TypeVar("_T")


class Client(Endpoint):
    """Blocks until the answer is there; threads may share one. `Endpoint.__init__` tells the arguments."""

    _grpc = grpc
    _new_lock = threading.Lock

    def predict(self, pictures: Sequence[Picture], *, top: int = 1, deadline: float | None = None) -> list[Prediction]:
        """Asks for the classes of pictures, which travel as they are encoded.

        Args:
          pictures: encoded bytes, paths of files, or what `prepare` gave. All of them are checked before any is sent.
          top: classes to name for each. Predict's answer names the best one only: for more, the model's signature for
            Classify is asked once for each version. Of a model without one, the others are named by their class ids.
          deadline: seconds for each call; None: the client's.

        Returns:
          One for each picture, in their order.

        Raises:
          ServingError: a picture cannot be used, or a call failed; the message says what to do.
          NoPredictionError: a ServingError; the model gave NaN or infinity for a picture. Its `answers` hold the
            predictions of the others.
        """
        return all_predictions(self._run(self._predict(self._prepare_all(pictures), top, deadline)))

    def classify(self, pictures: Sequence[Picture], *, top: int = 1, deadline: float | None = None) -> list[Prediction]:
        """As `predict`, through Classify: pictures travel in tf.Examples, and every class comes back with its name."""
        return all_predictions(self._run(self._classify(self._prepare_all(pictures), top, deadline)))

    def metadata(self, *, deadline: float | None = None) -> Metadata:
        """Asks for the model's signatures.

        Raises:
          ServingError: the call failed.
        """
        return self._run(self._metadata(deadline))

    def status(self, *, deadline: float | None = None) -> list[VersionStatus]:
        """Asks for the states of the model's versions, newest first; of one if the client's model names it by number.

        Raises:
          ServingError: the call failed.
        """
        return self._run(self._status(deadline))

    def close(self) -> None:
        """Ends the connection."""
        self._channel.close()

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _run(self, steps: Steps[_T]) -> _T:
        resume, value = steps.send, None
        while True:
            try:
                step = resume(value)
            except StopIteration as done:
                return done.value
            try:
                resume, value = steps.send, self._do(step)
            except ServingError as error:
                resume, value = steps.throw, error

    def _do(self, step: Call | Alone) -> Any:
        if isinstance(step, Alone):
            with self._lock:
                return self._run(step.steps)
        try:
            return step.method(step.request, timeout=step.deadline)
        except grpc.RpcError as error:
            raise self._explained(error, step) from error


class AsyncClient(Endpoint):
    """The same for asyncio; made, used and closed in one event loop. Pictures are prepared in a thread."""

    _grpc = grpc.aio
    _new_lock = asyncio.Lock

    async def predict(
        self, pictures: Sequence[Picture], *, top: int = 1, deadline: float | None = None
    ) -> list[Prediction]:
        """See `Client.predict`."""
        prepared = await asyncio.to_thread(self._prepare_all, pictures)
        return all_predictions(await self._run(self._predict(prepared, top, deadline)))

    async def classify(
        self, pictures: Sequence[Picture], *, top: int = 1, deadline: float | None = None
    ) -> list[Prediction]:
        """See `Client.classify`."""
        prepared = await asyncio.to_thread(self._prepare_all, pictures)
        return all_predictions(await self._run(self._classify(prepared, top, deadline)))

    async def metadata(self, *, deadline: float | None = None) -> Metadata:
        """See `Client.metadata`."""
        return await self._run(self._metadata(deadline))

    async def status(self, *, deadline: float | None = None) -> list[VersionStatus]:
        """See `Client.status`."""
        return await self._run(self._status(deadline))

    async def close(self) -> None:
        """Ends the connection."""
        await self._channel.close()

    async def __aenter__(self) -> "AsyncClient":
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.close()

    async def _run(self, steps: Steps[_T]) -> _T:
        resume, value = steps.send, None
        while True:
            try:
                step = resume(value)
            except StopIteration as done:
                return done.value
            try:
                resume, value = steps.send, await self._do(step)
            except ServingError as error:
                resume, value = steps.throw, error

    async def _do(self, step: Call | Alone) -> Any:
        if isinstance(step, Alone):
            async with self._lock:
                return await self._run(step.steps)
        try:
            return await step.method(step.request, timeout=step.deadline)
        except grpc.RpcError as error:
            raise self._explained(error, step) from error

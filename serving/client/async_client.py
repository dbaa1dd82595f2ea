"""The client for asyncio: `client.py` once more, with `await` at every call.

The steps stand in both files. What they share without waiting is in `base_client.py` and `messages.py`.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import grpc
import grpc.aio

from atelier.preprocessing import PREPROCESSING_SIGNATURE
from serving.client import messages
from serving.client.base_client import BaseClient, rank_classified, rank_predicted
from serving.client.errors import ServingError
from serving.client.messages import Metadata, VersionStatus
from serving.client.predictions import Answer, Prediction, require_predictions
from serving.client.preparation import ImageSource, Preparation, PreparedImage


class AsyncClient(BaseClient):
    """Asks a server; make, use and close it in one event loop. Images are prepared in a thread.

    The methods are those of `Client`. See `BaseClient` for the arguments.
    """

    _grpc = grpc.aio
    _new_lock = asyncio.Lock

    async def predict(
        self, images: Sequence[ImageSource], *, top: int = 1, deadline: float | None = None
    ) -> list[Prediction]:
        """See `Client.predict`."""
        return await self._ask_in_batches(self._predict_batch, images, top, deadline)

    async def classify(
        self, images: Sequence[ImageSource], *, top: int = 1, deadline: float | None = None
    ) -> list[Prediction]:
        """See `Client.classify`."""
        return await self._ask_in_batches(self._classify_batch, images, top, deadline)

    async def prepare(self, image: ImageSource, name: str = "the image") -> PreparedImage:
        """See `Client.prepare`."""
        return await asyncio.to_thread(self._prepare, image, await self.preparation(), name)

    async def preparation(self, *, deadline: float | None = None) -> Preparation:
        """See `Client.preparation`."""
        return await self._find_preparation(None, deadline)

    async def metadata(self, *, deadline: float | None = None) -> Metadata:
        """See `Client.metadata`."""
        request = messages.build_metadata_request(self._model)
        return messages.read_metadata_response(await self._call(self._stubs.get_model_metadata, request, deadline))

    async def status(self, *, deadline: float | None = None) -> list[VersionStatus]:
        """See `Client.status`."""
        request = messages.build_status_request(self._model)
        return messages.read_status_response(await self._call(self._stubs.get_model_status, request, deadline))

    async def close(self) -> None:
        """Ends the connection."""
        await self._channel.close()

    async def __aenter__(self) -> "AsyncClient":
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.close()

    async def _ask_in_batches(
        self,
        ask: Callable[[Sequence[PreparedImage], int, float | None], Awaitable[tuple[int, list[Answer]]]],
        images: Sequence[ImageSource],
        top: int,
        deadline: float | None,
    ) -> list[Prediction]:
        if not images:
            return []
        preparation = await self._find_preparation(None, deadline)
        batches = await asyncio.to_thread(self._start_batches, images, preparation)
        while batch := batches.take_batch():
            try:
                version, answers = await ask(batch, top, deadline)
            except ServingError as error:
                batches.shrink(error, len(batch))
                continue
            preparation = await self._find_preparation(version, deadline)
            if batches.must_prepare_again(preparation):
                batches.images = await asyncio.to_thread(self._prepare_all, batches.images, preparation)
            else:
                batches.answers += answers
                self._note_answers(version, answers)
        return require_predictions(batches.answers)

    async def _predict_batch(
        self, images: Sequence[PreparedImage], top: int, deadline: float | None
    ) -> tuple[int, list[Answer]]:
        encoded = [image.encoded for image in images]
        request = messages.build_predict_request(self._model, encoded)
        started = time.perf_counter()
        response = await self._call(self._stubs.predict, request, deadline)
        milliseconds = 1e3 * (time.perf_counter() - started)
        answer = messages.read_predict_response(response, len(images))
        names = await self._find_names(answer.version, encoded[0], deadline) if top > 1 else ()
        return answer.version, rank_predicted(images, answer, names, top, milliseconds)

    async def _classify_batch(
        self, images: Sequence[PreparedImage], top: int, deadline: float | None
    ) -> tuple[int, list[Answer]]:
        request = messages.build_classify_request(self._model, [image.encoded for image in images])
        started = time.perf_counter()
        response = await self._call(self._stubs.classify, request, deadline)
        milliseconds = 1e3 * (time.perf_counter() - started)
        answer = messages.read_classify_response(response, len(images))
        return answer.version, rank_classified(images, answer, top, milliseconds)

    async def _find_preparation(self, version: int | None, deadline: float | None) -> Preparation:
        async with self._lock:  # one of many tasks asks, the others find its answer
            if known := self._get_known_preparation(version):
                return known
            request = messages.build_description_request(self._model, PREPROCESSING_SIGNATURE, version)
            try:
                return self._note_preparation(await self._call(self._stubs.predict, request, deadline))
            except ServingError as error:
                return self._note_no_preparation(error, version)

    async def _find_names(self, version: int, encoded: bytes, deadline: float | None) -> tuple[str, ...]:
        async with self._lock:
            if version in self._names:
                return self._names[version]
            request = messages.build_classify_request(self._model, [encoded], version)
            try:
                return self._note_names(await self._call(self._stubs.classify, request, deadline))
            except ServingError as error:
                return self._note_no_names(error, version)

    async def _call(self, method: Callable[..., Any], request: Any, deadline: float | None) -> Any:
        seconds = self._deadline if deadline is None else deadline
        started = time.perf_counter()
        try:
            response = await method(request, timeout=seconds)
        except grpc.RpcError as error:
            self._note_call(request, None, error.code(), started)
            raise self._explain(error, seconds) from error
        except asyncio.CancelledError:
            self._note_call(request, None, grpc.StatusCode.CANCELLED, started)
            raise
        self._note_call(request, response, grpc.StatusCode.OK, started)
        return response

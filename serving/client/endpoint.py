"""What a call to a server consists of, whether one blocks for the answer or awaits it.

Each is a generator: it yields requests, gets their answers sent in, and returns what the caller asked for. A client
only carries the requests to the server and the answers back.
"""

import itertools
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import grpc
from tensorflow_serving.apis import model_service_pb2_grpc, prediction_service_pb2_grpc

from serving.client import connection, messages, preparation
from serving.client.connection import BATCH, DEADLINE, MAX_MESSAGE_BYTES, TARGET, Tls
from serving.client.errors import Code, ServingError, explained, largest_batch
from serving.client.messages import Metadata, ServedModel, VersionStatus
from serving.client.predictions import Answer, prediction
from serving.client.preparation import LONGER_SIDE, Picture, Prepared
from serving.client.target import check as check_target

_FRAMING = 1024  # more than a picture's share of a message has besides its bytes
_NO_CLASSIFY = (Code.INVALID_ARGUMENT, Code.FAILED_PRECONDITION, Code.UNIMPLEMENTED)
_T = TypeVar("_T")


@dataclass(frozen=True)
class Call:
    """A step: one call, whose answer is sent back into the generator."""

    method: Callable[..., Any]
    request: Any
    deadline: float


@dataclass(frozen=True)
class Alone:
    """A step: other steps, which this client runs one at a time."""

    steps: "Steps[Any]"


Steps = Generator[Call | Alone, Any, _T]


class Endpoint:
    """What both clients have in common: all but the waiting."""

    def __init__(
        self,
        target: str = TARGET,
        model: ServedModel = messages.DEFAULT_MODEL,
        *,
        deadline: float = DEADLINE,
        batch: int = BATCH,
        longer_side: int | None = LONGER_SIDE,
        gzip: bool = False,
        tls: Tls | None = None,
        max_message_bytes: int = MAX_MESSAGE_BYTES,
    ) -> None:
        """Connects at the first call.

        Args:
          target: HOST:PORT.
          model: which one is asked, and by which of its signatures.
          deadline: seconds that each call may take, its retries included.
          batch: pictures in a call, at most; a call takes no more than its message can hold, or than the server says
            that it takes.
          longer_side: in pixels, to which larger pictures are scaled down before they are sent, as training pictures
            were; None: originals are sent (see `preparation.prepare`).
          gzip: compresses requests; of use where pictures are sent that hardly are (scans as PNG).
          tls: encrypts; None: plain text.
          max_message_bytes: of a request or an answer, up to 2 GiB - 1.

        Raises:
          ServingError: `target` is no HOST:PORT, or a file of `tls` cannot be used.
        """
        try:
            check_target(target)
        except ValueError as error:
            raise ServingError(str(error)) from None
        self._target, self._model, self._tls = target, model, tls
        self._deadline, self._batch, self._longer_side = deadline, batch, longer_side
        self._limit = max_message_bytes
        self._names: dict[int, tuple[str, ...]] = {}
        options, api = connection.channel_options(target, max_message_bytes), self._grpc
        compression = grpc.Compression.Gzip if gzip else None
        if tls:
            self._channel = api.secure_channel(target, tls.credentials(), options, compression)
        else:
            self._channel = api.insecure_channel(target, options, compression)
        self._predictions = prediction_service_pb2_grpc.PredictionServiceStub(self._channel)
        self._models = model_service_pb2_grpc.ModelServiceStub(self._channel)
        self._lock = self._new_lock()

    _grpc: Any
    """The module that makes channels."""
    _new_lock: Any

    def prepare(self, picture: Picture, name: str = "the picture") -> Prepared:
        """Gives a picture the form in which it is sent; `predict` takes the result as it takes the picture.

        Args:
          picture: encoded bytes, or the path of a file.
          name: what messages call it, if it is bytes.

        Raises:
          ServingError: it cannot be read, is no picture, or is larger than a message may be.
        """
        prepared = preparation.prepare(picture, self._longer_side, name)
        if len(prepared.encoded) + _FRAMING > self._limit:
            raise ServingError(
                f"{prepared.name}: {len(prepared.encoded)} bytes are more than a message holds ({self._limit}): let it "
                "be downscaled (no --as-is), or raise the limit (--max-message-mb, and the server's)",
                Code.RESOURCE_EXHAUSTED,
            )
        return prepared

    def _prepare_all(self, pictures: Sequence[Picture]) -> list[Prepared]:
        return [
            self.prepare(picture, f"picture {number} of {len(pictures)}") for number, picture in enumerate(pictures, 1)
        ]

    def _predict(self, images: Sequence[Prepared], top: int, deadline: float | None) -> Steps[list[Answer]]:
        return (yield from self._in_batches(images, lambda batch: self._predict_batch(batch, top, deadline)))

    def _predict_batch(self, images: Sequence[Prepared], top: int, deadline: float | None) -> Steps[list[Answer]]:
        encoded = [image.encoded for image in images]
        request = messages.predict_request(self._model, encoded)
        start = time.perf_counter()
        response = yield self._call(self._predictions.Predict, request, deadline)
        milliseconds = 1e3 * (time.perf_counter() - start)
        answer = messages.predicted(response, len(encoded))
        names: Sequence[str] = ()
        if top > 1:
            # Only one of many threads or tasks asks; the others find its answer.
            names = yield Alone(self._class_names(answer.version, encoded[0], deadline))
            if len(names) != answer.probabilities.shape[1]:
                names = ()
        return [
            prediction(
                row, names, image=image.name, top=top, version=answer.version, milliseconds=milliseconds, label=label
            )
            for image, row, label in zip(images, answer.probabilities, answer.labels, strict=True)
        ]

    def _class_names(self, version: int, encoded: bytes, deadline: float | None) -> Steps[tuple[str, ...]]:
        """By class id; empty if the model does not tell them. Predict's answer holds the best one's only."""
        if version not in self._names:
            request = messages.classify_request(self._model, [encoded], version)
            try:
                response = yield self._call(self._predictions.Classify, request, deadline)
                self._names[version] = messages.classified(response, 1).names
            except ServingError as error:
                if error.code not in _NO_CLASSIFY:
                    raise
                self._names[version] = ()
        return self._names[version]

    def _classify(self, images: Sequence[Prepared], top: int, deadline: float | None) -> Steps[list[Answer]]:
        return (yield from self._in_batches(images, lambda batch: self._classify_batch(batch, top, deadline)))

    def _classify_batch(self, images: Sequence[Prepared], top: int, deadline: float | None) -> Steps[list[Answer]]:
        request = messages.classify_request(self._model, [image.encoded for image in images])
        start = time.perf_counter()
        response = yield self._call(self._predictions.Classify, request, deadline)
        milliseconds = 1e3 * (time.perf_counter() - start)
        answer = messages.classified(response, len(images))
        return [
            prediction(row, answer.names, image=image.name, top=top, version=answer.version, milliseconds=milliseconds)
            for image, row in zip(images, answer.scores, strict=True)
        ]

    def _metadata(self, deadline: float | None) -> Steps[Metadata]:
        request = messages.metadata_request(self._model)
        return messages.metadata((yield self._call(self._predictions.GetModelMetadata, request, deadline)))

    def _status(self, deadline: float | None) -> Steps[list[VersionStatus]]:
        request = messages.status_request(self._model)
        return messages.statuses((yield self._call(self._models.GetModelStatus, request, deadline)))

    def _in_batches(
        self, images: Sequence[Prepared], ask: Callable[[Sequence[Prepared]], Steps[list[Answer]]]
    ) -> Steps[list[Answer]]:
        """Asks batch by batch; a server that takes smaller ones gets smaller ones from then on."""
        found: list[Answer] = []
        while len(found) < len(images):
            batch = self._fitting(images[len(found) : len(found) + self._batch])
            try:
                found += yield from ask(batch)
            except ServingError as error:
                largest = largest_batch(error)
                if not 1 <= largest < len(batch):
                    raise
                self._batch = largest
        return found

    def _fitting(self, images: Sequence[Prepared]) -> Sequence[Prepared]:
        """The first of them, as many as a message holds, and at least one."""
        sizes = itertools.accumulate(len(image.encoded) + _FRAMING for image in images)
        count = sum(1 for _ in itertools.takewhile(lambda size: size <= self._limit, sizes))
        return images[: max(1, count)]

    def _call(self, method: Callable[..., Any], request: Any, deadline: float | None) -> Call:
        return Call(method, request, self._deadline if deadline is None else deadline)

    def _explained(self, error: grpc.RpcError, call: Call) -> ServingError:
        return explained(error, self._target, call.deadline, self._tls is not None)

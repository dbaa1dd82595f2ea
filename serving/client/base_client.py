"""What the blocking and the asynchronous client have in common: everything but the waiting."""

import logging
import time
from collections.abc import Sequence
from typing import Any

import grpc

from serving.client import messages, preparation
from serving.client.batches import FRAMING, Batches, Limits
from serving.client.connection import BATCH, DEADLINE, MAX_MESSAGE_BYTES, TARGET, Tls, connect
from serving.client.errors import REMEDIES, Code, ServingError, explain_failure
from serving.client.messages import ClassifyAnswer, PredictAnswer, ServedModel
from serving.client.observer import Observer, describe_call
from serving.client.predictions import Answer, rank_classes
from serving.client.preparation import ImageSource, Preparation, PreparedImage
from serving.client.protos import Stubs

NO_SUCH_SIGNATURE = (Code.INVALID_ARGUMENT, Code.FAILED_PRECONDITION, Code.UNIMPLEMENTED)
"""What a server answers to a request for a signature that the model lacks."""
_log = logging.getLogger("atelier.client")


class BaseClient:
    """A connection to a server, and what is known about the versions of the model there."""

    def __init__(
        self,
        target: str = TARGET,
        model: ServedModel = messages.DEFAULT_MODEL,
        *,
        deadline: float = DEADLINE,
        batch: int = BATCH,
        preparation: Preparation | None = None,
        gzip: bool = False,
        tls: Tls | None = None,
        max_message_bytes: int = MAX_MESSAGE_BYTES,
        observer: Observer | None = None,
    ) -> None:
        """Connects at the first call.

        Args:
          target: HOST:PORT.
          model: which model is asked, and by which of its signatures.
          deadline: seconds that each call may take, its retries included.
          batch: images in a call, at most; a call takes no more than its message can hold, or than the server says
            that it takes.
          preparation: what is done to images before they are sent. None: the model tells it. `AS_IS` sends originals.
          gzip: compresses requests, which helps with images that are hardly compressed (scans as PNG).
          tls: encrypts; None: plain text.
          max_message_bytes: of a request or an answer, up to 2 GiB - 1.
          observer: is told of calls and answers, such as `serving.monitor.metrics.ClientMetrics`.

        Raises:
          ServingError: `target` is not HOST:PORT, or a file of `tls` cannot be used.
        """
        self._target, self._model, self._encrypted = target, model, tls is not None
        self._deadline = deadline
        self._limits = Limits(batch, max_message_bytes)
        self._observer = observer
        self._given_preparation = preparation
        self._latest_preparation: Preparation | None = None
        self._preparations: dict[int, Preparation] = {}
        self._names: dict[int, tuple[str, ...]] = {}
        self._channel = connect(self._grpc, target, tls, gzip, max_message_bytes)
        self._stubs = Stubs(self._channel)
        self._lock = self._new_lock()

    _grpc: Any
    """The module that makes channels: `grpc` or `grpc.aio`."""
    _new_lock: Any
    _remedies = REMEDIES

    def _prepare(self, image: ImageSource, how: Preparation, name: str) -> PreparedImage:
        prepared = preparation.prepare(image, how, name)
        limit = self._limits.message_bytes
        if len(prepared.encoded) + FRAMING > limit:
            raise ServingError(
                f"{prepared.name}: {len(prepared.encoded)} bytes are more than a message holds ({limit}): scale the "
                "image down (leave out --as-is), or raise the limit (--max-message-mb, and that of the server)",
                Code.RESOURCE_EXHAUSTED,
            )
        return prepared

    def _prepare_all(self, images: Sequence[ImageSource], how: Preparation) -> list[PreparedImage]:
        count = len(images)
        return [self._prepare(image, how, f"image {number} of {count}") for number, image in enumerate(images, 1)]

    def _start_batches(self, images: Sequence[ImageSource], how: Preparation) -> Batches:
        return Batches(self._prepare_all(images, how), self._limits)

    def _get_known_preparation(self, version: int | None) -> Preparation | None:
        """Returns what no server need be asked for; `version` None: that of the last answer."""
        if self._given_preparation or version is None:
            return self._given_preparation or self._latest_preparation
        self._latest_preparation = self._preparations.get(version, self._latest_preparation)
        return self._preparations.get(version)

    def _note_preparation(self, response: Any) -> Preparation:
        version, preprocessing = messages.read_preprocessing_response(response)
        self._latest_preparation = self._preparations[version] = Preparation.from_model(preprocessing)
        return self._latest_preparation

    def _note_no_preparation(self, error: ServingError, version: int | None) -> Preparation:
        """Notes that a model does not tell its preprocessing.

        Raises:
          ServingError: `error` itself, where it says something else.
        """
        if error.code not in NO_SUCH_SIGNATURE:
            raise error
        self._latest_preparation = Preparation()
        if version is not None:
            self._preparations[version] = self._latest_preparation
            _log.warning(
                "model %r, version %d, at %s does not tell how its images are prepared: larger ones are scaled down to "
                "%d pixels, the default of ingest.store_size; train the model again, or send originals with --as-is",
                self._model.name,
                version,
                self._target,
                self._latest_preparation.store_size,
            )
        return self._latest_preparation

    def _note_names(self, response: Any) -> tuple[str, ...]:
        answer = messages.read_classify_response(response, 1)
        self._names[answer.version] = answer.names
        return answer.names

    def _note_no_names(self, error: ServingError, version: int) -> tuple[str, ...]:
        """Notes that a model does not tell its classes.

        Raises:
          ServingError: `error` itself, where it says something else.
        """
        if error.code not in NO_SUCH_SIGNATURE:
            raise error
        self._names[version] = ()
        return ()

    def _note_call(self, request: Any, response: Any, code: Code, started: float) -> None:
        if self._observer:
            self._observer.note_call(describe_call(request, response, code, time.perf_counter() - started))

    def _note_answers(self, version: int, answers: Sequence[Answer]) -> None:
        if self._observer:
            self._observer.note_answers(self._model.name, version, answers)

    def _explain(self, error: grpc.RpcError, deadline: float) -> ServingError:
        return explain_failure(error, self._target, deadline, self._encrypted, self._remedies)


def rank_predicted(
    images: Sequence[PreparedImage], answer: PredictAnswer, names: Sequence[str], top: int, milliseconds: float
) -> list[Answer]:
    """Returns the predictions of a Predict call; `names` that do not fit the classes are not used."""
    if len(names) != answer.probabilities.shape[1]:
        names = ()
    return [
        rank_classes(
            row, names, image=image.name, top=top, version=answer.version, milliseconds=milliseconds, label=label
        )
        for image, row, label in zip(images, answer.probabilities, answer.labels, strict=True)
    ]


def rank_classified(
    images: Sequence[PreparedImage], answer: ClassifyAnswer, top: int, milliseconds: float
) -> list[Answer]:
    """Returns the predictions of a Classify call."""
    return [
        rank_classes(row, answer.names, image=image.name, top=top, version=answer.version, milliseconds=milliseconds)
        for image, row in zip(images, answer.scores, strict=True)
    ]

"""The client that blocks until an answer is there."""

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Self

import grpc

from atelier.preprocessing import PREPROCESSING_SIGNATURE
from serving.client import messages
from serving.client.base_client import BaseClient, rank_classified, rank_predicted
from serving.client.errors import ServingError
from serving.client.messages import Metadata, VersionStatus
from serving.client.predictions import Answer, Prediction, require_predictions
from serving.client.preparation import ImageSource, Preparation, PreparedImage


class Client(BaseClient):
    """Asks a server and waits for the answer; threads may share one client. See `BaseClient` for the arguments."""

    _grpc = grpc
    _new_lock = threading.Lock

    def predict(
        self, images: Sequence[ImageSource], *, top: int = 1, deadline: float | None = None
    ) -> list[Prediction]:
        """Asks for the classes of images, which are sent encoded.

        Args:
          images: encoded bytes, paths of files, or results of `prepare`. All of them are checked before any is sent.
          top: number of classes to name for each image. An answer to Predict names the best one only. For more, the
            model's signature for Classify is asked once for each version. Without that signature, the other classes
            are named by their ids.
          deadline: seconds for each call; None: the client's.

        Returns:
          One prediction for each image, in their order.

        Raises:
          ServingError: an image cannot be used, or a call failed; the message says what to do.
          NoPredictionError: a ServingError; the model gave NaN or infinity for an image. Its `answers` hold the
            predictions of the others.
        """
        return self._ask_in_batches(self._predict_batch, images, top, deadline)

    def classify(
        self, images: Sequence[ImageSource], *, top: int = 1, deadline: float | None = None
    ) -> list[Prediction]:
        """Does what `predict` does through Classify: images are sent in tf.Examples, and every class has its name."""
        return self._ask_in_batches(self._classify_batch, images, top, deadline)

    def prepare(self, image: ImageSource, name: str = "the image") -> PreparedImage:
        """Gives an image the form in which it is sent; `predict` takes the result as it takes the image.

        Args:
          image: encoded bytes, or the path of a file.
          name: what messages call the image, if it is bytes.

        Raises:
          ServingError: it cannot be read, is no image, or is larger than a message may be.
        """
        return self._prepare(image, self.preparation(), name)

    def preparation(self, *, deadline: float | None = None) -> Preparation:
        """Returns what is done to images before they are sent. The model is asked for it once for each version.

        Raises:
          ServingError: the call failed.
        """
        return self._find_preparation(None, deadline)

    def metadata(self, *, deadline: float | None = None) -> Metadata:
        """Asks for the model's signatures.

        Raises:
          ServingError: the call failed.
        """
        request = messages.build_metadata_request(self._model)
        return messages.read_metadata_response(self._call(self._stubs.get_model_metadata, request, deadline))

    def status(self, *, deadline: float | None = None) -> list[VersionStatus]:
        """Asks for the states of the model's versions, newest first; of one if the client's model names its number.

        Raises:
          ServingError: the call failed.
        """
        request = messages.build_status_request(self._model)
        return messages.read_status_response(self._call(self._stubs.get_model_status, request, deadline))

    def close(self) -> None:
        """Ends the connection."""
        self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _ask_in_batches(
        self,
        ask: Callable[[Sequence[PreparedImage], int, float | None], tuple[int, list[Answer]]],
        images: Sequence[ImageSource],
        top: int,
        deadline: float | None,
    ) -> list[Prediction]:
        if not images:
            return []
        batches = self._start_batches(images, self._find_preparation(None, deadline))
        while batch := batches.take_batch():
            try:
                version, answers = ask(batch, top, deadline)
            except ServingError as error:
                batches.shrink(error, len(batch))
                continue
            preparation = self._find_preparation(version, deadline)
            if batches.must_prepare_again(preparation):
                batches.images = self._prepare_all(batches.images, preparation)
            else:
                batches.answers += answers
                self._note_answers(version, answers)
        return require_predictions(batches.answers)

    def _predict_batch(
        self, images: Sequence[PreparedImage], top: int, deadline: float | None
    ) -> tuple[int, list[Answer]]:
        encoded = [image.encoded for image in images]
        started = time.perf_counter()
        response = self._call(self._stubs.predict, messages.build_predict_request(self._model, encoded), deadline)
        milliseconds = 1e3 * (time.perf_counter() - started)
        answer = messages.read_predict_response(response, len(images))
        names = self._find_names(answer.version, encoded[0], deadline) if top > 1 else ()
        return answer.version, rank_predicted(images, answer, names, top, milliseconds)

    def _classify_batch(
        self, images: Sequence[PreparedImage], top: int, deadline: float | None
    ) -> tuple[int, list[Answer]]:
        encoded = [image.encoded for image in images]
        started = time.perf_counter()
        response = self._call(self._stubs.classify, messages.build_classify_request(self._model, encoded), deadline)
        milliseconds = 1e3 * (time.perf_counter() - started)
        answer = messages.read_classify_response(response, len(images))
        return answer.version, rank_classified(images, answer, top, milliseconds)

    def _find_preparation(self, version: int | None, deadline: float | None) -> Preparation:
        with self._lock:  # one of many threads asks, the others find its answer
            if known := self._get_known_preparation(version):
                return known
            request = messages.build_description_request(self._model, PREPROCESSING_SIGNATURE, version)
            try:
                return self._note_preparation(self._call(self._stubs.predict, request, deadline))
            except ServingError as error:
                return self._note_no_preparation(error, version)

    def _find_names(self, version: int, encoded: bytes, deadline: float | None) -> tuple[str, ...]:
        with self._lock:
            if version in self._names:
                return self._names[version]
            request = messages.build_classify_request(self._model, [encoded], version)
            try:
                return self._note_names(self._call(self._stubs.classify, request, deadline))
            except ServingError as error:
                return self._note_no_names(error, version)

    def _call(self, method: Callable[..., Any], request: Any, deadline: float | None) -> Any:
        seconds = self._deadline if deadline is None else deadline
        started = time.perf_counter()
        try:
            response = method(request, timeout=seconds)
        except grpc.RpcError as error:
            self._note_call(request, None, error.code(), started)
            raise self._explain(error, seconds) from error
        self._note_call(request, response, grpc.StatusCode.OK, started)
        return response

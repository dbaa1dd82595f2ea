"""A client that splits traffic between the aliases stable and canary, and logs each answer with its arm.

    from serving.ab.split_client import SplitClient

    with SplitClient("localhost:8500", shares="shares.yaml", log="answers.jsonl") as client:
        answer = client.predict("cat.jpg", key=user)
        print(answer.prediction.label, answer.request_id)
        client.feedback(answer.request_id, "cat")  # when the truth is known

It needs no TensorFlow.
"""

import time

from serving.ab.base_split_client import BaseSplitClient, SplitAnswer
from serving.client import Client, ServingError
from serving.client.preparation import ImageSource


class SplitClient(BaseSplitClient):
    """Asks the version of the arm that a key belongs to; threads may share one client.

    See `BaseSplitClient` for the arguments.
    """

    _client = Client

    def predict(
        self,
        image: ImageSource,
        *,
        key: str,
        request_id: str | None = None,
        top: int = 1,
        deadline: float | None = None,
    ) -> SplitAnswer:
        """Asks for the class of an image.

        Args:
          image: as of `Client.predict`.
          key: decides the arm; the same key meets the same arm as long as salt and shares stay. It is not logged.
          request_id: of your own; None: one is made.
          top: as of `Client.predict`.
          deadline: seconds; None: the client's.

        Raises:
          ServingError: the image cannot be used, or the call failed; a call that failed counts against its arm.
        """
        client, answer = self._begin(key, request_id)
        started = time.perf_counter()
        try:
            prepared = client.prepare(image)
            (prediction,) = client.predict([prepared], top=top, deadline=deadline)
        except ServingError as error:
            self._log_failure(answer, error, started)
            raise
        return self._log_answer(answer, prediction, prepared)

    def feedback(self, request_id: str, truth: str) -> None:
        """Logs the true class of a request.

        Raises:
          AnswerLogError: the log cannot be written.
        """
        self._log.add_truths([(request_id, truth)])

    def close(self) -> None:
        """Ends the connections and closes the log."""
        for client in self._clients.values():
            client.close()
        self._log.close()

    def __enter__(self) -> "SplitClient":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

"""The split client for asyncio: `split_client.py` once more, with `await` at every call.

from serving.ab.async_split_client import AsyncSplitClient

async with AsyncSplitClient("localhost:8500", shares="shares.yaml", log="answers.jsonl") as client:
answer = await client.predict("cat.jpg", key=user)
"""

import asyncio
import time

from serving.ab.base_split_client import BaseSplitClient, SplitAnswer
from serving.client import AsyncClient, ServingError
from serving.client.preparation import ImageSource


class AsyncSplitClient(BaseSplitClient):
    """Asks the version of the arm that a key belongs to; make, use and close it in one event loop.

    The methods are those of `SplitClient`. The log is written in a thread. A call that is cancelled is not logged.
    """

    _client = AsyncClient

    async def predict(
        self,
        image: ImageSource,
        *,
        key: str,
        request_id: str | None = None,
        top: int = 1,
        deadline: float | None = None,
    ) -> SplitAnswer:
        """See `SplitClient.predict`."""
        client, answer = self._begin(key, request_id)
        started = time.perf_counter()
        try:
            prepared = await client.prepare(image)
            (prediction,) = await client.predict([prepared], top=top, deadline=deadline)
        except ServingError as error:
            await asyncio.to_thread(self._log_failure, answer, error, started)
            raise
        return await asyncio.to_thread(self._log_answer, answer, prediction, prepared)

    async def feedback(self, request_id: str, truth: str) -> None:
        """See `SplitClient.feedback`."""
        await asyncio.to_thread(self._log.add_truths, [(request_id, truth)])

    async def close(self) -> None:
        """Ends the connections and closes the log."""
        for client in self._clients.values():
            await client.close()
        self._log.close()

    async def __aenter__(self) -> "AsyncSplitClient":
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.close()

"""Dynamic batching: requests that wait at the same time are answered by one run of the model.

The rules and names are those of TensorFlow Serving's batching_parameters.txt.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

import grpc
import numpy as np

from serving.server.model_server_config import BatchingParameters
from serving.server.status import StatusError, build_invalid_error

Arrays = Mapping[str, np.ndarray]
Run = Callable[[Arrays], Arrays]
NoteBatch = Callable[[Hashable, int, Sequence[float]], None]
"""Is told of each batch: its key, its rows, and the seconds that each of its tasks waited."""


@dataclass
class _Task:
    key: Hashable
    inputs: Arrays
    rows: int
    run: Run
    arrived: float = field(default_factory=time.monotonic)
    future: "Future[Arrays]" = field(default_factory=Future)


class BatchScheduler:
    """Collects tasks by key and runs those of one key together, on threads of its own."""

    def __init__(self, parameters: BatchingParameters, note_batch: NoteBatch | None = None) -> None:
        self._parameters, self._note_batch = parameters, note_batch
        self._queues: dict[Hashable, deque[_Task]] = {}
        self._changed = threading.Condition()
        self._closed = False
        self._threads = [
            threading.Thread(target=self._run_batches, name=f"batch-{number}", daemon=True)
            for number in range(parameters.num_batch_threads)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, key: Hashable, run: Run, inputs: Arrays, rows: int) -> "Future[Arrays]":
        """Queues one request.

        Args:
          key: requests of the same key are merged: their `run` must be the same, their inputs of equal types, and of
            equal shapes behind the first axis.
          run: the model; called with the merged inputs.
          inputs: each [rows, ...].
          rows: at least 1.

        Returns:
          The outputs for these rows alone, or the StatusError that `run` raised for them. A task whose future is
          cancelled before its turn is not run.

        Raises:
          StatusError: INVALID_ARGUMENT for more rows than a batch may have, UNAVAILABLE where the queue is full.
        """
        most = self._parameters.max_batch_size
        if rows > most:
            raise build_invalid_error(f"Task size {rows} is larger than maximum input batch size {most}")
        task = _Task(key, inputs, rows, run)
        with self._changed:
            queue = self._queues.setdefault(key, deque())
            waiting = sum(each.rows for each in queue)
            if self._closed or waiting + rows > most * self._parameters.max_enqueued_batches:
                reason = "The batch scheduling queue to which this task was submitted is full"
                raise StatusError(grpc.StatusCode.UNAVAILABLE, "shutting down" if self._closed else reason)
            queue.append(task)
            self._changed.notify()
        return task.future

    def close(self) -> None:
        """Answers the waiting requests, and ends the threads."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _run_batches(self) -> None:
        while tasks := self._wait_for_batch():
            _answer(tasks, self._count_padding, self._note_batch)

    def _wait_for_batch(self) -> list[_Task]:
        """Waits for a batch that is full, or whose oldest task has waited long enough; empty at the end."""
        timeout = self._parameters.batch_timeout_micros / 1e6
        with self._changed:
            while True:
                now = time.monotonic()
                due = {key: queue[0].arrived + timeout for key, queue in self._queues.items()}
                full = [key for key, queue in self._queues.items() if self._is_full(queue)]
                for key in (*full, *sorted(due, key=due.__getitem__)[:1]):
                    if key in full or self._closed or due[key] <= now:
                        return self._take(key)
                if self._closed:
                    return []
                self._changed.wait(min(due.values()) - now if due else None)

    def _is_full(self, queue: deque[_Task]) -> bool:
        return sum(task.rows for task in queue) >= self._parameters.max_batch_size

    def _take(self, key: Hashable) -> list[_Task]:
        queue, rows, tasks = self._queues[key], 0, []
        while queue and rows + queue[0].rows <= self._parameters.max_batch_size:
            tasks.append(queue.popleft())
            rows += tasks[-1].rows
        if not queue:
            del self._queues[key]
        self._changed.notify()  # what is left may be due for another thread
        return tasks

    def _count_padding(self, rows: int) -> int:
        """Returns how many rows to add, so that the model meets few different batch sizes."""
        return next((size - rows for size in self._parameters.allowed_batch_sizes if size >= rows), 0)


def _answer(tasks: Sequence[_Task], padding: Callable[[int], int], note_batch: NoteBatch | None) -> None:
    tasks = [task for task in tasks if task.future.set_running_or_notify_cancel()]
    if not tasks:
        return
    if note_batch:
        now = time.monotonic()
        note_batch(tasks[0].key, sum(task.rows for task in tasks), [now - task.arrived for task in tasks])
    if len(tasks) == 1:
        _answer_alone(tasks[0], padding)
        return
    try:
        answers = _run_merged(tasks, padding)
    except Exception:  # noqa: BLE001  # whatever it is, it comes again for the request that is at fault
        # A bad image in one request must not fail the others: each is run alone.
        for task in tasks:
            _answer_alone(task, padding)
        return
    for task, answer in zip(tasks, answers, strict=True):
        task.future.set_result(answer)


def _answer_alone(task: _Task, padding: Callable[[int], int]) -> None:
    try:
        task.future.set_result(_run_merged([task], padding)[0])
    except Exception as error:  # noqa: BLE001  # whatever it is, somebody waits for it
        task.future.set_exception(error)


def _run_merged(tasks: Sequence[_Task], padding: Callable[[int], int]) -> list[Arrays]:
    rows = [task.rows for task in tasks]
    added = padding(sum(rows))
    merged = {}
    for name, first in tasks[0].inputs.items():
        parts = [task.inputs[name] for task in tasks]
        merged[name] = np.concatenate([*parts, *([first[:1]] * added)])
    outputs = tasks[0].run(merged)
    starts = np.cumsum([0, *rows[:-1]])
    return [
        {name: output[start : start + count] for name, output in outputs.items()}
        for start, count in zip(starts, rows, strict=True)
    ]

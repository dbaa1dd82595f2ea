"""Work in several processes of this machine, which end with this one, however it ends."""

import multiprocessing
import os
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent import futures
from concurrent.futures import process
from typing import TypeVar

from atelier.errors import AtelierError
from compat import child_processes

_T = TypeVar("_T")
_R = TypeVar("_R")


class WorkerEndedError(AtelierError):
    """A worker process was ended by somebody else; the message says why that happens and what to do."""


def map_in_processes(work: Callable[[_T], _R], items: Iterable[_T], count: int) -> Generator[_R, None, None]:
    """Yields `work(item)` for each item, in their order, computed in `count` processes.

    Close the generator where its results are not taken to the end: that ends the processes.

    Raises:
      WorkerEndedError: a process was ended from outside.
    """
    context = multiprocessing.get_context("spawn")  # threads run here already
    others = multiprocessing.active_children()
    try:
        with futures.ProcessPoolExecutor(count, context, child_processes.start_worker, (os.getpid(),)) as pool:
            try:
                yield from _submit(pool, work, items)
            except BaseException:  # a signal, too: what the workers do is of no use any more
                for worker in multiprocessing.active_children():
                    if worker not in others:
                        worker.kill()
                raise
    except process.BrokenProcessPool:
        raise WorkerEndedError(
            "a worker process was killed from outside, as the system does when memory runs out: "
            "use fewer workers (beam.workers), or smaller images (ingest.max_pixels)"
        ) from None


def _submit(pool: futures.Executor, work: Callable[[_T], _R], items: Iterable[_T]) -> Iterator[_R]:
    try:
        return pool.map(work, items)
    except OSError:
        # Where a worker has ended while others are started, this pool has closed its pipes: asked again, it says why.
        pool.submit(int)
        raise

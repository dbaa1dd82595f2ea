import errno
from concurrent import futures
from concurrent.futures import process

import pytest

from pipeline.beam.worker_pool import WorkerEndedError, map_in_processes


@pytest.mark.parametrize(
    ("error", "then", "raised", "words"),
    [
        # Python 3.11 says this of a pool whose first worker ended before the second was started.
        (
            OSError("handle is closed"),
            process.BrokenProcessPool("a child ended"),
            WorkerEndedError,
            "killed from outside",
        ),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), None, OSError, "Cannot allocate memory"),
        (OSError("an item's own, without a number"), None, OSError, "an item's own"),
    ],
)
def test_a_worker_that_ends_while_others_start_is_told_as_one_that_ends_later(monkeypatch, error, then, raised, words):
    answers = iter([error, then])

    def submit(*_, **__):
        if (answer := next(answers)) is not None:
            raise answer

    monkeypatch.setattr(futures.ProcessPoolExecutor, "submit", submit)
    with pytest.raises(raised, match=words):
        next(map_in_processes(abs, [-1, -2], 2))


def test_results_come_in_the_order_of_the_items():
    assert list(map_in_processes(abs, range(-5, 0), 2)) == [5, 4, 3, 2, 1]

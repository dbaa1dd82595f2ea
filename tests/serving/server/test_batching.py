import threading
import time

import grpc
import numpy as np
import pytest

from serving.server.batching import BatchScheduler
from serving.server.model_server_config import BatchingParameters
from serving.server.status import StatusError, build_invalid_error


class Doubling:
    """Doubles x; refuses negative numbers. Keeps the batches that it met."""

    def __init__(self):
        self.batches = []
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Event()

    def __call__(self, inputs):
        self.entered.set()
        assert self.gate.wait(10)
        self.batches.append(inputs["x"].tolist())
        if (inputs["x"] < 0).any():
            raise build_invalid_error(f"negative: {inputs['x'].min()}")
        return {"y": 2 * inputs["x"]}


@pytest.fixture
def doubling():
    return Doubling()


@pytest.fixture
def scheduler():
    """Makes schedulers with one thread, and closes them."""
    made = []

    def make(**changes):
        defaults = {"max_batch_size": 4, "batch_timeout_micros": 0, "max_enqueued_batches": 2, "num_batch_threads": 1}
        made.append(BatchScheduler(BatchingParameters(**defaults | changes)))
        return made[-1]

    yield make
    for each in made:
        each.close()


def submit(scheduler, run, *values, key="k"):
    return scheduler.submit(key, run, {"x": np.array(values)}, len(values))


def held(scheduler, run):
    """Keeps the only thread busy, so that what comes next has to wait."""
    run.gate.clear()
    first = submit(scheduler, run, 100, key="held")
    assert run.entered.wait(10)
    return first


def result(future):
    return future.result(10)["y"].tolist()


def test_what_waits_together_is_run_together_and_each_gets_its_own_rows(scheduler, doubling):
    batches = scheduler()
    held(batches, doubling)
    waiting = [submit(batches, doubling, 1), submit(batches, doubling, 2, 3), submit(batches, doubling, 4)]
    doubling.gate.set()
    assert [result(each) for each in waiting] == [[2], [4, 6], [8]]
    assert doubling.batches == [[100], [1, 2, 3, 4]]


def test_requests_are_not_split_and_other_keys_not_merged(scheduler, doubling):
    batches = scheduler()
    held(batches, doubling)
    waiting = [
        submit(batches, doubling, 1, 2, 3),
        submit(batches, doubling, 4, 5),
        submit(batches, doubling, 9, key="other"),
    ]
    doubling.gate.set()
    assert [result(each) for each in waiting] == [[2, 4, 6], [8, 10], [18]]
    assert sorted(doubling.batches) == [[1, 2, 3], [4, 5], [9], [100]]


def test_a_full_batch_does_not_wait_for_the_timeout(scheduler, doubling):
    batches = scheduler(batch_timeout_micros=60_000_000)
    began = time.monotonic()
    assert result(submit(batches, doubling, 1, 2, 3, 4)) == [2, 4, 6, 8]
    assert time.monotonic() - began < 30


def test_a_batch_waits_for_company_as_long_as_the_timeout_says(scheduler, doubling):
    batches = scheduler(batch_timeout_micros=300_000)
    first = submit(batches, doubling, 1)
    second = submit(batches, doubling, 2)
    assert (result(first), result(second)) == ([2], [4])
    assert doubling.batches == [[1, 2]]


def test_batches_are_filled_up_to_an_allowed_size(scheduler, doubling):
    batches = scheduler(max_batch_size=8, allowed_batch_sizes=(2, 8))
    assert result(submit(batches, doubling, 7)) == [14]
    assert result(submit(batches, doubling, 1, 2, 3)) == [2, 4, 6]
    assert doubling.batches == [[7, 7], [1, 2, 3, 1, 1, 1, 1, 1]]


def test_one_bad_request_fails_alone(scheduler, doubling):
    batches = scheduler()
    held(batches, doubling)
    good, bad, also_good = (submit(batches, doubling, value) for value in (1, -5, 3))
    doubling.gate.set()
    assert (result(good), result(also_good)) == ([2], [6])
    with pytest.raises(StatusError, match="negative: -5"):
        bad.result(10)


def test_a_request_that_nobody_waits_for_any_more_is_not_run(scheduler, doubling):
    batches = scheduler()
    held(batches, doubling)
    gone, kept = submit(batches, doubling, 1), submit(batches, doubling, 2)
    assert gone.cancel()
    doubling.gate.set()
    assert result(kept) == [4]
    assert doubling.batches == [[100], [2]]


def test_a_full_queue_is_unavailable_and_a_larger_request_invalid(scheduler, doubling):
    batches = scheduler()
    held(batches, doubling)
    waiting = [submit(batches, doubling, *range(4)) for _ in range(2)]
    with pytest.raises(StatusError, match="queue to which this task was submitted is full") as full:
        submit(batches, doubling, 1)
    assert full.value.code == grpc.StatusCode.UNAVAILABLE
    with pytest.raises(StatusError, match="Task size 5 is larger than maximum input batch size 4") as large:
        submit(batches, doubling, *range(5))
    assert large.value.code == grpc.StatusCode.INVALID_ARGUMENT
    doubling.gate.set()
    assert [result(each) for each in waiting] == [[0, 2, 4, 6]] * 2


def test_closing_answers_what_waits_and_takes_no_more(scheduler, doubling):
    batches = scheduler(batch_timeout_micros=60_000_000)
    waiting = submit(batches, doubling, 1)
    batches.close()
    assert result(waiting) == [2]
    with pytest.raises(StatusError, match="shutting down"):
        submit(batches, doubling, 1)


def test_many_threads_lose_and_swap_nothing(scheduler, doubling):
    batches = scheduler(max_batch_size=16, num_batch_threads=2, max_enqueued_batches=100, batch_timeout_micros=500)
    found = {}

    def client(start):
        for value in range(start, start + 50):
            found[value] = result(submit(batches, doubling, value))

    clients = [threading.Thread(target=client, args=(start,)) for start in range(0, 400, 50)]
    for each in clients:
        each.start()
    for each in clients:
        each.join()
    assert found == {value: [2 * value] for value in range(400)}

"""What a unit of files does between reading and writing."""

import threading
import time

import pytest

from pipeline.ingest import units


def test_two_are_worked_on_at_a_time_and_come_in_their_order():
    running, most, lock = set(), [], threading.Lock()

    def work(item):
        with lock:
            running.add(item)
            most.append(len(running))
        time.sleep(0.02 if item % 2 == 0 else 0.001)  # an odd one is done before its neighbor
        with lock:
            running.remove(item)
        return item * 10

    assert list(units._run_two_at_a_time(work, range(9))) == [item * 10 for item in range(9)]
    assert max(most) == 2


def test_a_slow_one_does_not_keep_the_other_thread_waiting():
    others_done = threading.Event()

    def work(item):
        if item == 0:
            return others_done.wait(10)
        if item == 6:
            others_done.set()
        return True

    assert all(units._run_two_at_a_time(work, range(9)))


def test_no_more_than_eight_are_taken_ahead_of_the_writer():
    taken = []

    def items():
        for item in range(20):
            taken.append(item)
            yield item

    results = units._run_two_at_a_time(lambda item: item, items())
    assert next(results) == 0
    assert taken == list(range(8))
    assert next(results) == 1
    assert taken == list(range(9))
    assert list(results) == list(range(2, 20))


def test_an_error_comes_where_its_item_would():
    def work(item):
        if item == 1:
            raise OSError("gone")
        return item

    results = units._run_two_at_a_time(work, range(3))
    assert next(results) == 0
    with pytest.raises(OSError, match="gone"):
        next(results)
    assert list(units._run_two_at_a_time(work, [])) == []

"""What a unit of files does between reading and writing."""

import threading
import time

import pytest

from pipeline import units


def test_two_are_worked_on_at_a_time_and_come_in_their_order():
    running, most, lock = set(), [], threading.Lock()

    def work(item):
        with lock:
            running.add(item)
            most.append(len(running))
        time.sleep(0.02 if item % 2 == 0 else 0.001)  # an odd one is done before its neighbour
        with lock:
            running.remove(item)
        return item * 10

    assert list(units._two_at_a_time(work, range(9))) == [item * 10 for item in range(9)]
    assert max(most) == 2


def test_no_more_than_three_are_taken_ahead_of_the_writer():
    taken = []

    def items():
        for item in range(9):
            taken.append(item)
            yield item

    results = units._two_at_a_time(lambda item: item, items())
    assert next(results) == 0
    assert taken == [0, 1, 2]
    assert next(results) == 1
    assert taken == [0, 1, 2, 3]


def test_an_error_comes_where_its_item_would():
    def work(item):
        if item == 1:
            raise OSError("gone")
        return item

    results = units._two_at_a_time(work, range(3))
    assert next(results) == 0
    with pytest.raises(OSError, match="gone"):
        next(results)
    assert list(units._two_at_a_time(work, [])) == []

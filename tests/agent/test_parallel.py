"""agent.parallel: order, bounded look-ahead, and errors that reach the reader."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from agent.parallel import THREADS, in_order


def test_results_come_in_the_order_of_the_items_however_long_each_takes() -> None:
    def slow_at_first(number: int) -> int:
        time.sleep(0.01 * (5 - number))
        return number * number

    assert list(in_order(slow_at_first, range(6))) == [0, 1, 4, 9, 16, 25]


def test_no_more_items_are_taken_than_the_reader_can_soon_use() -> None:
    taken: list[int] = []

    def items() -> Iterator[int]:
        for number in range(100):
            taken.append(number)
            yield number

    results = in_order(lambda number: number, items())
    assert next(results) == 0
    assert len(taken) == THREADS + 1
    results.close()


def test_an_error_is_raised_after_the_results_before_it() -> None:
    def fails_at_three(number: int) -> int:
        if number == 3:
            raise ValueError("three")
        return number

    results = in_order(fails_at_three, range(10))
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="three"):
        next(results)

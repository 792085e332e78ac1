"""Work on a few threads whose results come in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

THREADS = 2


def in_order(function: Callable[[Item], Result], items: Iterable[Item]) -> Generator[Result]:
    """`function` of each item, in the items' order; raises what `function` raised when its turn comes.

    At most THREADS + 1 results wait for the reader, whatever the number of items; `items` is read by the reader's
    thread. NumPy, OpenCV and FFmpeg let go of Python's lock, so that both threads and the reader really run.
    """
    with ThreadPoolExecutor(THREADS) as pool:
        pending: deque[Future[Result]] = deque()
        for item in items:
            pending.append(pool.submit(function, item))
            if len(pending) > THREADS:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()

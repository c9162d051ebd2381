"""Pieces worked on by threads while the next are read and the last are written, in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from materia.data.limits import THREADS

Item = TypeVar("Item")
Result = TypeVar("Result")


def worked_on(function: Callable[[Item], Result], items: Iterable[Item]) -> Generator[Result]:
    """Yield `function` of each item in the order of the items.

    Items are drawn in the caller's thread, at most one more than there are threads ahead of what
    is asked for, so memory stays bounded. Polars lets go of the interpreter, so pieces that pass
    one after the other through Polars keep all cores busy. When the caller stops early, or an item
    fails, the pieces that have been begun are waited for and the others dropped.
    """
    waiting: deque[Future[Result]] = deque()
    pool = ThreadPoolExecutor(THREADS, "tables")
    try:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) > THREADS:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)

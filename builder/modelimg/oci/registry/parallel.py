"""A few things at once; the first that fails stops the rest."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def run_all(work: Callable[[T], R], items: Iterable[T], *, threads: int, stop: threading.Event) -> Iterator[R]:
    """Results, in the order in which they come.

    Args:
        work: called with each item, in one of ``threads`` threads. It should look at ``stop`` now and then.
        items: what to work on.
        threads: how many at once.
        stop: set on the first failure, an interrupt included.

    Raises:
        Exception: the first that ``work`` raised, once every thread has ended.
    """
    todo: Sequence[T] = list(items)
    if min(threads, len(todo)) <= 1:
        yield from map(work, todo)
        return
    from concurrent.futures import ThreadPoolExecutor, as_completed

    with ThreadPoolExecutor(min(threads, len(todo)), thread_name_prefix="registry") as pool:
        futures = [pool.submit(work, item) for item in todo]
        try:
            for future in as_completed(futures):
                yield future.result()
        except BaseException:
            stop.set()
            pool.shutdown(wait=True, cancel_futures=True)
            raise

"""A few threads at work on a stream, which is never read far ahead of them."""

import multiprocessing
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

One = TypeVar("One")
Other = TypeVar("Other")


def threads_here() -> int:
    """Threads that this process may keep busy: one in a worker, else one per core.

    Engines that give each shard one core say so with ``RAYON_NUM_THREADS``, which the tokenizer
    libraries obey as well.
    """
    told = os.environ.get("RAYON_NUM_THREADS", "")
    if told.isdecimal() and int(told):
        return int(told)
    if multiprocessing.parent_process() is not None:
        return 1
    cores = getattr(os, "sched_getaffinity", None)
    return len(cores(0)) if cores else os.cpu_count() or 1


def mapped(work: Callable[[One], Other], stream: Iterable[One], threads: int) -> Iterator[Other]:
    """``map(work, stream)`` by ``threads`` threads, in order, at most one item ahead of them."""
    if threads == 1:
        yield from map(work, stream)
        return
    with ThreadPoolExecutor(threads) as pool:
        pending: deque[Future[Other]] = deque()
        try:
            for item in stream:
                pending.append(pool.submit(work, item))
                if len(pending) > threads:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)

"""Threads: how many, map a stream in order, or run tasks in one background thread."""

import os
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:  # the command line starts with this module, and help needs none of them
    from concurrent.futures import Future

One = TypeVar("One")
Other = TypeVar("Other")


_BUDGETS = ("RAYON_NUM_THREADS", "OMP_NUM_THREADS", "POLARS_MAX_THREADS")
"""What tokenizer libraries, torch with pyarrow, and polars take their number of threads from."""


def threads_here() -> int:
    """Threads that this process may keep busy: its budget in a worker, else one per core."""
    told = os.environ.get(_BUDGETS[0], "")
    return int(told) if told.isdecimal() and int(told) else _cores()


def share(workers: int) -> int:
    """Threads for each of so many workers on this machine: its cores, divided among them."""
    return max(_cores() // workers, 1)


def limit_threads(count: int) -> None:
    """Let this process, a worker, keep ``count`` threads busy; what the user has set goes first."""
    for name in _BUDGETS:
        os.environ.setdefault(name, str(count))
    torch = sys.modules.get("torch")
    if torch is not None:  # which has read its number already
        torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))


def wait_asleep() -> None:
    """Let torch's threads sleep while they wait; to be called before torch is imported.

    By default they spin. On a machine that others use too, a thread that spins keeps a core from
    the thread that it waits for: two threads on two busy cores were measured to take ten times as
    long as one, and as long as one when they sleep.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("KMP_BLOCKTIME", "0")


def torch_threads() -> str:
    """How many threads torch takes, in a sentence. The number never follows the load: other sums
    round differently, and the same study would give other tables."""
    told = os.environ.get("OMP_NUM_THREADS", "")
    count = int(told) if told.isdecimal() else _cores()
    return f"torch uses {count} threads (set OMP_NUM_THREADS to change this)."


def _cores() -> int:
    """Cores that this process may use."""
    cores = getattr(os, "sched_getaffinity", None)
    return len(cores(0)) if cores else os.cpu_count() or 1


def mapped(work: Callable[[One], Other], stream: Iterable[One], threads: int) -> Iterator[Other]:
    """``map(work, stream)`` by ``threads`` threads, in order, at most one item ahead of them."""
    if threads == 1:
        yield from map(work, stream)
        return
    from concurrent.futures import ThreadPoolExecutor

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


class BackgroundThread:
    """Run tasks in one background thread; ``do`` waits for the previous task.

    An exception raised by a task is raised by the next ``do`` or ``wait``.
    """

    def __init__(self) -> None:
        from concurrent.futures import ThreadPoolExecutor

        self._thread = ThreadPoolExecutor(1)
        self._running: Future[Any] | None = None

    def do(self, work: Callable[..., Any], *given: Any) -> None:
        """Start ``work(*given)`` once the previous task has ended."""
        self.wait()
        self._running = self._thread.submit(work, *given)

    def wait(self) -> None:
        """Wait until no task is running."""
        running, self._running = self._running, None
        if running is not None:
            running.result()

    def __enter__(self) -> "BackgroundThread":
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        try:
            if kind is None:
                self.wait()
        finally:
            self._thread.shutdown()

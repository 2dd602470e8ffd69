"""Threads: how many, map a stream in order, or run tasks in one background thread."""

import multiprocessing
import os
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

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
    return 1 if multiprocessing.parent_process() is not None else _cores()


def wait_asleep() -> None:
    """Let torch's threads sleep while they wait; to be called before torch is imported.

    By default they spin. On a machine that others use too, a thread that spins keeps a core from
    the thread that it waits for: two threads on two busy cores were measured to take ten times as
    long as one, and as long as one when they sleep.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("KMP_BLOCKTIME", "0")


def leave_room(machine: Path = Path("/proc/loadavg")) -> str | None:
    """Let torch use only the cores that nobody else is using, unless OMP_NUM_THREADS is set.

    What counts is what wants to run now, not the load average: that remembers the user's own last
    command.

    Args:
        machine: where Linux says how many threads want to run; elsewhere nothing is changed.

    Returns:
        A sentence, if torch uses fewer cores than there are.
    """
    cores = _cores()
    if "OMP_NUM_THREADS" in os.environ or cores == 1 or not machine.is_file():
        return None
    wanting = []
    for _ in range(5):
        wanting.append(int(machine.read_text().split()[3].partition("/")[0]) - 1)  # but this one
        time.sleep(0.02)
    free = max((os.cpu_count() or 1) - min(wanting), 1)
    if free >= cores:
        return None
    os.environ["OMP_NUM_THREADS"] = str(free)  # for torch where it is not here yet, and in workers
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(free)
    return (
        f"The machine is busy: computing with {free} of {cores} threads "
        f"(OMP_NUM_THREADS={cores} takes all)."
    )


def _cores() -> int:
    """Cores that this process may use."""
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


class BackgroundThread:
    """Run tasks in one background thread; ``do`` waits for the previous task.

    An exception raised by a task is raised by the next ``do`` or ``wait``.
    """

    def __init__(self) -> None:
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

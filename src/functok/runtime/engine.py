"""Sharded work: shard → partial result → merge; resumable, and indifferent to where it runs.

Counting a corpus and building a graph are the same job. A ``Job`` turns one shard into one
partial result; partial results merge as a commutative monoid. Each is written atomically into a
folder under a name derived from everything that determines it, so what is there already is not
computed again: kill -9 and rerun costs at most the shards in flight. The engine decides only
*where* a shard runs. The merge goes in shard order whatever order the shards finished in, so the
result never depends on the engine.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import reduce
from multiprocessing import get_context, parent_process
from multiprocessing.connection import wait
from pathlib import Path
from threading import Thread
from typing import Any, Protocol, TypeVar, runtime_checkable

from functok.runtime.errors import UserError
from functok.runtime.progress import Progress, Silent, Task, ticking
from functok.runtime.store import fingerprint, writing_folder
from functok.runtime.threads import limit_threads, share


@runtime_checkable
class Partial(Protocol):
    """A mergeable result: ``merge`` is associative and commutative."""

    def merge(self, other: Any) -> Any:
        """The result of both, which are of the same type."""
        ...

    def save(self, folder: Path) -> None: ...


Shard = TypeVar("Shard", contravariant=True)
Result = TypeVar("Result", bound=Partial, covariant=True)


@runtime_checkable
class Job(Protocol[Shard, Result]):
    """What is done with one shard. It must be importable where it runs."""

    @property
    def key(self) -> str:
        """Identifies everything but the shard that determines a partial result."""
        ...

    def shard_key(self, shard: Shard) -> str:
        """Identifies the shard's content."""
        ...

    def run(self, shard: Shard) -> Result: ...

    def load(self, folder: Path) -> Result: ...


@runtime_checkable
class Engine(Protocol):
    """Where shards run."""

    def each(self, work: Sequence[Callable[[], None]]) -> Iterator[None]:
        """Do every piece of work, in any order; yield after each."""
        ...


class InProcess:
    """One shard after another, in this process."""

    def each(self, work: Sequence[Callable[[], None]]) -> Iterator[None]:
        for piece in work:
            yield piece()


@dataclass(frozen=True)
class Workers:
    """Shards side by side in ``count`` processes of this machine."""

    count: int

    def each(self, work: Sequence[Callable[[], None]]) -> Iterator[None]:
        # spawn, not fork: a forked child of a process that has used threads can hang.
        context, threads = get_context("spawn"), (share(self.count),)
        with ProcessPoolExecutor(self.count, context, _begin, threads) as pool:
            pending = [pool.submit(piece) for piece in work]
            try:
                for future in as_completed(pending):
                    yield future.result()
            finally:
                pool.shutdown(wait=True, cancel_futures=True)


def _begin(threads: int) -> None:
    """Give this worker its threads, and let it end when its parent does, even by kill -9: it would
    wait for ever."""
    limit_threads(threads)
    parent = parent_process()
    assert parent is not None

    def watch() -> None:
        wait([parent.sentinel])
        os._exit(1)

    Thread(target=watch, daemon=True).start()


@dataclass(frozen=True)
class _Piece:
    """One shard's work, as something that can be sent to another process."""

    job: Job
    shard: object
    folder: Path

    @property
    def gpus(self) -> int:
        """How many it computes on."""
        places = (getattr(self.job, name, "cpu") for name in ("device", "sae_device"))
        return int(any(place.startswith("cuda") for place in places))

    def __call__(self) -> None:
        if self.folder.exists():  # a machine that was given up for dead has finished it after all
            return
        partial = self.job.run(self.shard)
        with writing_folder(self.folder) as folder:
            partial.save(folder)


class _Noted:
    """Notes the tokens done next to the number of finished shards."""

    def __init__(self, task: Task) -> None:
        self._task, self._tokens = task, 0

    def advance(self, amount: int = 1, note: str = "") -> None:
        self._tokens += amount
        self._task.advance(0, f"{self._tokens:,} tokens")


Some = TypeVar("Some")
Whole = TypeVar("Whole", bound=Partial)


def run_shards(
    job: Job[Some, Whole],
    shards: Sequence[Some],
    folder: Path,
    engine: Engine | None = None,
    progress: Progress | None = None,
    name: str = "shards",
    tokens: Callable[[Some], int] | None = None,
) -> Whole:
    """The merged result of ``job`` over ``shards``.

    Args:
        job: what is done with one shard.
        shards: at least one.
        folder: where partial results are kept; those found there are reused.
        engine: where shards run; in this process by default.
        progress: who is told.
        name: what the work is called there.
        tokens: tokens in a shard, where that is known; progress in this process then counts them.

    Raises:
        UserError: if a partial result cannot be written, or is not where all machines see it.
    """
    assert shards, "a corpus without documents is refused before it is sharded"
    places = [folder / fingerprint(job.key, job.shard_key(shard)) for shard in shards]
    pieces = [
        _Piece(job, shard, place)
        for shard, place in zip(shards, places, strict=True)
        if not place.exists()
    ]
    engine, progress = engine or InProcess(), progress or Silent()
    if tokens is not None and isinstance(engine, InProcess):
        total, left = sum(map(tokens, shards)), sum(tokens(piece.shard) for piece in pieces)  # type: ignore[arg-type]
        with progress.task(name, total, "tokens") as task, ticking(task):
            task.advance(total - left)
            for _ in engine.each(pieces):
                pass
    else:
        with progress.task(name, len(shards), "shards") as task, ticking(_Noted(task)):
            task.advance(len(shards) - len(pieces))
            for _ in engine.each(pieces):
                task.advance()
    missing = [place for place in places if not place.exists()]
    if missing:
        raise UserError(
            f"{len(missing)} partial results were written on other machines and are missing from "
            f"{folder}; with -o, name a folder that every machine of the cluster sees at one path."
        )
    return merge_all(map(job.load, places))


def merge_all(partials: Iterable[Whole]) -> Whole:
    """The merger of at least one partial result, in order.

    Neighbours are merged like the digits of a binary counter, so each result is copied about log₂ n
    times and not n times, and about log₂ n of them are held at once.
    """
    held: list[tuple[int, Whole]] = []
    for partial in partials:
        level = 0
        while held and held[-1][0] == level:
            partial = held.pop()[1].merge(partial)
            level += 1
        held.append((level, partial))
    return reduce(lambda later, earlier: earlier.merge(later), [one for _, one in reversed(held)])

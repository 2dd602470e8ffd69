"""Progress of long work, without knowing how it is shown.

Nothing below the command line prints. Work that takes time receives a ``Progress`` and reports
to it; the command line passes one that draws bars or writes lines, tests and notebooks pass
``Silent()``.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import Protocol, runtime_checkable


@runtime_checkable
class Task(Protocol):
    """One piece of work under way."""

    def advance(self, amount: int = 1, note: str = "") -> None:
        """Report ``amount`` more units done; ``note`` is the newest figure worth showing."""
        ...


@runtime_checkable
class Progress(Protocol):
    """A listener to work under way."""

    def task(self, name: str, total: int, unit: str = "") -> AbstractContextManager[Task]:
        """Open a task of ``total`` units; leaving the context closes it."""
        ...

    def say(self, sentence: str) -> None:
        """One line that the user should see."""
        ...


class _SilentTask:
    def advance(self, amount: int = 1, note: str = "") -> None:
        return


class Silent:
    """A listener that shows nothing."""

    @contextmanager
    def task(self, name: str, total: int, unit: str = "") -> Iterator[Task]:
        yield _SilentTask()

    def say(self, sentence: str) -> None:
        return


_TICKED: ContextVar[Task | None] = ContextVar("ticked", default=None)


@contextmanager
def ticking(task: Task) -> Iterator[None]:
    """Let loops further down advance ``task``, token by token, while the block runs."""
    before = _TICKED.set(task)
    try:
        yield
    finally:
        _TICKED.reset(before)


def tick(tokens: int) -> None:
    """Report that so many more tokens are done, to whoever listens in this process."""
    task = _TICKED.get()
    if task is not None:
        task.advance(tokens)

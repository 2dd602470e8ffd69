"""Work done behind the caller's back, one piece at a time."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any


class Behind:
    """A thread that does one thing while its owner goes on to the next.

    Whoever hands in more than it can do waits, so no more than one piece of work is held. What
    goes wrong there is raised where the owner next waits.
    """

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1)
        self._under_way: Future[Any] | None = None

    def do(self, work: Callable[..., Any], *given: Any) -> None:
        """Begin ``work(*given)`` as soon as what is under way is done."""
        self.wait()
        self._under_way = self._thread.submit(work, *given)

    def wait(self) -> None:
        """Until nothing is under way."""
        under_way, self._under_way = self._under_way, None
        if under_way is not None:
            under_way.result()

    def __enter__(self) -> "Behind":
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        try:
            if kind is None:
                self.wait()
        finally:
            self._thread.shutdown()

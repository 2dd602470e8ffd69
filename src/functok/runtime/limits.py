"""Work of a library that may never end, given up after a time."""

from collections.abc import Callable
from threading import Thread
from typing import TypeVar

from functok.runtime.errors import UserError

Result = TypeVar("Result")


def within(seconds: float, work: Callable[[], Result], sentence: str) -> Result:
    """``work()``, unless it takes longer.

    The work goes on in a thread of its own when it is given up, since a library's loop cannot be
    stopped; it ends with the process.

    Raises:
        UserError: ``sentence``, after ``seconds``.
    """
    results: list[Result] = []
    errors: list[BaseException] = []

    def done() -> None:
        try:
            results.append(work())
        except BaseException as error:
            errors.append(error)

    thread = Thread(target=done, daemon=True)
    thread.start()
    thread.join(seconds)
    if errors:
        raise errors[0]
    if not results:
        raise UserError(sentence)
    return results[0]

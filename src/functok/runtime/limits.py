"""Work of a library that may never end, given up after a time."""

import time
from collections.abc import Callable
from threading import Thread
from typing import TypeVar

from functok.runtime.errors import UserError

Result = TypeVar("Result")


def within(seconds: float, work: Callable[[], Result], sentence: str) -> Result:
    """``work()``, unless it takes longer, both on the clock and of this process's CPU time.

    On a busy machine little is done in a second, so work that has had less CPU time may take up to
    ten times as long. It goes on in a thread of its own when it is given up, since a library's loop
    cannot be stopped; it ends with the process.

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
    begun, used = time.monotonic(), time.process_time()
    thread.join(seconds)
    while thread.is_alive() and time.process_time() - used < seconds:
        if time.monotonic() - begun > 10 * seconds:
            break
        thread.join(1.0)
    if errors:
        raise errors[0]
    if not results:
        raise UserError(sentence)
    return results[0]

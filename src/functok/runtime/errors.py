"""The kind of error that a user can fix, and the nearest valid name to what was typed."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches


class UserError(ValueError):
    """Input that cannot be used as it is.

    Its message is one sentence that names what is wrong, where, and how to fix it. The command
    line prints that sentence and exits with code 2; anything else that escapes is a defect of
    functok and keeps its traceback.
    """


class StoppedError(Exception):
    """The user stopped a command; its finished work is kept."""


def require(condition: bool, sentence: str) -> None:
    """Raise ``UserError(sentence)`` unless ``condition`` holds."""
    if not condition:
        raise UserError(sentence)


def check_ranges(part: object, **ranges: tuple[int | float, int | float]) -> None:
    """Refuse settings that lie outside their ranges, which include both ends; None passes.

    Raises:
        UserError: that names the setting, its value and its range.
    """
    for name, (low, high) in ranges.items():
        value = getattr(part, name)
        if value is not None and not low <= value <= high:
            shown = f"{value:,}" if abs(value) < 10**15 else "of that size"
            raise UserError(f"{name} {shown} must lie between {low:,} and {high:,}.")


def nearest(name: str, valid: Iterable[str]) -> str:
    """The end of a sentence on a mistyped ``name``: the nearest valid one, else all of them."""
    options = sorted(valid)
    close = get_close_matches(name, options, n=1, cutoff=0.5)
    if close:
        return f"did you mean {close[0]!r}?"
    return f"valid are {', '.join(options)}."


def check_name(kind: str, name: str, valid: Iterable[str]) -> None:
    """Refuse a ``name`` of some kind that is not among the valid ones.

    Raises:
        UserError: that names the nearest valid one, else all of them.
    """
    options = [*valid]
    require(name in options, f"There is no {kind} {name!r}; {nearest(name, options)}")


def first_line(error: BaseException) -> str:
    """The first line of what a library says, or the error's kind where it says nothing."""
    said = str(error).strip()
    return said.splitlines()[0].rstrip(".") if said else type(error).__name__


@contextmanager
def outside(what: str, advice: str) -> Iterator[None]:
    """The boundary to a library that reads the user's input: what it raises becomes one sentence.

    Args:
        what: the clause before the library's own words, such as "Model 'm' cannot be loaded".
        advice: the clause after them.

    Raises:
        UserError: for any exception but a ``UserError``, which passes.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"{what} ({first_line(error)[:300]}); {advice}.") from error

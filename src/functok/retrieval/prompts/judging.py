"""Does an answer show a trait? A judge sees the text of the answer only."""

import runpy
from collections.abc import Callable, Collection, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from functok.runtime.errors import UserError, check_name, outside, require

Judge = Callable[[str], bool]
"""Whether a continuation shows the trait."""


def contains(expected: Sequence[str]) -> Judge:
    """Any of the strings occurs, ignoring case."""
    wanted = [text.casefold() for text in expected]
    require(bool(wanted) and all(wanted), "Give at least one string to look for, and no empty one.")
    return lambda answer: any(text in answer.casefold() for text in wanted)


def in_language(code: str) -> Judge:
    """The answer is in the language with this ISO 639-1 code, as told by ``lingua``.

    Raises:
        UserError: for an unknown code, or if ``lingua-language-detector`` is not installed.
    """
    detector, languages = _detector()
    check_name("language", code.lower(), languages)
    wanted = languages[code.lower()]
    return lambda answer: detector.detect_language_of(answer) == wanted


@lru_cache(maxsize=1)
def _detector() -> tuple[Any, dict[str, Any]]:
    try:
        from lingua import Language, LanguageDetectorBuilder
    except ImportError as error:
        raise UserError(
            "Judging by language needs lingua; install it with: pip install 'functok[language]'."
        ) from error
    languages = {each.iso_code_639_1.name.lower(): each for each in Language.all()}
    return LanguageDetectorBuilder.from_all_languages().build(), languages


def in_file(place: str) -> Judge:
    """The answer is accepted by a Python function of the user's own, ``FILE.py:FUNCTION``.

    Raises:
        UserError: if there is no such file or function, or the file cannot be run.
    """
    file, _, name = place.rpartition(":")
    if not Path(file).is_file():
        raise UserError(f"There is no file {file!r} to judge by; write python:FILE.py:FUNCTION.")
    with outside(f"{file} cannot be run", "fix it"):
        found = runpy.run_path(file).get(name)
    if not callable(found):
        raise UserError(f"{file} has no function {name!r}; write python:FILE.py:FUNCTION.")
    return lambda answer: bool(found(answer))


def judge(rule: str, trusted: Collection[Path] = ()) -> Judge:
    """A judge from ``language:zh``, ``python:FILE.py:FUNCTION``, or strings separated by ``|``.

    Args:
        rule: as typed, or as a study says it.
        trusted: files that the user named to be run; a study may come from anybody.

    Raises:
        UserError: if the rule names a Python file that is not among them, or says nothing usable.
    """
    file = python_file(rule)
    if file is not None:
        if file.resolve() not in {one.resolve() for one in trusted}:
            raise UserError(
                f"The study asks to run Python code from {file} (success: {rule.strip()}); if you "
                f"trust it, pass --allow-python {file}."
            )
        return in_file(rule.strip().removeprefix("python:").strip())
    if rule.startswith("language:"):
        return in_language(rule.removeprefix("language:").strip())
    return contains([part.strip() for part in rule.split("|")])


def python_file(rule: str) -> Path | None:
    """The Python file that a rule wants run; None where it wants none."""
    if not rule.strip().startswith("python:"):
        return None
    file, _, _ = rule.strip().removeprefix("python:").strip().rpartition(":")
    return Path(file)

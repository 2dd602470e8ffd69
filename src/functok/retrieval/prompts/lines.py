"""Prompts in a text file."""

from pathlib import Path

from functok.runtime.errors import UserError, first_line, require
from functok.runtime.store import read_text

LARGEST = 1 << 18
"""Bytes of such a file: its prompts become part of a study, and a study has to stay readable."""


def prompts_in(file: Path) -> list[str]:
    """The prompts in a text file, one per line; blank lines are none.

    Raises:
        UserError: if it cannot be read, or holds none.
    """
    try:
        text = read_text(file, LARGEST)
    except (OSError, UserError) as error:
        raise UserError(
            f"Cannot read the prompts in {file}: {first_line(error)}; give a text file with one "
            "per line."
        ) from error
    lines = [line.strip() for line in text.splitlines()]
    found = [line for line in lines if line]
    require(bool(found), f"There is no prompt in {file}; write one per line.")
    return found

"""Sizes in bytes as people write them."""

import re

from functok.runtime.errors import UserError

_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}


def in_bytes(text: str, what: str) -> int:
    """``2g``, ``512 MiB``, ``1000000``.

    Args:
        text: the size.
        what: the option or setting that it belongs to.

    Raises:
        UserError: for anything else.
    """
    match = re.fullmatch(r"\s*([\d.]+)\s*([kmgt]?)(?:i?b)?\s*", text.lower())
    if match is None or match[1].count(".") > 1 or match[1] == ".":
        raise UserError(f"{what} {text!r} is not a size; write a number of bytes, or 512m, 2g.")
    return int(float(match[1]) * _UNITS[match[2]])

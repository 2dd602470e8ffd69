"""Text from anywhere as a terminal may show it.

A corpus, a tokenizer or a file's name can hold control characters. A terminal obeys them: they
clear the screen, set titles, write the clipboard, or turn the order of letters round.
"""

import re

_CONTROL = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)
_KEPT = "\n\t"


def encoded(text: str) -> str:
    """``text`` as UTF-8 can hold it: a file's name may be any bytes, and JSON spells half a
    character, which Python keeps as lone surrogates; they are spelled out, ``\\udce9``."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def visible(text: str, lines: bool = True) -> str:
    """``text`` with every control character replaced by one that shows it: ``␛``, ``⟨U+202E⟩``.

    Args:
        text: anything.
        lines: whether line breaks and tabs stay what they are.
    """

    def shown(found: re.Match[str]) -> str:
        character = found[0]
        code = ord(character)
        if lines and character in _KEPT:
            return character
        if code < 0x20:
            return chr(0x2400 + code)
        return "␡" if code == 0x7F else f"⟨U+{code:04X}⟩"

    return _CONTROL.sub(shown, text)

"""Which scripts the fonts of this machine have, and what to install for the others."""

import unicodedata
from collections.abc import Iterable
from functools import cache
from html import escape

import vl_convert

from functok.figures.code_points import FAMILY
from functok.figures.style import TOKEN_FONT

_PACKAGES = {
    "fonts-noto-cjk": ("CJK", "HIRAGANA", "KATAKANA", "HANGUL", "BOPOMOFO", "IDEOGRAPHIC"),
    "fonts-symbola": ("symbols",),
}
_OTHER = "fonts-noto-core"


def fonts_note(characters: Iterable[str]) -> str | None:
    """What a static picture with these characters has to say of its fonts; None for nothing.

    One character of each script is drawn, and compared with its box in the font of last resort.
    """
    samples: dict[str, str] = {}
    for character in sorted(set(characters)):
        if ord(character) >= 0x590 and (script := _script(character)) is not None:
            samples.setdefault(script, character)
    missing = sorted(script for script, sample in samples.items() if _in_a_box(sample))
    if not missing:
        return None
    return (
        f"No installed font has {', '.join(missing)}, so these characters are shown as Unicode "
        f"numbers. Install {', '.join(sorted({_package(script) for script in missing}))} "
        "(the Debian package) and draw the figures again."
    )


def _script(character: str) -> str | None:
    """The script by its name in Unicode; None for what is not drawn by itself."""
    category = unicodedata.category(character)
    if category[0] in "CMZ":
        return None
    return "symbols" if category == "So" else unicodedata.name(character, "symbols").split()[0]


def _package(script: str) -> str:
    return next((name for name, scripts in _PACKAGES.items() if script in scripts), _OTHER)


@cache
def _in_a_box(character: str) -> bool:
    return _drawn(character, TOKEN_FONT) == _drawn(character, FAMILY)


def _drawn(character: str, family: str) -> bytes:
    return vl_convert.svg_to_png(
        '<svg xmlns="http://www.w3.org/2000/svg" width="40" height="40"><text x="4" y="30" '
        f'font-size="24" font-family="{family}">{escape(character)}</text></svg>'
    )

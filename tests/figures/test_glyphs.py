"""Tokens of any script are distinct in a static picture, whatever fonts the machine has."""

import io
import json
import unicodedata

import altair as alt
import pytest
import vl_convert

from functok.figures.code_points import FAMILY, font
from functok.figures.draw import _with_note
from functok.figures.glyphs import _drawn, fonts_note
from functok.figures.style import TOKEN_FONT, styled


def drawn(label: str, family: str = TOKEN_FONT) -> bytes:
    data = alt.Data(values=[{"label": label}])
    chart = alt.Chart(data).mark_text(font=family, fontSize=24).encode(text="label:N")
    return vl_convert.vegalite_to_png(chart.to_dict())


@pytest.mark.parametrize("pair", ["的是", "あい", "한국", "😀🙂", "กข", "𠀀𠀁", "अआ", "𐎀𐎁", "ↀↁ"])
def test_two_characters_are_never_drawn_alike(pair):
    one, other = pair
    assert drawn(one) != drawn(other)


def test_a_character_that_a_font_has_is_not_taken_from_the_last_resort():
    boxes = {character for character in "aéЖ␣⏎" if drawn(character) == drawn(character, FAMILY)}
    assert not boxes


def test_the_boxes_show_the_number_of_the_character():
    """Read off the font by another library: the digits of a glyph, from left to right."""
    ttlib = pytest.importorskip("fontTools.ttLib")
    for ranges, points in (
        ([(0x0590, 0xD7FF), (0xE000, 0xFFFD)], [0x0590, 0x7684, 0xD7FF, 0xE000, 0xFFFD]),
        ([(0x1F000, 0x1FBFF), (0x20000, 0x2EBFF)], [0x1F600, 0x20000, 0x2EBFF]),
    ):
        read = ttlib.TTFont(io.BytesIO(font(ranges)))
        names = read.getGlyphOrder()
        assert set(read.getBestCmap()) == {
            point for first, last in ranges for point in range(first, last + 1)
        }
        for point in points:
            parts = read["glyf"][read.getBestCmap()[point]].components[1:]
            digits = [names.index(part.glyphName) - 1 for part in parts]
            assert int("".join(f"{digit:x}" for digit in digits), 16) == point
            places = [(-part.y, part.x) for part in parts]
            assert places == sorted(places)
        assert read["name"].getDebugName(1) == FAMILY


def test_a_picture_says_which_fonts_it_lacks(monkeypatch):
    from functok.figures import glyphs

    monkeypatch.setattr(
        glyphs, "_in_a_box", lambda character: unicodedata.name(character)[0] in "CT"
    )
    note = fonts_note("the 的 中 ไ ж")
    assert note is not None
    assert note.startswith("No installed font has CJK, THAI, so")
    assert "fonts-noto-cjk, fonts-noto-core" in note
    assert fonts_note("the ж") is None
    chart = styled(alt.Chart(alt.Data(values=[{"x": "的"}])).mark_point(), "A title", "Below it")
    spec = chart.to_dict()
    first, *lines = _with_note(spec)["title"]["subtitle"]
    assert (first, " ".join(lines)) == ("Below it", fonts_note("的"))
    assert json.dumps(spec) == json.dumps(chart.to_dict()), "the report's own is left alone"


def test_what_has_a_font_is_not_in_a_box():
    assert _drawn("a", TOKEN_FONT) != _drawn("a", FAMILY)
    assert fonts_note("abc ␣⏎ éЖ") is None

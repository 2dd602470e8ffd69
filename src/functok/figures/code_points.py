"""A font of last resort: every character as its number in a box, as browsers show one.

Where no font of the machine has a script, static pictures would show the same empty box for all of
its characters. This font is made when figures are first asked for, and the drawing library takes
from it what no other font has: ``U+7684`` is a box with 76 over 84.
"""

import atexit
import shutil
import struct
import tempfile
from pathlib import Path

import numpy as np
import vl_convert

FAMILY = "functok code points"
_EM, _ASCENT, _DESCENT, _ADVANCE = 128, 104, 24, 116
_RANGES = {
    "basic": [(0x0590, 0xD7FF), (0xE000, 0xFFFD)],
    "historic": [(0x10000, 0x1EFFF)],
    "further": [(0x1F000, 0x1FBFF), (0x20000, 0x2EBFF)],
}
"""Code points by file, which holds at most 65,535 glyphs."""
_SEGMENTS = {
    0: "abcdef", 1: "bc", 2: "abged", 3: "abgcd", 4: "fgbc", 5: "afgcd", 6: "afgedc", 7: "abc",
    8: "abcdefg", 9: "abcdfg", 10: "abcefg", 11: "cdefg", 12: "adef", 13: "bcdeg", 14: "adefg",
    15: "aefg",
}  # fmt: skip
"""Of a hexadecimal digit, as on a pocket calculator."""

_Rectangle = tuple[int, int, int, int]


def register() -> None:
    """Make the fonts known to the drawing library, for as long as this process lives."""
    folder = tempfile.mkdtemp(prefix="functok-fonts-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    for name, ranges in _RANGES.items():
        (Path(folder) / f"{name}.ttf").write_bytes(font(ranges))
    vl_convert.register_font_directory(folder)


def font(ranges: list[tuple[int, int]]) -> bytes:
    """A TrueType font with the code points of ``ranges``, both ends included."""
    columns = 2 if ranges[-1][1] < 0x10000 else 3
    width = 38 if columns == 2 else 24
    parts = [_glyph(_frame()), *(_glyph(_digit(value, width)) for value in range(16))]
    points = np.concatenate([np.arange(first, last + 1) for first, last in ranges])
    boxes = _boxes(points, columns, width)
    lengths = [*map(len, parts), *([boxes.shape[1]] * len(boxes))]
    places = np.concatenate([[0], np.cumsum(lengths)]).astype(">u4")
    count = len(lengths)
    return _file(
        {
            "OS/2": _os2(),
            "cmap": _cmap(ranges, len(parts)),
            "glyf": b"".join(parts) + boxes.tobytes(),
            "head": struct.pack(
                ">4I2H2q4h2H3h", 0x10000, 0x10000, 0, 0x5F0F3CF5, 3, _EM, 0, 0,
                0, -_DESCENT, _ADVANCE, _ASCENT, 0, 8, 2, 1, 0,
            ),
            "hhea": struct.pack(
                ">I3hH11hH", 0x10000, _ASCENT, -_DESCENT, 0, _ADVANCE, 0, 0, _ADVANCE,
                1, 0, 0, 0, 0, 0, 0, 0, 1,
            ),
            "hmtx": struct.pack(">Hh", _ADVANCE, 0) + bytes(2 * (count - 1)),
            "loca": places.tobytes(),
            "maxp": struct.pack(">I14H", 0x10000, count, 64, 16, 224, 56, 2, *[0] * 6, 8, 1),
            "name": _name(),
            "post": struct.pack(">Iihh5I", 0x30000, 0, 0, 0, 0, 0, 0, 0, 0),
        }
    )  # fmt: skip


def _frame() -> list[_Rectangle]:
    left, right, low, high, line = 4, 112, -20, 100, 4
    return [
        (left, low, right, low + line),
        (left, high - line, right, high),
        (left, low + line, left + line, high - line),
        (right - line, low + line, right, high - line),
    ]


def _digit(value: int, width: int) -> list[_Rectangle]:
    high, line = 46, 7
    middle = high // 2
    sides = {
        "a": (0, high - line, width, high),
        "b": (width - line, middle, width, high),
        "c": (width - line, 0, width, middle),
        "d": (0, 0, width, line),
        "e": (0, 0, line, middle),
        "f": (0, middle, line, high),
        "g": (0, middle - line // 2, width, middle + line // 2),
    }
    return [sides[segment] for segment in _SEGMENTS[value]]


def _glyph(rectangles: list[_Rectangle]) -> bytes:
    """Rectangles as a glyph of straight contours."""
    corners = np.array(
        [[(x, y), (x, top), (right, top), (right, y)] for x, y, right, top in rectangles]
    ).reshape(-1, 2)
    low, high = corners.min(0), corners.max(0)
    steps = np.diff(corners, axis=0, prepend=0).astype(">i2")
    head = struct.pack(">5h", len(rectangles), *low, *high)
    ends = np.arange(3, len(corners), 4).astype(">u2").tobytes()
    flags = bytes([1] * len(corners))  # on the curve; steps of 16 bits
    body = head + ends + bytes(2) + flags + steps[:, 0].tobytes() + steps[:, 1].tobytes()
    return body + bytes(-len(body) % 4)


def _boxes(points: np.ndarray, columns: int, width: int) -> np.ndarray:
    """A glyph for each code point, made of the frame and its digits: [points, bytes]."""
    digits = 2 * columns
    count = digits + 1
    part = np.dtype([("flags", ">u2"), ("glyph", ">u2"), ("dx", "i1"), ("dy", "i1")])
    head = np.dtype([("contours", ">i2"), ("bounds", ">i2", 4), ("parts", part, count)])
    made = np.zeros(len(points), np.dtype([("glyph", head), ("pad", "u1", -head.itemsize % 4)]))
    glyph = made["glyph"]
    glyph["contours"] = -1
    glyph["bounds"] = (4, -20, 112, 100)
    parts = glyph["parts"]
    parts["flags"] = 0x0002 | 0x0020  # places as numbers; more parts follow
    parts["flags"][:, -1] = 0x0002
    gap = (104 - columns * width) // (columns + 1)
    for place in range(digits):
        row, column = divmod(place, columns)
        parts["glyph"][:, place + 1] = 1 + (points >> 4 * (digits - 1 - place) & 0xF)
        parts["dx"][:, place + 1] = 6 + gap + column * (width + gap)
        parts["dy"][:, place + 1] = 45 if row == 0 else -11
    return made.view(np.uint8).reshape(len(points), -1)


def _cmap(ranges: list[tuple[int, int]], first: int) -> bytes:
    groups = b""
    for start, stop in ranges:
        groups += struct.pack(">3I", start, stop, first)
        first += stop - start + 1
    table = struct.pack(">2H3I", 12, 0, 16 + len(groups), 0, len(ranges)) + groups
    return struct.pack(">2H2HI", 0, 1, 3, 10, 12) + table


def _os2() -> bytes:
    return struct.pack(
        ">Hh3H11h10s4I4s3H3h2H2I",
        3, _ADVANCE, 400, 5, 0, *[0] * 11, bytes(10), 0, 0, 0, 0, b"    ",
        0x40, 0x590, 0xFFFF, _ASCENT, -_DESCENT, 0, _ASCENT, _DESCENT, 0, 0,
    ) + struct.pack(">2h3H", 50, 80, 0, 0x20, 1)  # fmt: skip


def _name() -> bytes:
    texts = {1: FAMILY, 2: "Regular", 4: FAMILY, 6: FAMILY.replace(" ", "-")}
    records, held = b"", b""
    for number, text in texts.items():
        spelled = text.encode("utf-16-be")
        records += struct.pack(">6H", 3, 1, 0x409, number, len(spelled), len(held))
        held += spelled
    return struct.pack(">3H", 0, len(texts), 6 + len(records)) + records + held


def _file(tables: dict[str, bytes]) -> bytes:
    """The tables behind a directory of them; readers here check no sums."""
    place = 12 + 16 * len(tables)
    directory, body = struct.pack(">I4H", 0x10000, len(tables), 128, 3, 32), b""
    for tag, content in sorted(tables.items()):
        directory += struct.pack(">4s3I", tag.encode(), 0, place + len(body), len(content))
        body += content + bytes(-len(content) % 4)
    return directory + body

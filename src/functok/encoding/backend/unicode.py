"""Characters on which two tokenizer libraries may disagree, because their Unicode tables differ.

A sweep over all of Unicode (``tests/tokens/test_bulk.py`` repeats it) finds that gigatoken 0.10 and
tokenizers differ on letters that are new in Unicode 17 and, under NFC, on a few compositions and
combining marks that are new since Unicode 15. Documents with a character of the ranges below,
which include all of these and the historic and minority scripts around them, are always encoded by
``tokenizers``. Documents in common scripts contain none of them.
"""

import numpy as np
import pyarrow as pa
from jaxtyping import Integer

from functok.corpus.blocks import buffers

RANGES = (
    (0x088F, 0x088F),  # Arabic
    (0x0C5C, 0x0C5C),  # Telugu
    (0x0CDC, 0x0CDC),  # Kannada
    (0x1ACF, 0x1AFF),  # combining marks
    (0x1DF6, 0x1DF6),
    (0xA7CB, 0xA7F1),  # Latin
    (0x10000, 0x1CEFF),  # historic and minority scripts, Tangut
    (0x1DF00, 0x1EEFF),
    (0x2A6E0, 0x2A6FF),  # gaps in the Han extensions, and those after H
    (0x2B73A, 0x2B73F),
    (0x2EBE1, 0x2EBEF),
    (0x323B0, 0x3FFFF),
)
"""First and last code point; none below U+0800, so three bytes of UTF-8 or four."""


def _tables() -> tuple[np.ndarray, np.ndarray]:
    """Whether a code point is disputed; whether any is whose UTF-8 begins with two bytes."""
    points, starts = np.zeros(0x110000, bool), np.zeros(1 << 16, bool)
    for first, last in RANGES:
        points[first : last + 1] = True
        for point in (*range(first, last, 64), last):
            one, two = chr(point).encode()[:2]
            starts[one << 8 | two] = True
    return points, starts


_POINTS, _STARTS = _tables()


def disputed(texts: pa.Array) -> Integer[np.ndarray, " documents"]:
    """The documents with a disputed character in them."""
    offsets, data = buffers(texts)
    data = data[offsets[0] : offsets[-1]]
    places = np.flatnonzero(data >= 0xE0)
    leads = data[places].astype(np.int64)
    places = places[_STARTS[leads << 8 | data[np.minimum(places + 1, len(data) - 1)]]]
    if not len(places):
        return places
    longest = np.append(data, np.zeros(3, np.uint8))
    one, two, three, four = (longest[places + step].astype(np.int64) for step in range(4))
    of_three = (one & 0x0F) << 12 | (two & 0x3F) << 6 | three & 0x3F
    of_four = (one & 0x07) << 18 | (two & 0x3F) << 12 | (three & 0x3F) << 6 | four & 0x3F
    places = places[_POINTS[np.where(one < 0xF0, of_three, of_four)]]
    return np.unique(np.searchsorted(offsets - offsets[0], places, side="right") - 1)

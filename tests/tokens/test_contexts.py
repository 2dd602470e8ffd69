"""Model inputs against loops: no token is lost, counted twice or given the wrong target."""

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from documents import encoded_as
from hypothesis import given
from hypothesis import strategies as st

from functok.encoding.contexts import IGNORED, RowFormat, context_rows, uncounted
from functok.runtime.errors import UserError

texts = st.lists(st.lists(st.integers(1, 30), max_size=20), max_size=9)
formats = st.tuples(st.integers(2, 9), st.sampled_from([None, 0, 31]), st.integers(0, 7)).map(
    lambda drawn: RowFormat(
        drawn[0], drawn[1], min(drawn[2], drawn[0] - 1 - (drawn[1] is not None))
    )
)


def _windows(length: int, row_format: RowFormat) -> list[tuple[int, int, int]]:
    """Of a document, in closed form: where each row starts and stops, and what is new in it."""
    lead = 0 if row_format.start is None else 1
    width = row_format.context - lead
    stride = width - row_format.overlap
    rows = 1 + max(-(-(length - width) // stride), 0) if length else 0
    return [
        (row * stride, min(row * stride + width, length), row * stride + row_format.overlap)
        if row
        else (0, min(width, length), 0)
        for row in range(rows)
    ]


@given(texts, formats, st.integers(1, 5))
def test_context_rows_are_the_windows_with_every_token_counted_once(documents, row_format, rows):
    encoded = encoded_as(documents)
    expected: Counter = Counter()
    silent = []
    lead = [] if row_format.start is None else [row_format.start]
    for number, text in enumerate(documents):
        for start, stop, new in _windows(len(text), row_format):
            first = new if lead or new > start else new + 1
            silent += [int(encoded.offsets[number]) + new] * (first > new)
            counted = [(p, text[p], [*text, IGNORED][p + 1]) for p in range(first, stop)]
            expected[(*lead, *text[start:stop]), number if counted else -1, tuple(counted)] += 1
    seen: Counter = Counter()
    lengths = []
    for batch in context_rows(encoded, row_format, rows):
        assert len(batch.ids) <= rows
        for ids, targets, document, position in zip(
            batch.ids, batch.targets, batch.document, batch.position, strict=True
        ):
            at = np.flatnonzero(document >= 0)
            size = int(at[-1]) + 1 if len(at) else len(lead) + 1  # padding is never counted
            owner = set(document[at].tolist()) or {-1}
            counted = zip(*(part[at].tolist() for part in (position, ids, targets)), strict=True)
            seen[tuple(ids[:size].tolist()), owner.pop(), tuple(counted)] += 1
            assert not owner
            assert not ids[size:].any()
            others = document < 0
            assert (targets[others] == IGNORED).all()
            assert (position[others] == -1).all()
            lengths.append(size)
    assert seen == expected
    assert all(one >= two for one, two in pairwise(lengths)), "so that little is padding"
    assert uncounted(encoded, row_format).tolist() == silent


@pytest.mark.parametrize(("start", "most"), [(None, 7), (3, 6)])
def test_an_overlap_that_leaves_nothing_new_is_refused(start, most):
    RowFormat(8, start, most)
    sentence = f"An overlap of {most + 1} leaves no new token in a row of 8 positions"
    with pytest.raises(UserError, match=sentence):
        RowFormat(8, start, most + 1)

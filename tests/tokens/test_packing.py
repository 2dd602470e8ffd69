"""Packed windows against a walk along the joined documents."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from functok.encoding.packing import PackedWindows
from functok.encoding.tokenizer import Encoded

texts = st.lists(st.lists(st.integers(1, 30), max_size=20), max_size=9).filter(any)
separators = st.sampled_from([None, 0, 31])


def windows_of(documents: list[list[int]], context: int, separator: int | None) -> PackedWindows:
    ids = np.array([token for document in documents for token in document], np.int32)
    offsets = np.cumsum([0, *map(len, documents)])
    return PackedWindows(Encoded(ids, offsets, np.arange(len(documents))), context, separator)


def walk(documents: list[list[int]], separator: int | None) -> list[tuple[int, int]]:
    """Every packed id, and its position in its document."""
    joined: list[tuple[int, int]] = []
    for document in documents:
        whole = ([] if separator is None else [separator]) + document
        joined += [(token, position) for position, token in enumerate(whole)]
    return joined


@given(texts, st.integers(1, 7), separators, st.randoms())
def test_windows_equal_a_walk_along_the_joined_documents(documents, context, separator, chance):
    joined, expected, start = walk(documents, separator), [], 0
    while start + context < len(joined):
        expected.append([token for token, _ in joined[start : start + context + 1]])
        start += context
    windows = windows_of(documents, context, separator)
    assert len(windows) == len(expected)
    chosen = [chance.randrange(len(expected)) for _ in range(5)] if expected else []
    found = windows[np.array(chosen, np.int64)]
    assert found.dtype == np.int64
    assert found.tolist() == [expected[window] for window in chosen]


@given(texts, st.integers(1, 7), separators)
def test_every_id_but_the_first_is_a_target_once(documents, context, separator):
    windows = windows_of(documents, context, separator)
    joined = [token for token, _ in walk(documents, separator)]
    targets = windows[np.arange(len(windows))][:, 1:].flatten().tolist()
    assert targets == joined[1 : 1 + len(targets)]
    assert len(joined) - 1 - len(targets) < context  # only an unfinished last window is left out


@given(texts, st.integers(1, 7), separators)
def test_positions_start_again_with_the_document_or_the_window(documents, context, separator):
    windows = windows_of(documents, context, separator)
    joined = walk(documents, separator)
    found = windows.positions(np.arange(len(windows)))
    assert found.shape == (len(windows), context)
    for place, position in enumerate(found.flatten().tolist()):
        assert position == min(joined[place][1], place % context)


def test_no_text_fills_no_window():
    assert len(windows_of([], 3, 0)) == 0
    assert len(windows_of([[], []], 3, 0)) == 0

"""Samples of documents, against what a sample must be whichever documents are drawn."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from functok.encoding.documents import drawn, sample_sentence
from functok.encoding.tokenizer import Encoded
from functok.runtime.errors import UserError


def encoded(sizes: list[int]) -> Encoded:
    """Documents whose every token names its document and place."""
    ids = [1000 * number + place for number, size in enumerate(sizes) for place in range(size)]
    keys = np.random.default_rng(len(sizes)).permutation(10**6)[: len(sizes)].astype(np.int64)
    return Encoded(np.array(ids, np.int32), np.cumsum([0, *sizes]), keys)


def lengths(sample: Encoded) -> dict[int, int]:
    return dict(zip(sample.keys.tolist(), np.diff(sample.offsets).tolist(), strict=True))


@given(
    st.lists(st.integers(0, 700), min_size=1, max_size=150).filter(any),
    st.integers(700, 30_000),
    st.one_of(st.none(), st.integers(1, 160)),
)
def test_a_sample_is_beginnings_of_documents_within_its_budget(sizes, tokens, documents):
    whole = encoded(sizes)
    sample = drawn(whole, tokens, documents)
    found, of = lengths(sample), lengths(whole)
    assert len(sample.ids) <= tokens
    assert len(sample) <= (documents or len(sizes))
    for number, key in enumerate(sample.keys.tolist()):
        start = whole.offsets[whole.keys.tolist().index(key)]
        here = sample.ids[sample.offsets[number] : sample.offsets[number + 1]]
        assert np.array_equal(here, whole.ids[start : start + found[key]])
    cut = [key for key in found if found[key] < of[key]]
    level = max((found[key] for key in cut), default=None)
    if len(cut) > 1:  # all at one length, and nothing is left of the budget but a remainder
        assert {found[key] for key in cut} == {level}
        assert max(found.values()) == level
        assert tokens - len(sample.ids) < len(cut)
    elif len(sample) < min(documents or 150, sum(size > 0 for size in sizes)):
        assert len(sample.ids) == tokens or len(sample.ids) + max(sizes) > tokens


def test_the_order_of_reading_changes_nothing_and_no_prefix_is_read():
    whole = encoded([400] * 300)
    order = np.random.default_rng(1).permutation(300)
    turned = Encoded(whole.ids, whole.offsets, whole.keys[order])
    assert lengths(drawn(whole, 6000)) == lengths(drawn(turned, 6000))
    sample = drawn(whole, 6000)
    assert lengths(sample) == dict.fromkeys(sample.keys.tolist(), 6000 // 46)  # 128 at least
    assert set(sample.keys.tolist()) != set(whole.keys[:46].tolist())
    larger = lengths(drawn(whole, 60_000))
    assert all(larger[key] >= size for key, size in lengths(sample).items())
    assert sample_sentence(sample, whole) == (
        "46 documents, 5,980 tokens, sampled by hash from 300; 46 cut to 130 tokens"
    )


@pytest.mark.parametrize(("sizes", "tokens"), [([50, 60], 49), ([400] * 3, 127)])
def test_a_budget_below_one_document_is_refused(sizes, tokens):
    with pytest.raises(UserError, match="is too small: at least"):
        drawn(encoded(sizes), tokens)


def test_nothing_to_draw_from_is_refused():
    with pytest.raises(UserError, match="give more documents"):
        drawn(encoded([0, 0]), None)

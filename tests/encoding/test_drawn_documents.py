"""Samples of documents, against what a sample must be whichever documents are drawn."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from functok.encoding.documents import drawn, hash_order, sample_sentence
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
    last = sample.keys[hash_order(sample.keys)[-1]]
    if levels := {found[key] for key in cut if key != last}:
        # all at one length, which no document exceeds, but for the last one drawn
        assert levels == {max(found.values())}
    if cut:  # nothing is left of the budget but what does not divide by the documents
        assert tokens - len(sample.ids) < len(found)
    share = max(tokens / 100, 128)
    if max(found.values()) > share:  # there are too few documents to fill the budget otherwise
        usable = sorted((size for size in sizes if size > 0), reverse=True)
        assert documents is not None or sum(min(size, share) for size in usable) < tokens
        assert documents is None or len(sample) == min(documents, len(usable))


@given(
    st.lists(st.integers(1, 700), min_size=1, max_size=150),
    st.integers(700, 20_000),
    st.integers(0, 5_000),
)
def test_a_smaller_budget_reads_beginnings_of_what_a_larger_one_reads(sizes, tokens, more):
    whole = encoded(sizes)
    small, large = lengths(drawn(whole, tokens)), lengths(drawn(whole, tokens + more))
    assert all(large[key] >= size for key, size in small.items())


def test_a_document_is_at_most_a_hundredth_of_a_sample():
    chance = np.random.default_rng(0)
    sizes = np.ceil(chance.lognormal(4, 1.5, 4000)).astype(int).tolist()
    assert max(sizes) > 5_000
    for tokens in (20_000, 60_000, 120_000):
        sample = drawn(encoded(sizes), tokens)
        assert tokens - 100 < len(sample.ids) <= tokens
        assert max(lengths(sample).values()) <= tokens / 100


def test_the_order_of_reading_changes_nothing_and_no_prefix_is_read():
    whole = encoded([400] * 300)
    order = np.random.default_rng(1).permutation(300)
    turned = Encoded(whole.ids, whole.offsets, whole.keys[order])
    assert lengths(drawn(whole, 6000)) == lengths(drawn(turned, 6000))
    sample = drawn(whole, 6000)
    assert sorted(lengths(sample).values()) == [6000 % 128] + [128] * 46  # 128 at least
    assert set(sample.keys.tolist()) != set(whole.keys[:47].tolist())
    assert sample_sentence(sample, whole) == (
        "47 documents, 6,000 tokens, sampled by hash from 300; 47 cut to 128 tokens or fewer"
    )


@pytest.mark.parametrize(("sizes", "tokens"), [([50, 60], 49), ([400] * 3, 127)])
def test_a_budget_below_one_document_is_refused(sizes, tokens):
    with pytest.raises(UserError, match="is too small: at least"):
        drawn(encoded(sizes), tokens)


def test_nothing_to_draw_from_is_refused():
    with pytest.raises(UserError, match="give more documents"):
        drawn(encoded([0, 0]), None)

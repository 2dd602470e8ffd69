import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from functok.tokens.counts import TokenCounts
from functok.tokens.encode import Encoded
from functok.tokens.parts import PartCounts, Spread, bins_table, equal_bins, hash_parts

VOCABULARY = 7


def encoded(documents: list[list[int]], keys: list[int] | None = None) -> Encoded:
    offsets = np.concatenate([[0], np.cumsum([len(one) for one in documents])]).astype(np.int64)
    ids = np.array([token for one in documents for token in one], np.int32)
    named = list(range(len(documents))) if keys is None else keys
    return Encoded(ids, offsets, np.array(named, np.int64))


documents = st.lists(st.lists(st.integers(0, VOCABULARY - 1), max_size=9), max_size=8)


def same(one: Spread, other: Spread) -> None:
    assert_array_equal(one.parts.counts.toarray(), other.parts.counts.toarray())
    assert_array_equal(one.counts.occurrences, other.counts.occurrences)
    assert_array_equal(one.counts.documents, other.counts.documents)
    assert one.counts.corpus_documents == other.counts.corpus_documents
    assert_array_equal(one.lengths, other.lengths)
    assert_array_equal(one.documents_of_length, other.documents_of_length)


@given(documents, documents, documents)
@settings(max_examples=50, deadline=None)
def test_spread_is_a_commutative_monoid(one, two, three):
    a, b, c = (
        Spread.of(encoded(some, [hash((place, salt)) % 10**6 for salt in range(len(some))]), 7, 5)
        for place, some in enumerate((one, two, three))
    )
    same(a.merge(b), b.merge(a))
    same(a.merge(b).merge(c), a.merge(b.merge(c)))
    same(a.merge(Spread.zero(VOCABULARY, 5)), a)


@given(documents, st.integers(0, 8))
@settings(max_examples=50, deadline=None)
def test_merging_shards_equals_one_pass(some, cut):
    whole = encoded(some)
    cut = min(cut, len(some))
    left, right = whole.slice(0, cut), whole.slice(cut, len(some))
    merged = Spread.of(left, VOCABULARY, 4).merge(Spread.of(right, VOCABULARY, 4))
    same(merged, Spread.of(whole, VOCABULARY, 4))


@given(documents)
@settings(max_examples=50, deadline=None)
def test_counts_of_a_spread_are_token_counts(some):
    given_documents = encoded(some)
    counts = Spread.of(given_documents, VOCABULARY).counts
    expected = TokenCounts.of(given_documents, VOCABULARY)
    assert_array_equal(counts.occurrences, expected.occurrences)
    assert_array_equal(counts.documents, expected.documents)


def test_a_spread_comes_back_from_disk(tmp_path):
    spread = Spread.of(encoded([[1, 2, 2], [], [3]]), VOCABULARY)
    spread.save(tmp_path)
    same(Spread.load(tmp_path), spread)


def test_counting_leaves_the_documents_as_they_were():
    some = encoded([[5, 1, 5, 0], [2, 2]])
    before = some.ids.copy(), some.offsets.copy()
    PartCounts.by_document(some, VOCABULARY)
    assert_array_equal(some.ids, before[0])
    assert_array_equal(some.offsets, before[1])


@given(documents)
@settings(max_examples=50, deadline=None)
def test_part_counts_equal_a_naive_count(some):
    parts = PartCounts.by_document(encoded(some), VOCABULARY)
    naive = [[one.count(token) for token in range(VOCABULARY)] for one in some]
    assert_array_equal(parts.counts.toarray(), np.array(naive).reshape(len(some), VOCABULARY))
    assert_array_equal(parts.sizes, [len(one) for one in some])
    assert_array_equal(
        parts.presence, [sum(token in one for one in some) for token in range(VOCABULARY)]
    )


def test_special_tokens_are_left_out_of_every_size():
    parts = PartCounts.by_document(encoded([[0, 1, 1], [0, 0, 2]]), 3).without([0])
    assert_array_equal(parts.sizes, [2, 1])
    assert_array_equal(parts.occurrences, [0, 2, 1])


def test_weights_repeat_parts():
    parts = PartCounts.by_document(encoded([[0, 1, 1], [2]]), 3)
    assert_array_equal(parts.weighted(np.array([3, 1])), [3, 6, 1])


def test_hash_parts_do_not_depend_on_the_order():
    keys = np.array([105, 7, 233])
    assert_array_equal(hash_parts(keys)[::-1], hash_parts(keys[::-1]))
    assert_array_equal(hash_parts(keys), [5, 7, 33])


@pytest.mark.parametrize(("documents", "bins"), [(10, 3), (7, 7), (3, 5), (100, 1)])
def test_equal_bins_differ_by_one_document_at_most(documents, bins):
    found = equal_bins(documents, bins)
    sizes = np.bincount(found, minlength=bins)
    assert (np.diff(found) >= 0).all()
    assert sizes.max() - sizes.min() <= 1


def test_occurrences_over_bins_add_up():
    some = encoded([[1, 1, 2], [1], [3, 3], [1, 3]])
    table = bins_table(some, [1, 3], [str(token) for token in range(VOCABULARY)], bins=2)
    assert table.filter(token_id=1)["occurrences"].to_list() == [3, 1]
    assert table.filter(token_id=3)["occurrences"].to_list() == [0, 3]
    assert table.filter(token_id=3)["per_thousand"].to_list() == [0.0, 750.0]
    assert table["documents"].to_list() == [2, 2, 2, 2]

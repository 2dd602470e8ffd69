from collections import Counter

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from functok.encoding.tokenizer import Encoded
from functok.tokens.spread.partitions import PartCounts, Spread, bins_table, content_keys

VOCABULARY = 7


def encoded(documents: list[list[int]], keys: list[int] | None = None) -> Encoded:
    offsets = np.concatenate([[0], np.cumsum([len(one) for one in documents])]).astype(np.int64)
    ids = np.array([token for one in documents for token in one], np.int32)
    named = list(range(len(documents))) if keys is None else keys
    return Encoded(ids, offsets, np.array(named, np.int64))


documents = st.lists(st.lists(st.integers(0, VOCABULARY - 1), max_size=9), max_size=8)


def same(one: Spread, other: Spread) -> None:
    assert_array_equal(one.parts.counts.toarray(), other.parts.counts.toarray())
    assert_array_equal(one.repeats, other.repeats)
    assert_array_equal(one.lengths, other.lengths)
    assert_array_equal(one.documents_of_length, other.documents_of_length)


def by_document(documents, vocabulary):
    """Counts in which every document is a part."""
    count = len(documents.offsets) - 1
    return PartCounts.of(documents, np.arange(count), count, vocabulary)


@given(documents, documents, documents)
@settings(max_examples=50, deadline=None)
def test_spread_is_a_commutative_monoid(one, two, three):
    a, b, c = (Spread.of(encoded(some), VOCABULARY, 5) for some in (one, two, three))
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
def test_a_spread_equals_naive_counts(some):
    spread = Spread.of(encoded(some), VOCABULARY, 4)
    lengths = Counter(map(len, some))
    assert dict(zip(spread.lengths, spread.documents_of_length, strict=True)) == lengths
    assert_array_equal(
        spread.repeats, [sum(one.count(token) > 1 for one in some) for token in range(VOCABULARY)]
    )
    flat = Counter(token for one in some for token in one)
    assert_array_equal(spread.parts.occurrences, [flat[token] for token in range(VOCABULARY)])


def test_a_spread_comes_back_from_disk(tmp_path):
    spread = Spread.of(encoded([[1, 2, 2], [], [3]]), VOCABULARY)
    spread.save(tmp_path)
    same(Spread.load(tmp_path), spread)


def test_counting_leaves_the_documents_as_they_were():
    some = encoded([[5, 1, 5, 0], [2, 2]])
    before = some.ids.copy(), some.offsets.copy()
    by_document(some, VOCABULARY)
    assert_array_equal(some.ids, before[0])
    assert_array_equal(some.offsets, before[1])


@given(documents)
@settings(max_examples=50, deadline=None)
def test_part_counts_equal_a_naive_count(some):
    parts = by_document(encoded(some), VOCABULARY)
    naive = [[one.count(token) for token in range(VOCABULARY)] for one in some]
    assert_array_equal(parts.counts.toarray(), np.array(naive).reshape(len(some), VOCABULARY))
    assert_array_equal(parts.sizes, [len(one) for one in some])


def test_special_tokens_are_left_out_of_every_size():
    parts = by_document(encoded([[0, 1, 1], [0, 0, 2]]), 3).without([0])
    assert_array_equal(parts.sizes, [2, 1])
    assert_array_equal(parts.occurrences, [0, 2, 1])


def test_weights_repeat_parts():
    parts = by_document(encoded([[0, 1, 1], [2]]), 3)
    assert_array_equal(parts.weighted(np.array([3, 1])), [3, 6, 1])


def test_the_part_of_a_document_follows_its_tokens_alone():
    some = encoded([[1, 2, 2], [], [3], [1, 2, 2], [2, 1, 2], [1, 1, 2]])
    keys = content_keys(some.ids, some.offsets, VOCABULARY)
    assert keys[0] == keys[3] == keys[4]  # in any order
    assert len(set(keys.tolist())) == 4
    later = some.slice(2, 6)
    assert_array_equal(content_keys(later.ids, later.offsets, VOCABULARY), keys[2:])


def test_parts_are_about_equal():
    chance = np.random.default_rng(0)
    some = encoded([chance.integers(0, 500, 20).tolist() for _ in range(20_000)])
    sizes = Spread.of(some, 500, 100).parts.sizes / 20
    assert abs(sizes - 200).max() < 5 * np.sqrt(200)


def test_occurrences_over_bins_add_up():
    some = encoded([[1, 1, 2], [1], [3, 3], [1, 3]])
    parts = PartCounts.of(some, np.array([0, 0, 1, 1]), 2, VOCABULARY)
    table = bins_table(parts, [1, 3], [str(token) for token in range(VOCABULARY)])
    assert table.filter(token_id=1)["occurrences"].to_list() == [3, 1]
    assert table.filter(token_id=3)["occurrences"].to_list() == [0, 3]
    assert table.filter(token_id=3)["per_thousand"].to_list() == [0.0, 750.0]
    assert table["positions"].to_list() == [4, 4, 4, 4]

"""Token counts against a Counter, and as a commutative monoid."""

from collections import Counter

from documents import encoded_as
from hypothesis import given
from hypothesis import strategies as st

from functok.tokens.counting.counts import TokenCounts

VOCABULARY = 7
texts = st.lists(st.lists(st.integers(0, VOCABULARY - 1), max_size=9), max_size=8)


def _counts(documents: list[list[int]]) -> TokenCounts:
    return TokenCounts.of(encoded_as(documents), VOCABULARY)


def _listed(counts: TokenCounts) -> tuple:
    return counts.occurrences.tolist(), counts.documents.tolist(), counts.corpus_documents


@given(texts)
def test_counts_equal_a_counters(documents):
    occurrences = Counter(token for document in documents for token in document)
    containing = Counter(token for document in documents for token in set(document))
    assert _listed(_counts(documents)) == (
        [occurrences[token] for token in range(VOCABULARY)],
        [containing[token] for token in range(VOCABULARY)],
        len(documents),
    )


@given(texts, texts)
def test_merging_counts_equals_counting_both(one, two):
    assert _listed(_counts(one).merge(_counts(two))) == _listed(_counts(one + two))


@given(texts, texts, texts)
def test_counts_are_a_commutative_monoid(one, two, three):
    a, b, c = map(_counts, (one, two, three))
    assert _listed(a.merge(b)) == _listed(b.merge(a))
    assert _listed(a.merge(b).merge(c)) == _listed(a.merge(b.merge(c)))
    assert _listed(a.merge(TokenCounts.zero(VOCABULARY))) == _listed(a)


def test_counts_saved_are_counts_loaded(tmp_path):
    counts = _counts([[1, 1, 2], [], [6]])
    counts.save(tmp_path)
    assert _listed(TokenCounts.load(tmp_path)) == _listed(counts)

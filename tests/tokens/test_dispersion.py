import math
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import polars as pl
import pytest
from documents import encoded_as
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy import sparse, stats

from functok.encoding.tokenizer import Encoded
from functok.tokens.counting.counts import TokenCounts
from functok.tokens.counting.function_tokens import FunctionTokens
from functok.tokens.spread.dispersion import (
    SCORES,
    deviation_of_proportions,
    dispersion_table,
    entropy,
    expected_documents,
    juilland,
    kl_dispersion,
    least_deviation,
    sets_by_score,
)
from functok.tokens.spread.partitions import PartCounts, Spread


def parts_of(rows: list[list[int]]) -> PartCounts:
    return PartCounts(sparse.csr_array(np.array(rows, np.int64)))


def documents(*some: list[int]) -> Encoded:
    return encoded_as(some)


def table_of(some: Encoded, vocabulary: int, special: Sequence[int] = ()) -> pl.DataFrame:
    """The dispersion table, with neighbours that are all equally diverse."""
    counts, spread = TokenCounts.of(some, vocabulary), Spread.of(some, vocabulary)
    names = [chr(ord("a") + token) for token in range(vocabulary)]
    table = dispersion_table(counts, spread, special, names)
    return table.with_columns(next_entropy=pl.lit(0.0), previous_entropy=pl.lit(0.0))


tables = st.integers(2, 6).flatmap(
    lambda parts: st.lists(
        st.lists(st.integers(0, 5), min_size=4, max_size=4), min_size=parts, max_size=parts
    )
)


@given(tables)
@settings(max_examples=100, deadline=None)
def test_measures_equal_naive_loops(rows):
    parts = parts_of(rows)
    used = [row for row in rows if sum(row)]
    if len(used) < 2:
        return
    total = sum(map(sum, used))
    dp, dp_norm = deviation_of_proportions(parts)
    kl, even = kl_dispersion(parts), juilland(parts)
    for token in range(4):
        occurrences = sum(row[token] for row in used)
        if not occurrences:
            assert math.isnan(dp[token])
            assert math.isnan(kl[token])
            assert math.isnan(even[token])
            continue
        v = [row[token] / occurrences for row in used]
        s = [sum(row) / total for row in used]
        p = [row[token] / sum(row) for row in used]
        deviation = sum(abs(a - b) for a, b in zip(v, s, strict=True)) / 2
        assert_allclose(dp[token], deviation, atol=1e-12)
        assert_allclose(dp_norm[token], deviation / (1 - min(s)), atol=1e-12)
        naive_kl = sum(a * math.log2(a / b) for a, b in zip(v, s, strict=True) if a)
        assert_allclose(kl[token], naive_kl, atol=1e-12)
        naive_entropy = -sum(a * math.log2(a) for a in v if a)
        assert_allclose(entropy(parts)[token], naive_entropy, atol=1e-12)
        variation = float(np.std(p)) / float(np.mean(p))
        assert_allclose(even[token], 1 - variation / math.sqrt(len(p) - 1), atol=1e-7)


def test_a_token_in_one_of_two_equal_parts_is_as_uneven_as_can_be():
    parts = parts_of([[4, 6], [0, 10]])
    dp, dp_norm = deviation_of_proportions(parts)
    assert (dp[0], dp_norm[0], kl_dispersion(parts)[0]) == (0.5, 1.0, 1.0)
    assert juilland(parts)[0] == pytest.approx(0.0)


def test_a_token_in_proportion_to_the_parts_is_even():
    parts = parts_of([[1, 9], [2, 18], [5, 45]])
    dp, dp_norm = deviation_of_proportions(parts)
    assert_allclose([dp[0], dp_norm[0], kl_dispersion(parts)[0]], 0.0, atol=1e-15)
    assert juilland(parts)[0] == pytest.approx(1.0)


def test_a_worked_example():
    # Five parts of 10 words; the token occurs 1, 2, 3, 4, 5 times. By hand:
    # v = k/15, s = .2; DP = ½(2/15 + 1/15 + 0 + 1/15 + 2/15) = .2; DPnorm = .2 / .8 = .25;
    # p has mean .3 and population sd .1·√2, so D = 1 − √2 / 3 / 2.
    parts = parts_of([[k, 10 - k] for k in (1, 2, 3, 4, 5)])
    dp, dp_norm = deviation_of_proportions(parts)
    assert (dp[0], dp_norm[0]) == (pytest.approx(0.2), pytest.approx(0.25))
    assert juilland(parts)[0] == pytest.approx(1 - math.sqrt(2) / 6)


@given(
    st.lists(st.integers(1, 30), min_size=1, max_size=6),
    st.integers(1, 40),
)
@settings(max_examples=100, deadline=None)
def test_expected_documents_equal_the_hypergeometric(lengths, k):
    positions = sum(lengths)
    k = min(k, positions)
    sizes, how_many = np.unique(lengths, return_counts=True)
    found = expected_documents(np.array([k]), sizes, how_many)
    expected = sum(1 - stats.hypergeom(positions, k, n).pmf(0) for n in lengths)
    assert_allclose(found, [expected], rtol=1e-9)


def test_expected_documents_equal_shuffled_text():
    rng = np.random.default_rng(0)
    lengths, k = np.array([3, 5, 20, 72]), 6
    document = np.repeat(np.arange(4), lengths)
    draws = [len(np.unique(rng.choice(document, k, replace=False))) for _ in range(20_000)]
    found = expected_documents(np.array([k]), lengths, np.ones(4, np.int64))[0]
    assert found == pytest.approx(np.mean(draws), abs=4 * np.std(draws) / math.sqrt(20_000))


@pytest.mark.parametrize("documents", [1, 1_000, 10**6, 10**9])
def test_expected_documents_keep_their_digits_in_a_large_corpus(documents):
    # Exact rational arithmetic: C(N − n, k) / C(N, k) for one length n.
    n = 600
    for k in (1, 2, 50):
        positions = n * documents
        missed = Fraction(1)
        for step in range(k):
            missed *= Fraction(positions - n - step, positions - step) if documents > 1 else 0
        found = expected_documents(np.array([k]), np.array([n]), np.array([documents]))
        assert_allclose(found, [float(documents * (1 - missed))], rtol=1e-6)


def test_a_token_that_occurs_once_is_expected_in_one_document():
    found = expected_documents(np.array([1, 55]), np.array([5, 50]), np.array([1, 1]))
    assert_allclose(found, [1.0, 2.0])


def test_burstiness_is_zero_for_a_token_that_occurs_once_and_negative_for_a_clump():
    table = table_of(documents([0, 1, 1, 1, 1], [2, 2, 0, 3, 2], [2, 3, 0, 2, 3]), 5)
    bursty = dict(zip(table["token"], table["burstiness"], strict=True))
    assert bursty["b"] < bursty["a"]
    assert bursty["a"] > 0  # in every document, more even than chance
    assert "e" not in bursty


def test_special_tokens_have_no_part_in_dispersion():
    some = documents([0, 9, 9, 1], [0, 9, 1, 1])
    table = table_of(some, 10, [9])
    assert set(table["token_id"]) == {0, 1}


def test_the_set_by_occurrences_is_the_set_by_frequency():
    rng = np.random.default_rng(1)
    some = documents(*[list(rng.zipf(1.6, 60).clip(max=40)) for _ in range(30)])
    table = table_of(some, 41)
    paper = FunctionTokens.by_coverage(TokenCounts.of(some, 41), [], 0.6)
    for same in ("size", "share"):
        sets = sets_by_score(table, [], 41, paper, floor=1, same=same)
        assert set(sets) == set(SCORES)
        assert sets["occurrences"].ids.tolist() == paper.ids.tolist()
        assert sets["occurrences"].reached == pytest.approx(paper.reached)
    by_size = sets_by_score(table, [], 41, paper, floor=1, same="size")
    assert {len(found.ids) for found in by_size.values()} == {len(paper.ids)}
    by_share = sets_by_score(table, [], 41, paper, floor=1, same="share")
    assert all(found.reached >= paper.reached - 1e-12 for found in by_share.values())


def test_candidates_below_the_floor_are_never_chosen():
    some = documents([0] * 9 + [1], [0] * 8 + [2, 3])
    table = table_of(some, 4)
    paper = FunctionTokens.by_coverage(TokenCounts.of(some, 4), [], 0.9)
    sets = sets_by_score(table, [], 4, paper, floor=2)
    assert all(found.ids.tolist() == [0] for found in sets.values())


@given(st.lists(st.integers(1, 9), min_size=2, max_size=4), st.integers(1, 7))
@settings(max_examples=60, deadline=None)
def test_no_allocation_of_so_many_occurrences_deviates_less(sizes, k):
    def allocations(left: int, parts: int) -> list[tuple[int, ...]]:
        if parts == 1:
            return [(left,)]
        return [(n, *r) for n in range(left + 1) for r in allocations(left - n, parts - 1)]

    total = sum(sizes)
    least = min(
        sum(abs(a / k - size / total) for a, size in zip(some, sizes, strict=True)) / 2
        for some in allocations(k, len(sizes))
    )
    found = least_deviation(np.array([k, 1, k]), np.array(sizes))
    assert_allclose(found[[0, 2]], least, atol=1e-12)


def test_adjusted_for_frequency_a_token_is_even_or_not_whatever_its_count():
    """Once per document is as even as three occurrences can be; all in one is the most uneven."""
    some = documents(*[[0, 1, 2] if d % 10 == 0 else [1, 3, 3] for d in range(100)])
    table = table_of(some, 4)
    value = dict(zip(table["token"], table["dp_adjusted"], strict=True))
    assert value["b"] == pytest.approx(0, abs=1e-9)
    assert 0 <= value["a"] <= 1
    again = dict(zip(table["token"], table["adaptation"], strict=True))
    assert (again["a"], again["d"]) == (0.0, 1.0)


def test_many_lengths_taken_together_change_the_fifth_digit_at_most():
    chance = np.random.default_rng(0)
    lengths = np.unique(chance.integers(1, 60_000, 6000))
    how_many = chance.integers(1, 4, len(lengths))
    ks = np.array([1, 40, 3000, 10**6])
    positions = float((lengths * how_many).sum())
    missed = np.exp(ks[:, None] * np.log1p(-lengths / positions)) @ how_many
    found = expected_documents(ks, lengths, how_many)
    assert_allclose(found, how_many.sum() - missed, rtol=2e-5)

"""Neighbours at equal exposure: the sample, and the diversity read off it."""

import math
from collections import Counter, defaultdict

import numpy as np
import polars as pl
import pytest
from documents import encoded_as
from hypothesis import given
from hypothesis import strategies as st

from functok.encoding.tokenizer import Encoded
from functok.tokens.counting.counts import TokenCounts
from functok.tokens.spread.neighbours import (
    EXPOSURE,
    NEVER,
    Neighbours,
    neighbour_table,
    thinnings,
)

VOCABULARY = 6
DOCUMENTS = st.lists(st.lists(st.integers(0, VOCABULARY - 1), max_size=9), max_size=8)
ALL = np.zeros(VOCABULARY, np.uint8)


def rows(sample: Neighbours) -> list[tuple]:
    columns = (sample.token, sample.previous, sample.following, sample.priority)
    return sorted(zip(*(column.tolist() for column in columns), strict=True))


@given(DOCUMENTS)
def test_neighbours_are_those_inside_the_document(documents):
    found = Counter(row[:3] for row in rows(Neighbours.of(encoded_as(documents), ALL)))
    padded = [[-1, *one, -1] for one in documents]
    assert found == Counter(
        (one[place], one[place - 1], one[place + 1])
        for one in padded
        for place in range(1, len(one) - 1)
    )


@given(DOCUMENTS, DOCUMENTS, DOCUMENTS)
def test_samples_are_a_commutative_monoid(one, two, three):
    a, b, c = (Neighbours.of(encoded_as(some), ALL) for some in (one, two, three))
    assert rows(a.merge(b)) == rows(b.merge(a))
    assert rows(a.merge(b).merge(c)) == rows(a.merge(b.merge(c)))
    assert rows(a.merge(Neighbours.zero())) == rows(a)
    assert rows(Neighbours.of(encoded_as(one + two), ALL)) == rows(a.merge(b))


def test_a_sample_comes_back_from_disk(tmp_path):
    sample = Neighbours.of(encoded_as([[1, 2, 2], [], [3]]), ALL)
    sample.save(tmp_path)
    assert rows(Neighbours.load(tmp_path)) == rows(sample)


def corpus() -> tuple[Encoded, int]:
    """Token 0 before one of 40 tokens, token 1 always before token 2; both are frequent."""
    chance = np.random.default_rng(0)
    documents = [
        [token for _ in range(10) for token in (0, int(chance.integers(3, 43)), 1, 2)]
        for _ in range(400)
    ]
    return encoded_as(documents), 43


def test_thinning_leaves_a_little_more_than_is_asked_for():
    documents, vocabulary = corpus()
    counts = TokenCounts.of(documents, vocabulary)
    thinning = thinnings(counts)
    sample = Neighbours.of(documents, thinning)
    kept = Counter(sample.token.tolist())
    for token, occurrences in enumerate(counts.occurrences):
        if occurrences >= EXPOSURE:
            assert EXPOSURE <= kept[token] < 4.5 * EXPOSURE
        else:
            assert thinning[token] == NEVER
            assert kept[token] == 0


def test_diversity_at_equal_exposure_equals_a_naive_computation():
    documents, vocabulary = corpus()
    sample = Neighbours.of(documents, thinnings(TokenCounts.of(documents, vocabulary)))
    table = neighbour_table(sample)
    by_token = defaultdict(list)
    for token, previous, following, priority in rows(sample):
        by_token[token].append((priority, previous, following))
    occurrences = Counter(documents.ids.tolist())
    enough = sorted(token for token, count in occurrences.items() if count >= EXPOSURE)
    assert table["token_id"].to_list() == enough
    assert {0, 1, 2} < set(enough) < set(occurrences)
    for row in table.iter_rows(named=True):
        lowest = sorted(by_token[row["token_id"]])[:EXPOSURE]
        for place, name in ((1, "previous"), (2, "next")):
            seen = Counter(one[place] for one in lowest)
            plain = -sum(n / EXPOSURE * math.log(n / EXPOSURE) for n in seen.values())
            assert row[f"{name}_types"] == len(seen)
            expected = plain + (len(seen) - 1) / (2 * EXPOSURE)
            assert row[f"{name}_entropy"] == pytest.approx(expected)
    one = table.filter(pl.col("token_id") == 1).row(0, named=True)
    assert (one["next_types"], one["next_entropy"]) == (1, 0.0)


def test_the_corrected_entropy_is_near_the_truth_and_the_same_at_any_frequency():
    chance = np.random.default_rng(1)
    found = []
    for documents in (40, 2000):
        some = [
            [token for _ in range(10) for token in (0, int(chance.integers(1, 21)))]
            for _ in range(documents)
        ]
        sample = Neighbours.of(encoded_as(some), thinnings(TokenCounts.of(encoded_as(some), 21)))
        found.append(neighbour_table(sample)["next_entropy"][0])
    assert found == pytest.approx([math.log(20)] * 2, abs=0.1)

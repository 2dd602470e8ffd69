import json
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import zstandard
from documents import encoded_as
from hypothesis import given, settings
from hypothesis import strategies as st

from functok.corpus import Document
from functok.encoding.tokenizer import Encoded, encode, load_tokenizer, special_ids, vocabulary_size
from functok.tokens.counting.counts import TokenCounts
from functok.tokens.counting.function_tokens import TRANSITIONS, FunctionTokens
from functok.tokens.counting.pairs import pair_counts
from functok.tokens.grammar.subclasses import CODE
from functok.tokens.spread.partitions import PartCounts
from functok.tokens.spread.thresholds import (
    THRESHOLDS,
    composition_table,
    level_codes,
    membership,
    overlap_table,
    stability_table,
    sweep_sets,
    sweep_table,
)

DATA = Path(__file__).parents[3] / "shared" / "data"


def by_document(documents, vocabulary):
    """Counts in which every document is a part."""
    count = len(documents.offsets) - 1
    return PartCounts.of(documents, np.arange(count), count, vocabulary)


def documents(*some: list[int]) -> Encoded:
    return encoded_as(some)


def real_documents(name: str) -> list[Document]:
    with zstandard.open(DATA / "texts" / f"{name}.jsonl.zst", "rt", encoding="utf-8") as lines:
        return [Document(name, json.loads(line)["text"]) for line in lines]


def sampled(seed: int = 0) -> Encoded:
    rng = np.random.default_rng(seed)
    return documents(*[list(rng.zipf(1.4, 80).clip(max=60)) for _ in range(40)])


def swept(some: Encoded, special: list[int], vocabulary: int, thresholds: tuple) -> pl.DataFrame:
    sets = sweep_sets(TokenCounts.of(some, vocabulary), special, thresholds)
    codes = level_codes(sets, special, vocabulary)
    return sweep_table(sets, pair_counts(some.ids, some.offsets, codes), codes)


@given(st.lists(st.lists(st.integers(0, 5), max_size=6), max_size=6))
@settings(max_examples=100, deadline=None)
def test_the_shares_at_every_threshold_equal_a_naive_count(some):
    if not any(token != 5 for one in some for token in one):
        return
    counts = TokenCounts.of(documents(*some), 6)
    table = swept(documents(*some), [5], 6, (0.2, 0.5, 0.8))
    for row in table.iter_rows(named=True):
        function = FunctionTokens.by_coverage(counts, [5], row["coverage"]).ids
        naive = Counter(
            "cf"[current in function] + "cf"[following in function]
            for one in some
            for current, following in pairwise(one)
            if 5 not in (current, following)
        )
        assert row["pairs"] == naive.total()
        shares = {group: naive[group] / max(naive.total(), 1) for group in TRANSITIONS}
        assert {group: row[group] for group in TRANSITIONS} == pytest.approx(shares)


def test_the_sweep_grows_and_its_shares_add_up():
    table = swept(sampled(), [], 61, THRESHOLDS)
    assert (table["tokens"].diff().drop_nulls() >= 0).all()
    assert (table["reached"] >= table["coverage"] - 1e-12).all()
    assert table.select(pl.sum_horizontal(*TRANSITIONS)).to_series().to_list() == pytest.approx(
        [1.0] * len(table)
    )


def test_composition_counts_every_token_of_the_set_once():
    counts = TokenCounts(np.array([50, 30, 15, 5]), np.ones(4, np.int64), 1)
    codes = np.array([CODE[name] for name in ("DET", "DET", "digits", "content")], np.int8)
    table = composition_table(counts, sweep_sets(counts, [], (0.8, 0.95)), codes)
    assert table.filter(coverage=0.8).rows() == [(0.8, "DET", 2, 1.0, 80, 1.0)]
    digits = table.filter(coverage=0.95, subclass="digits").row(0, named=True)
    assert digits["occurrence_share"] == pytest.approx(15 / 95)


def test_stability_is_the_same_for_the_same_seed():
    parts = by_document(sampled(), 61)
    one, two = (stability_table(parts, [], seed=7) for _ in range(2))
    other = stability_table(parts, [], seed=8)
    assert one.equals(two)
    assert not one.equals(other)


def test_identical_documents_make_a_perfectly_stable_set():
    parts = by_document(documents(*[[0, 0, 0, 1, 1, 2]] * 12), 3)
    table = stability_table(parts, [], (0.4, 0.8))
    assert (table["jaccard_low"] == 1).all()
    assert (table["always"] == 1).all()
    assert (table["ever"] == table["tokens"]).all()


def test_membership_is_the_share_of_bootstraps_with_the_token():
    parts = by_document(sampled(), 61)
    share = membership(parts, [], 0.4, seed=3)
    table = stability_table(parts, [], (0.4,), seed=3).row(0, named=True)
    assert np.count_nonzero(share) == table["ever"]
    counts = TokenCounts(parts.occurrences, parts.occurrences, 40)
    full = FunctionTokens.by_coverage(counts, [], 0.4).ids
    assert np.mean(share[full] == 1) == pytest.approx(table["always"])


def test_overlap_of_strings_with_and_without_blanks_and_case():
    table = overlap_table({"a": ["␣the", "The", ","], "b": ["the", ",", "␣of"]})
    row = table.row(0, named=True)
    assert (row["shared"], row["jaccard"]) == (1, pytest.approx(1 / 5))
    assert row["jaccard_words"] == pytest.approx(2 / 3)


@pytest.mark.skipif(not DATA.is_dir(), reason="needs the shared texts beside the project")
def test_the_published_shares_of_real_prose():
    tokenizer = load_tokenizer(str(DATA / "tokenizers" / "gpt2"))
    encoded = encode([*real_documents("openstax"), *real_documents("standardebooks")], tokenizer)
    table = swept(encoded, special_ids(tokenizer), vocabulary_size(tokenizer), (0.2, 0.4))
    row = table.filter(coverage=0.4).row(0, named=True)
    assert (len(encoded.ids), row["tokens"]) == (5_867_391, 43)
    assert [round(row[name], 3) for name in TRANSITIONS] == [0.132, 0.269, 0.269, 0.330]

"""The Poisson null against naive loops."""

import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests

from functok.controls.nulls.poisson import poisson

from .dense import observed, random_incidence, subject_of


def _naive(counts: np.ndarray, table: np.ndarray):
    """Expected edges and token-specific ones of each token, pair by pair."""
    vocabulary, features = table.shape
    seen = [t for t in range(vocabulary) if counts[t]]
    active = [j for j in range(features) if table[:, j].sum()]
    expected, p, where = np.zeros(vocabulary), [], []
    for t in seen:
        for j in active:
            mean = counts[t] * table[:, j].sum() / counts.sum()
            chance = 1 - math.exp(-mean)
            expected[t] += chance
            tested = table[t, j] > 0 and chance < 0.05
            p.append(scipy.stats.poisson.sf(table[t, j] - 1, mean) if tested else 1.0)
            where.append(t)
    rejected = multipletests(p, 0.05, "fdr_bh")[0]
    return expected, np.bincount(np.array(where)[rejected], minlength=vocabulary)


@given(st.integers(0, 60), st.sampled_from(["documents", "occurrences"]))
@settings(max_examples=25)
def test_expected_and_specific_edges_equal_those_of_a_double_loop(seed, unit):
    tokens, fires = random_incidence(seed, positions=150, vocabulary=8)
    fires[tokens == 7] = False
    fires[np.flatnonzero(tokens == 7), 3] = True  # a feature all its own, as far as 7 goes
    fires[tokens != 7, 3] = False
    seen = observed(tokens, fires)
    subject = subject_of(seen, 8, 12)
    kept = seen.chosen() if unit == "documents" else np.ones(150, bool)
    counts = np.bincount(tokens[kept], minlength=8)
    table = np.array([fires[kept & (tokens == token)].sum(0) for token in range(8)])
    expected, specific = _naive(counts, table)
    found = poisson(subject, unit).tokens
    order = found["token_id"].to_numpy()
    assert found["count"].to_list() == counts[order].tolist()
    assert found["edges"].to_list() == (table[order] > 0).sum(1).tolist()
    assert found["expected"].to_numpy() == pytest.approx(expected[order])
    assert found["specific"].to_list() == specific[order].tolist()


def test_a_feature_of_one_rare_token_is_specific_and_a_common_one_is_not():
    chance = np.random.default_rng(0)
    tokens = np.where(np.arange(2000) % 250 == 0, 5, chance.integers(0, 5, 2000))
    fires = chance.random((2000, 12)) < 0.2
    fires[:, 11] = tokens == 5
    found = poisson(subject_of(observed(tokens, fires), 6, 12))
    assert found.specific.select("token_id", "feature").rows() == [(5, 11)]
    rows = {(row["reading"], row["side"]): row for row in found.sides.iter_rows(named=True)}
    assert rows["as studied", "content"]["specific"] == 1
    assert rows["as studied", "function"]["specific"] == 0
    assert rows["as studied", "function"]["ratio"] == pytest.approx(1, abs=0.1)
    assert rows["DET", "function"]["types"] == 3


def test_a_graph_without_positions_has_no_edges_to_explain():
    empty = subject_of(observed(np.zeros(0, int), np.zeros((0, 4), bool)), 6, 4)
    found = poisson(empty)
    assert found.tokens.is_empty()
    assert found.specific.is_empty()

"""Orderings, greedy cover, Heaps and power laws against loops, sets and planted laws."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from functok.corpus.splits import GROUPS
from functok.graph import scaling
from functok.graph.bipartite import TokenFeatureGraph
from functok.graph.export import csr, write_edge_list
from functok.graph.orders import cover_tables, coverage_curve, greedy_order, orderings
from functok.graph.scaling import Degrees, _fit, goodness_of_fit, per_token, scaling_table

VOCABULARY, FEATURES = 12, 60


def graph_of(seed: int, used: int = 6) -> tuple[TokenFeatureGraph, np.ndarray]:
    """A random graph, and its dense [group, token, feature] table."""
    chance = np.random.default_rng(seed)
    dense = np.zeros((GROUPS, VOCABULARY, FEATURES), np.int64)
    tokens = np.zeros((GROUPS, VOCABULARY), np.int64)
    for group in chance.permutation(GROUPS)[:used]:
        tokens[group] = chance.multinomial(80, np.arange(VOCABULARY, 0, -1) ** 2 / 650)
        rate = np.geomspace(0.3, 0.001, FEATURES) * chance.uniform(0, 2, (VOCABULARY, 1))
        dense[group] = chance.binomial(tokens[group][:, None], np.minimum(rate, 1))
    group, token, feature = np.nonzero(dense)
    counts = dense[group, token, feature]
    key = (group * VOCABULARY + token) * FEATURES + feature
    one = np.ones(len(key))
    graph = TokenFeatureGraph(
        VOCABULARY, FEATURES, key, counts, np.minimum(counts, 1), counts * 1.0, one, tokens, tokens
    )
    return graph, dense


@given(st.integers(0, 10**6), st.integers(1, 12), st.integers(1, 15), st.booleans())
def test_lazy_greed_equals_looking_at_every_token_each_time(seed, tokens, features, priced):
    chance = np.random.default_rng(seed)
    reaches = chance.random((tokens, features)) < 0.3
    cost = chance.integers(1, 4, tokens).astype(float) if priced else None
    weight = np.ones(tokens) if cost is None else cost
    expected, left = [], reaches.copy()
    while left.any():
        best = int(np.argmax(left.sum(1) / weight))  # the first of equals
        expected.append(best)
        left[:, left[best]] = False
    found = greedy_order(sparse.csr_array(reaches.astype(np.int64)), cost)
    assert found.tolist() == expected


@pytest.mark.parametrize("seed", range(4))
def test_curves_equal_unions_of_sets(seed: int) -> None:
    graph, dense = graph_of(seed)
    for order in orderings(graph, 0).values():
        assert sorted(order.tolist()) == np.flatnonzero(dense.any((0, 2))).tolist() or set(
            np.flatnonzero(graph.token_occurrences.sum(0))
        ) == set(order.tolist())
        curve = coverage_curve(graph, order)
        reached: set[int] = set()
        for rank, token in enumerate(order):
            reached |= set(np.flatnonzero(dense[:, token].any(0)))
            assert curve.reached[rank] == len(reached)
        assert curve.active == len(reached)
        share = np.cumsum(graph.token_occurrences.sum(0)[order]) / graph.positions
        first = np.diff(np.append(0, curve.reached))
        area = 1 - (first * share).sum() / len(reached)
        assert curve.area_positions.value == pytest.approx(area)
        assert curve.area_positions.low < area < curve.area_positions.high


def test_greed_covers_with_fewer_types_and_a_price_with_fewer_positions() -> None:
    graph, _ = graph_of(1)
    classes, shown = np.arange(VOCABULARY) % 2, [str(token) for token in range(VOCABULARY)]
    curves, rows = cover_tables(graph, classes.astype(np.int8), shown, seed=0, first=4)
    found = {row["ordering"]: row for row in rows.to_pylist()}
    assert len(found) == 5
    best = max(found.values(), key=lambda row: row["area_types"])
    assert best["ordering"] in ("greedy", "degree", "frequency")
    by_positions = {name: row["area_positions"] for name, row in found.items()}
    assert max(by_positions, key=lambda name: by_positions[name]) == "greedy per occurrence"
    assert set(curves["ordering"].to_pylist()) == set(found)
    ends = [row for row in curves.to_pylist() if row["of_active"] == 1]
    assert {row["ordering"] for row in ends} == set(found)


@pytest.mark.parametrize("seed", range(3))
def test_degrees_without_a_group_are_those_of_the_rest(seed: int) -> None:
    graph, dense = graph_of(seed)
    degrees = Degrees.of(graph)
    assert (degrees.whole == dense.any(0).sum(1)).all()
    for group in range(GROUPS):
        rest = np.delete(dense, group, axis=0).any(0).sum(1)
        assert (degrees.without(np.array([group])) == rest).all()


def planted(beta: float, seed: int = 0) -> TokenFeatureGraph:
    """Token t occurs N_t times and reaches N_t^β features, spread over all groups of documents."""
    chance = np.random.default_rng(seed)
    occurrences = np.unique(np.geomspace(32, 4000, 60).astype(int)) // GROUPS * GROUPS
    degree = np.round(occurrences**beta).astype(int)
    features = int(degree.max()) * 2
    keys = []
    for token, size in enumerate(degree.tolist()):
        for feature in chance.permutation(features)[:size].tolist():
            for group in range(GROUPS):  # in every group, so that none alone carries it
                keys.append((group * len(degree) + token) * features + feature)
    one = np.ones(len(keys), np.int64)
    tokens = np.repeat(occurrences[None, :] // GROUPS, GROUPS, axis=0)
    key = np.array(keys)
    return TokenFeatureGraph(
        len(degree), features, key, one, one, one * 1.0, one * 1.0, tokens, tokens
    )


@pytest.mark.parametrize("beta", [0.4, 0.8])
def test_a_planted_heaps_exponent_is_found(beta: float, monkeypatch) -> None:
    monkeypatch.setattr(scaling, "DRAWS", 2)
    table = {row["statistic"]: row for row in scaling_table(planted(beta), 0).to_pylist()}
    assert table["heaps_exponent"]["value"] == pytest.approx(beta, abs=0.02)
    excess = table["heaps_exponent"]["value"] - table["heaps_exponent_random"]["value"]
    assert table["heaps_excess"]["value"] == pytest.approx(excess)
    for row in table.values():
        if row["low"] == row["low"]:
            assert row["low"] <= row["value"] <= row["high"], row


def law(alpha: float, xmin: int, count: int, seed: int) -> np.ndarray:
    chance = np.random.default_rng(seed)
    k = np.arange(xmin, 200_000)
    share = k ** (-alpha)
    return chance.choice(k, count, p=share / share.sum())


@pytest.mark.parametrize("alpha", [1.8, 2.5, 4.0])
def test_a_planted_power_law_is_found_and_not_rejected(alpha: float) -> None:
    degrees = law(alpha, 12, 1500, seed=1)
    fit = _fit(degrees)
    assert fit.power_law.alpha == pytest.approx(alpha, abs=0.2)
    assert goodness_of_fit(degrees, fit, 20, seed=0) >= 0.1


def test_what_is_no_power_law_is_rejected() -> None:
    degrees = np.random.default_rng(0).poisson(300, 1500)
    fit = _fit(degrees, 250.0)
    assert goodness_of_fit(degrees, fit, 20, seed=0) < 0.1


def test_exports_hold_every_pair_once(tmp_path) -> None:
    import polars as pl

    graph, dense = graph_of(2)
    assert (csr(graph).toarray() == dense.sum(0)).all()
    assert (csr(graph, "documents").toarray() == np.minimum(dense, 1).sum(0)).all()
    (tmp_path / "graph").mkdir()
    graph.save(tmp_path / "graph")
    stored = TokenFeatureGraph.load(tmp_path / "graph")
    assert (csr(stored).toarray() == dense.sum(0)).all()
    for name, read in (("edges.csv", pl.read_csv), ("edges.parquet", pl.read_parquet)):
        write_edge_list(stored, tmp_path / name)
        table = read(tmp_path / name)
        assert table.height == np.count_nonzero(dense.sum(0))
        found = dense.sum(0)[table["token"], table["feature"]]
        assert table["occurrences"].to_list() == found.tolist()
        assert table["sum"].to_list() == found.astype(float).tolist()


def test_the_ratio_per_token_is_the_mean_in_standard_deviations() -> None:
    chance = np.random.default_rng(0)
    ratios = chance.normal(0.1, 2, 400)  # log likelihood ratios of single tokens
    normalised = ratios.sum() / math.sqrt(len(ratios)) / ratios.std()
    found = per_token(normalised, len(ratios))
    assert found.value == pytest.approx(ratios.mean() / ratios.std())
    assert found.width / 2 == pytest.approx(1.959964 / math.sqrt(len(ratios)))

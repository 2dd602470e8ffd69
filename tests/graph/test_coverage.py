"""Degree and coverage against dense tables, brute force and the hypergeometric distribution."""

import math
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import stdtrit
from scipy.stats import hypergeom

from functok.corpus.splits import GROUPS
from functok.graph.bipartite import TokenFeatureGraph
from functok.graph.coverage import (
    coverage,
    coverage_table,
    degree_table,
    expected_coverage,
    frequency_order,
    token_degrees,
)
from functok.graph.tables import side_by_side
from functok.runtime.store import graph_table, write_table

VOCABULARY, FEATURES = 6, 40


@given(st.lists(st.integers(0, 7), min_size=1, max_size=5), st.integers(0, 7))
def test_expected_coverage_equals_the_mean_over_every_choice(active_at, drawn):
    positions = 7
    fires = np.zeros((positions, len(active_at)), bool)
    for feature, count in enumerate(active_at):
        fires[:count, feature] = True  # where it fires does not matter
    active = max(np.count_nonzero(active_at), 1)
    shares = [fires[list(some)].any(0).sum() / active for some in combinations(range(7), drawn)]
    found = expected_coverage(np.array(active_at), positions, drawn)
    assert found == pytest.approx(np.mean(shares), abs=1e-9)


@given(
    st.integers(1, 3000),
    st.lists(st.integers(1, 3000), min_size=1, max_size=6),
    st.integers(1, 3000),
)
def test_expected_coverage_equals_the_hypergeometric_distribution(positions, counts, drawn):
    counts = np.minimum(counts, positions)
    drawn = min(drawn, positions)
    exact = np.mean(1 - hypergeom.pmf(0, positions, counts, drawn))
    assert expected_coverage(counts, positions, drawn) == pytest.approx(exact, abs=1e-9)


@pytest.mark.parametrize("positions", [10**4, 5 * 10**6, 10**9])
@pytest.mark.parametrize(("count", "drawn"), [(1, 1), (3, 7), (50, 1), (100, 100)])
def test_expected_coverage_keeps_its_digits_for_rare_features(positions, count, drawn):
    """As differences of log Γ these are noise: 2·10⁻⁷ between numbers of 7·10⁷."""
    kept = sum(math.log1p(-drawn / (positions - step)) for step in range(count))
    found = expected_coverage(np.array([count]), positions, drawn)
    assert found == pytest.approx(-math.expm1(kept), rel=1e-5)


def _graph(seed: int = 0, groups: int = 8, documents: int = 60):
    """A random graph and, by group, its dense (token, feature) table of occurrences."""
    chance = np.random.default_rng(seed)
    tokens = np.zeros((GROUPS, VOCABULARY), np.int64)
    dense = np.zeros((GROUPS, VOCABULARY, FEATURES), np.int64)
    for group in chance.permutation(GROUPS)[:groups]:
        tokens[group] = chance.multinomial(documents, [0.4, 0.3, 0.15, 0.1, 0.05, 0])
        rates = np.geomspace(0.2, 0.0005, FEATURES) * chance.uniform(0, 2, (VOCABULARY, 1))
        dense[group] = chance.binomial(tokens[group][:, None], np.minimum(rates, 1))
    group, token, feature = np.nonzero(dense)
    occurrences = dense[group, token, feature]
    graph = TokenFeatureGraph(
        VOCABULARY,
        FEATURES,
        (group * VOCABULARY + token) * FEATURES + feature,
        occurrences,
        np.minimum(occurrences, 1),
        occurrences * 1.5,
        np.full(len(group), 1.5),
        tokens,
        np.minimum(tokens, 1),
    )
    return graph, dense


@given(st.integers(0, 20))
def test_degree_equals_the_row_sums_of_the_dense_table(seed):
    graph, dense = _graph(seed)
    assert (token_degrees(graph) == (dense.sum(0) > 0).sum(1)).all()


def _naive_shares(dense: np.ndarray, occurrences: np.ndarray, tokens: list[int]):
    """Coverage by ``tokens`` and by as many random positions, over the groups given."""
    active = dense.sum((0, 1)) > 0
    reached = (dense[:, tokens].sum((0, 1)) > 0).sum() / active.sum()
    positions, drawn = int(occurrences.sum()), int(occurrences[:, tokens].sum())
    everywhere = dense.sum((0, 1))[active]
    return reached, np.mean(1 - hypergeom.pmf(0, positions, everywhere, drawn))


@given(st.integers(0, 20), st.sets(st.integers(0, VOCABULARY - 2), min_size=1))
def test_coverage_and_its_interval_equal_dropping_documents_group_by_group(seed, tokens):
    graph, dense = _graph(seed)
    chosen = sorted(tokens)
    used = np.flatnonzero(graph.token_occurrences.sum(1))
    found = coverage(graph, np.array(chosen))

    reached, random = _naive_shares(dense[used], graph.token_occurrences[used], chosen)
    assert found.of_active.value == pytest.approx(reached)
    assert found.random == pytest.approx(random)
    assert found.log_ratio.value == pytest.approx(np.log(reached / random))
    assert found.of_all == pytest.approx((dense[:, chosen].sum((0, 1)) > 0).sum() / FEATURES)
    assert found.positions == graph.token_occurrences[:, chosen].sum()

    shares = []
    for group in used:
        rest = used[used != group]
        shares.append(_naive_shares(dense[rest], graph.token_occurrences[rest], chosen))
    left_out, without = np.array(shares).T
    for estimate, values in (
        (found.of_active, left_out),
        (found.log_ratio, np.log(left_out / without)),
    ):
        spread = np.sqrt((len(used) - 1) * np.mean((values - values.mean()) ** 2))
        half = stdtrit(len(used) - 1, 0.975) * spread
        assert estimate.low == pytest.approx(estimate.value - half)
        assert estimate.high == pytest.approx(estimate.value + half)


def test_all_tokens_cover_what_is_active_and_no_more_than_chance():
    graph, _ = _graph()
    found = coverage(graph, np.arange(VOCABULARY))
    assert (found.of_active.value, found.random, found.log_ratio.value) == (1, 1, 0)


def test_features_that_ignore_the_token_are_covered_as_by_random_positions():
    """Over many worlds without any hub, log R is 0 on average."""
    chance = np.random.default_rng(1)
    ratios = []
    for _ in range(60):
        tokens = np.zeros((GROUPS, VOCABULARY), np.int64)
        tokens[:4] = chance.multinomial(100, np.full(VOCABULARY, 1 / VOCABULARY), 4)
        rates = np.geomspace(0.1, 0.001, FEATURES)
        dense = chance.binomial(tokens[..., None], rates)
        group, token, feature = np.nonzero(dense)
        counts = dense[group, token, feature]
        key = (group * VOCABULARY + token) * FEATURES + feature
        graph = TokenFeatureGraph(
            VOCABULARY, FEATURES, key, counts, counts, counts * 1.0, counts * 1.0, tokens, tokens
        )
        ratios.append(coverage(graph, np.array([0, 1])).log_ratio.value)
    assert abs(np.mean(ratios)) < 4 * np.std(ratios) / np.sqrt(len(ratios))
    assert abs(np.mean(ratios)) < 0.02


def test_a_dictionary_of_which_nothing_fires_has_no_coverage():
    graph, _ = _graph()
    silent = TokenFeatureGraph.zero(VOCABULARY, FEATURES)
    silent.token_occurrences[:] = graph.token_occurrences
    found = coverage(silent, np.array([0]))
    assert np.isnan([found.of_active.value, found.log_ratio.value, found.log_ratio.low]).all()


def test_features_of_one_group_alone_leave_the_interval_open():
    graph, _ = _graph(groups=2)
    at = graph.columns
    first = at.group == at.group[0]
    key = (at.group * VOCABULARY + at.token) * FEATURES + at.feature
    columns = (key, at.occurrences, at.documents, at.sum, at.max)
    one = TokenFeatureGraph(
        VOCABULARY,
        FEATURES,
        *(column[first] for column in columns),
        graph.token_occurrences,
        graph.token_documents,
    )
    found = coverage(one, np.array([0, 1]))
    assert 0 < found.of_active.value <= 1
    assert np.isnan([found.of_active.low, found.log_ratio.low]).all()


def test_the_tables_list_tokens_by_frequency_with_their_degree_and_reach():
    graph, dense = _graph(3)
    shown = list("abcdef")
    order = frequency_order(graph)
    occurrences = graph.token_occurrences.sum(0)
    assert order.tolist() == sorted(
        np.flatnonzero(occurrences).tolist(), key=lambda token: (-occurrences[token], token)
    )
    classes = np.array([0, 1, 1, 1, 1, 2])
    degrees = degree_table(graph, classes, shown).to_pydict()
    assert degrees["token"] == [shown[token] for token in order]
    assert degrees["class"][0] == "function"
    assert degrees["degree"] == [(dense.sum(0)[token] > 0).sum() for token in order]
    everywhere = dense.sum((0, 1))
    for row, token in enumerate(order):
        missed = hypergeom.pmf(0, graph.positions, everywhere, occurrences[token])
        assert degrees["random_degree"][row] == pytest.approx((1 - missed).sum())
    reach = coverage_table(graph, order, shown, top=3).to_pydict()
    assert reach["rank"] == [1, 2, 3]
    for rank in reach["rank"]:
        reached, random = _naive_shares(
            dense, graph.token_occurrences, [int(token) for token in order[:rank]]
        )
        assert reach["of_active"][rank - 1] == pytest.approx(reached)
        assert reach["random"][rank - 1] == pytest.approx(random)
        assert reach["positions"][rank - 1] == occurrences[order[:rank]].sum()


def test_the_coverage_of_several_saes_stands_side_by_side(tmp_path: Path):
    tables = {}
    for seed, name in enumerate(("main", "wide")):
        graph, _ = _graph(seed)
        order = np.arange(4) if seed == 0 else np.array([0, 1, 3, 2])
        tables[name] = coverage_table(graph, order, list("abcdef"), top=4)
        write_table(graph_table(tmp_path / name, "coverage"), tables[name])
    found = side_by_side({name: tmp_path / name for name in tables}).to_dict(as_series=False)
    assert found == {
        "rank": [1, 2, 3, 4],
        "token": list("abcd"),
        "SAE main": tables["main"]["of_active"].to_pylist(),
        "token (wide)": list("abdc"),
        "SAE wide": tables["wide"]["of_active"].to_pylist(),
    }

"""Histograms and what is left without a group of documents, against one loop over positions."""

from collections import Counter, defaultdict

import numpy as np
import pytest

from functok.graph.bipartite import TokenFeatureGraph
from functok.richness.histograms import UNITS, Histograms

from .planted import documents, firings, observed

VOCABULARY, FEATURES = 5, 30


def seen(seed: int, count: int = 60, length: int = 12):
    """Observations of random documents; token 4 never occurs."""
    encoded = documents(seed, np.array([0.5, 0.25, 0.15, 0.1]), count, length)
    return observed(encoded, *firings(encoded, np.array([30, 8, 20, 3]), FEATURES, 3, seed))


def incidence(found, unit: str, without: int | None = None):
    """N and {feature: exposures} of every token, by the most obvious means."""
    chosen = found.chosen()
    active = defaultdict(set)
    for row, feature in zip(found.row.tolist(), found.feature.tolist(), strict=True):
        active[row].add(feature)
    exposure, counts = np.zeros(VOCABULARY, int), [Counter() for _ in range(VOCABULARY)]
    for row, token in enumerate(found.token.tolist()):
        if found.group[row] == without or (unit == "documents" and not chosen[row]):
            continue
        exposure[token] += 1
        counts[token].update(active[row])
    return exposure, counts


def cells(counts) -> dict[tuple[int, int], int]:
    pairs = Counter()
    for token, one in enumerate(counts):
        pairs.update((token, times) for times in one.values())
    return dict(pairs)


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("seed", range(3))
def test_histograms_equal_a_loop_over_positions(unit, seed):
    found = seen(seed)
    h = Histograms.of(TokenFeatureGraph.of(found, VOCABULARY, FEATURES), unit)
    exposure, counts = incidence(found, unit)
    assert h.exposure.tolist() == exposure.tolist()
    keys = zip(h.token.tolist(), h.count.tolist(), strict=True)
    assert dict(zip(keys, h.features.tolist(), strict=True)) == cells(counts)
    assert (np.diff(h.token) >= 0).all()


@pytest.mark.parametrize("unit", UNITS)
def test_moves_take_a_group_of_documents_away(unit):
    found = seen(1)
    h = Histograms.of(TokenFeatureGraph.of(found, VOCABULARY, FEATURES), unit)
    groups = np.unique(found.group)
    assert len(h.moves) == len(groups) > 10
    for group, move in zip(groups, h.moves, strict=True):
        after = Counter(dict(zip(zip(h.token, h.count, strict=True), h.features, strict=True)))
        for token, whole, without, many in zip(*_rows(move), strict=True):
            assert whole > without >= 0
            after[token, whole] -= many
            after[token, without] += many
        exposure, counts = incidence(found, unit, int(group))
        assert move.exposure.tolist() == exposure.tolist()
        left = {key: many for key, many in after.items() if many and key[1]}
        assert left == cells(counts)


def _rows(move):
    return move.token, move.whole, move.without, move.features


@pytest.mark.parametrize("unit", UNITS)
def test_a_loaded_graph_has_the_histograms_of_the_one_in_memory(unit, tmp_path):
    graph = TokenFeatureGraph.of(seen(2), VOCABULARY, FEATURES)
    graph.save(tmp_path)
    one, two = (Histograms.of(g, unit) for g in (graph, TokenFeatureGraph.load(tmp_path)))
    for name in ("exposure", "token", "count", "features"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))
    for mine, theirs in zip(one.moves, two.moves, strict=True):
        for a, b in zip(_rows(mine), _rows(theirs), strict=True):
            np.testing.assert_array_equal(a, b)


def test_an_empty_graph_has_no_cells():
    h = Histograms.of(TokenFeatureGraph.zero(VOCABULARY, FEATURES), "documents")
    assert not len(h.token)
    assert not h.moves
    assert h.exposure.tolist() == [0] * VOCABULARY


def test_features_that_are_left_out_are_in_no_cell():
    found = seen(3)
    graph = TokenFeatureGraph.of(found, VOCABULARY, FEATURES)
    h = Histograms.of(graph.without(np.arange(FEATURES)), "occurrences")
    assert not len(h.token)
    assert h.exposure.sum() == len(found.token)

"""Features that fire, against sets."""

import numpy as np
import pytest
from scipy.stats import t as student

from functok.consolidation.growth import Firing, growth_table, log_ratio
from functok.corpus.splits import GROUPS
from functok.graph.bipartite import TokenFeatureGraph

VOCABULARY, FEATURES = 3, 50


def _graph(seed: int, rate: float = 0.05) -> tuple[TokenFeatureGraph, dict[int, set[int]]]:
    """A graph over five hash groups, and the features that fire in each."""
    chance = np.random.default_rng(seed)
    used = [2, 3, 11, 20, 31]
    fires = np.zeros((GROUPS, VOCABULARY, FEATURES), bool)
    fires[used] = chance.random((len(used), VOCABULARY, FEATURES)) < rate
    group, token, feature = np.nonzero(fires)
    one = np.ones(len(group), np.int64)
    tokens = np.zeros((GROUPS, VOCABULARY), np.int64)
    tokens[used] = 4
    key = (group * VOCABULARY + token) * FEATURES + feature
    graph = TokenFeatureGraph(
        VOCABULARY, FEATURES, key, one, one, one * 1.0, one * 1.0, tokens, tokens
    )
    return graph, {one: set(np.flatnonzero(fires[one].any(0)).tolist()) for one in used}


def test_growth_counts_equal_unions_of_sets():
    graph, sets = _graph(0)
    count = len(set().union(*sets.values()))
    without = np.array(
        [len(set().union(*(sets[o] for o in sets if o != one))) for one in sets], float
    )
    half = student.ppf(0.975, 4) * np.sqrt(4 / 5 * ((without - without.mean()) ** 2).sum())
    row = growth_table({7: Firing(graph)}).to_pylist()[0]
    assert (row["step"], row["features"], row["width"]) == (7, count, FEATURES)
    assert row["positions"] == 5 * 4 * VOCABULARY
    assert row["features_low"] == pytest.approx(count - half)
    assert row["features_high"] == pytest.approx(count + half)


def test_the_log_ratio_compares_the_same_documents():
    (late, many), (early, few) = _graph(1, 0.2), _graph(2, 0.05)

    def of(sets: dict[int, set[int]], out: int | None = None) -> int:
        return len(set().union(*(sets[one] for one in sets if one != out)))

    found = log_ratio(Firing(late), Firing(early))
    assert found.value == pytest.approx(np.log(of(many) / of(few)))
    without = np.array([np.log(of(many, one) / of(few, one)) for one in many])
    half = student.ppf(0.975, 4) * np.sqrt(4 / 5 * ((without - without.mean()) ** 2).sum())
    assert found.low == pytest.approx(found.value - half)
    assert found.value > 0
    back = log_ratio(Firing(early), Firing(late))
    assert back.value == pytest.approx(-found.value)


def test_an_untrained_model_of_which_nothing_fires_leaves_the_interval_open():
    (late, _), (early, _) = _graph(1), _graph(1, 0.0)
    found = log_ratio(Firing(late), Firing(early))
    assert found.value == np.inf
    assert np.isnan([found.low, found.high]).all()

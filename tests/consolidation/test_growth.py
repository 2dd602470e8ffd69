"""Features that fire, against sets."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl
import pytest
from scipy.stats import t as student
from scipy.stats import ttest_1samp

from functok.consolidation.growth import Firing, growth_table, growth_tests, steepness
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
    row = growth_table({7: Firing(graph)}, "main", {7: 0.8}).to_pylist()[0]
    assert (row["step"], row["features"], row["width"]) == (7, count, FEATURES)
    assert (row["sae"], row["explained_variance"]) == ("main", 0.8)
    assert row["positions"] == 5 * 4 * VOCABULARY
    assert row["features_low"] == pytest.approx(count - half)
    assert row["features_high"] == pytest.approx(count + half)


WIDTH = 1000


def _growth(counts: Mapping[Any, list[int]], explained: Mapping[Any, float] | None = None):
    """The table of as many SAE seeds as counts are given for each step."""
    rows = [
        {"sae": f"seed {seed}", "step": step, "positions": 90, "features": count, "width": WIDTH}
        | {"explained_variance": (explained or {}).get(step, 0.8)}
        | {"steepness": 0.5 + 0.001 * count + 0.01 * seed}
        for step, seeds in counts.items()
        for seed, count in enumerate(seeds)
    ]
    return pl.DataFrame(rows, schema_overrides={"step": pl.Int64})


@pytest.mark.parametrize("exponent", [0.4, 1.3])
def test_the_steepness_of_planted_degrees_is_found(exponent: float):
    degrees = 1e6 * np.arange(1, 500) ** -exponent
    chance = np.random.default_rng(0)
    shuffled = chance.permutation(np.concatenate([degrees, np.zeros(40)])).round().astype(int)
    assert steepness(shuffled) == pytest.approx(exponent, rel=0.01)
    assert np.isnan(steepness(np.array([0, 7, 0])))


def test_growth_is_counted_seed_by_seed():
    late, early, untrained = np.array([[600, 640, 610], [150, 170, 160], [500, 520, 560]])
    table = _growth({0: untrained.tolist(), 20: early.tolist(), 900: late.tolist()})
    rows = growth_tests(table.sample(fraction=1, shuffle=True, seed=1), 0)
    assert [row.test for row in rows] == ["O-growth", "O-slope", "E-growth"]
    slope = rows.pop(1)
    test = ttest_1samp(0.001 * (late - early), 0)
    assert slope.effect == pytest.approx(0.001 * (late - early).mean())
    assert (slope.effect_low, slope.effect_high) == pytest.approx(tuple(test.confidence_interval()))
    for row, before, step in zip(rows, (early, untrained), (20, 0), strict=True):
        ratios = np.log(late / before)
        test: Any = ttest_1samp(ratios, 0)
        low, high = test.confidence_interval()
        assert row.effect == pytest.approx(ratios.mean())
        assert (row.effect_low, row.effect_high) == pytest.approx((low, high))
        assert row.p_value == pytest.approx(test.pvalue)
        assert (row.measured, row.control_value) == pytest.approx((late.mean(), before.mean()))
        assert row.control.endswith(f"step {step}")
        assert (row.unit, row.units) == ("SAE seeds of one model", 3)


@pytest.mark.parametrize(
    ("counts", "explained", "why"),
    [
        ({0: [500], 900: [600]}, {}, "one SAE seed; documents only"),
        ({0: [500, 510], 900: [600, 610]}, {}, "2 SAE seeds, fewer than 3"),
        ({0: [500] * 3, 900: [710, 600, 600]}, {}, "71% of an SAE's latents fire, more than 70%"),
        ({0: [500] * 3, 900: [600] * 3}, {0: 0.57, 900: 0.93}, "explain 0.57 and 0.93 of the var"),
        ({0: [500] * 3, 900: [600] * 3}, {0: float("nan")}, "explained variance was not measured"),
    ],
)
def test_counts_that_cannot_be_compared_decide_nothing(counts, explained, why):
    (row,) = growth_tests(_growth(counts, explained), 0)
    assert row.effect == pytest.approx(np.log(np.divide(counts[900], counts[0])).mean())
    assert np.isnan([row.effect_low, row.effect_high, row.p_value]).all()
    assert why in row.unit


def test_rows_need_their_checkpoints():
    assert growth_tests(_growth({None: [5]}), 0) == []
    assert growth_tests(_growth({7: [5]}), 0) == []
    assert growth_tests(_growth({0: [5]}), 0) == []
    assert [row.test for row in growth_tests(_growth({3: [5], 7: [5]}), 0)] == [
        "O-growth",
        "O-slope",
    ]


def test_an_untrained_model_of_which_nothing_fires_leaves_the_interval_open():
    (row,) = growth_tests(_growth({0: [0, 0, 4], 7: [5, 5, 5]}), 0)
    assert row.effect == np.inf
    assert np.isnan([row.effect_low, row.effect_high]).all()


def test_the_interval_over_seeds_holds_the_truth():
    """Counts that differ by .03 between seeds, as those of SAEs do."""
    chance, held = np.random.default_rng(0), 0
    for _ in range(1000):
        late, early = (np.exp(chance.normal(np.log(mean), 0.03, 3)) for mean in (60_000, 40_000))
        counts = {4: early.round().astype(int).tolist(), 9: late.round().astype(int).tolist()}
        table = _growth(counts).with_columns(width=100_000)
        row = growth_tests(table, 0)[0]
        held += row.effect_low < np.log(1.5) < row.effect_high
    assert 930 <= held <= 970

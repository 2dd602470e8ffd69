"""The 2×2 on tables whose effects are planted, against statsmodels' ANOVA and counted deals."""

from itertools import combinations, product

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from functok.controls.types.factorial import (
    BALANCED,
    FREQUENT,
    LEAST,
    _permutation_p,
    factorial,
)
from functok.graph.contrasts import GRAMMAR, STUDIED, Sides
from functok.richness.replicates import Replicates


def planted(seed: int, of_class: float, of_frequency: float, both: float = 0.0, types: int = 120):
    """Log richness of types half of which are function, with frequencies that overlap."""
    chance = np.random.default_rng(seed)
    function = np.arange(types) < types // 2
    occurrences = np.round(np.exp(chance.normal(6 + 0.5 * function, 1.0))).astype(np.int64) + 1
    high = occurrences >= np.median(occurrences)
    y = 4 + of_class * function + of_frequency * high + both * (function & high)
    y = y + chance.normal(0, 0.2, types)
    return y, occurrences, Sides(GRAMMAR, function, ~function)


def effect(found, name: str, split: str = BALANCED) -> dict:
    rows = found.effects.filter((pl.col("split") == split) & (pl.col("effect") == name))
    return rows.row(0, named=True)


def test_a_planted_class_effect_is_found_and_frequency_is_not_blamed():
    y, occurrences, sides = planted(0, 0.5, 0.0)
    found = factorial(y, occurrences, [sides], 0)
    of_class, of_frequency = effect(found, "class"), effect(found, "frequency")
    assert of_class["low"] < 0.5 < of_class["high"]
    assert of_class["p_value"] < 0.001
    assert of_frequency["low"] < 0 < of_frequency["high"]
    assert of_frequency["p_value"] > 0.05


def test_an_effect_of_frequency_alone_is_not_taken_for_class():
    y, occurrences, sides = planted(1, 0.0, 0.5)
    bound = factorial(y, occurrences, [sides], 0).effects["bound"][0]
    y = y - 0.5 * (occurrences >= np.median(occurrences)) + 0.5 * (occurrences >= bound)
    found = factorial(y, occurrences, [sides], 0)
    assert effect(found, "class")["p_value"] > 0.05
    assert effect(found, "frequency")["value"] == pytest.approx(0.5, abs=0.15)
    assert effect(found, "frequency")["p_value"] < 0.001


def test_a_planted_interaction_is_found():
    y, occurrences, sides = planted(2, 0.0, 0.0, both=0.6)
    found = effect(factorial(y, occurrences, [sides], 0), "interaction")
    assert found["low"] > 0
    assert found["p_value"] < 0.01


def test_effects_equal_the_coefficients_of_a_regression_on_sum_codes():
    from statsmodels.regression.linear_model import OLS

    y, occurrences, sides = planted(3, 0.3, -0.2, 0.4)
    found = factorial(y, occurrences, [sides], 0)
    high = occurrences >= found.effects["bound"][0]
    one, two = np.where(sides.function, 0.5, -0.5), np.where(high, 0.5, -0.5)
    fit = OLS(y, np.column_stack([np.ones(len(y)), one, two, one * two])).fit(cov_type="HC2")
    for place, name in enumerate(("class", "frequency", "interaction"), 1):
        row = effect(found, name)
        assert row["value"] == pytest.approx(fit.params[place])
        # with one mean per cell, HC2 is each cell's own variance; t here, normal there
        half = (row["high"] - row["low"]) / 2
        assert half == pytest.approx(1.96 * fit.bse[place], rel=0.04)


def test_swapping_the_labels_flips_the_sign_of_class_alone():
    y, occurrences, sides = planted(4, 0.3, 0.2)
    swapped = Sides(GRAMMAR, sides.content, sides.function)
    one, two = (factorial(y, occurrences, [some], 0) for some in (sides, swapped))
    assert effect(one, "class")["value"] == pytest.approx(-effect(two, "class")["value"])
    assert effect(one, "frequency")["value"] == pytest.approx(effect(two, "frequency")["value"])


@settings(max_examples=6)
@given(st.integers(0, 100))
def test_the_order_of_the_types_changes_nothing_but_the_draws(seed):
    y, occurrences, sides = planted(seed, 0.2, 0.1, types=60)
    order = np.random.default_rng(seed).permutation(len(y))
    moved = Sides(GRAMMAR, sides.function[order], sides.content[order])
    one = factorial(y, occurrences, [Sides("DET", sides.function, sides.content)], 0)
    two = factorial(y[order], occurrences[order], [Sides("DET", moved.function, moved.content)], 0)
    for name in ("class", "frequency", "interaction"):
        for column in ("value", "low", "high"):
            assert effect(one, name)[column] == pytest.approx(effect(two, name)[column])


def test_the_permutation_p_equals_full_enumeration():
    chance = np.random.default_rng(5)
    strata = [(chance.normal(0.8, 1, 3), chance.normal(0, 1, 4)),
              (chance.normal(0.8, 2, 4), chance.normal(0, 2, 2))]  # fmt: skip

    def statistic(deal: list[tuple[np.ndarray, np.ndarray]]) -> float:
        apart = sum(one.mean() - two.mean() for one, two in deal)
        spread = sum(part.var(ddof=1) / len(part) for pair in deal for part in pair)
        return abs(apart) / np.sqrt(spread)

    deals = []
    for one, two in strata:
        values = np.concatenate([one, two])
        every = combinations(range(len(values)), len(one))
        deals.append([(values[list(c)], np.delete(values, list(c))) for c in every])
    exact = np.mean([statistic(list(d)) >= statistic(strata) - 1e-9 for d in product(*deals)])
    drawn = _permutation_p([list(pair) for pair in strata], 0, 8_000)
    assert drawn == pytest.approx(exact, abs=4 * np.sqrt(exact * (1 - exact) / 8_000) + 1e-4)


def test_where_class_is_frequency_the_cells_are_empty_and_the_row_says_so():
    occurrences = np.arange(1, 101)
    function = occurrences > 80
    y = np.random.default_rng(0).normal(size=100)
    found = factorial(y, occurrences, [Sides(STUDIED, function, ~function)], 0)
    assert all("cannot be separated" in note for note in found.effects["note"])
    assert found.effects["value"].is_nan().all()
    assert found.cells.filter(pl.col("types") == 0).height >= 2


def test_a_cell_with_too_few_types_gives_no_effect():
    y, occurrences, sides = planted(6, 1.0, 0.0, types=2 * LEAST)
    found = factorial(y, occurrences, [sides], 0)
    assert "has" in effect(found, "class")["note"]


def test_the_splits_are_the_balanced_one_and_the_papers():
    y, occurrences, sides = planted(7, 0.0, 0.0)
    found = factorial(y, occurrences, [sides], 0)
    assert set(found.effects["split"]) == {BALANCED, FREQUENT}
    bound = found.effects.filter(pl.col("split") == BALANCED)["bound"][0]

    def smallest(bound: int) -> int:
        high = occurrences >= bound
        masks = [side & level for side in (sides.function, sides.content)
                 for level in (high, ~high)]  # fmt: skip
        return min(int(mask.sum()) for mask in masks)

    assert smallest(bound) == max(smallest(one) for one in np.unique(occurrences))


def test_documents_as_a_sample_widen_the_interval():
    y, occurrences, sides = planted(8, 0.3, 0.0)
    shaken = np.random.default_rng(0).normal(0, 0.05, (32, 1)) * sides.function + y
    alone = effect(factorial(y, occurrences, [sides], 0), "class")
    replicates = Replicates(np.arange(len(y)), shaken)
    both = effect(factorial(y, occurrences, [sides], 0, replicates), "class")
    assert both["value"] == alone["value"]
    assert both["high"] - both["low"] > alone["high"] - alone["low"]


def test_pure_frequency_is_rejected_no_more_often_than_the_level():
    """200 worlds without any class effect, cells of unequal size and spread."""
    rejected = 0
    for seed in range(200):
        chance = np.random.default_rng(seed)
        sizes, spreads = (12, 30, 12, 60), (0.4, 0.2, 0.2, 0.3)
        cells = [chance.normal(0, s, n) for n, s in zip(sizes, spreads, strict=True)]
        rejected += _permutation_p([cells[:2], cells[2:]], seed, 99) <= 0.05
    assert rejected <= 16

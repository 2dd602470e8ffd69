"""The gap between classes against least squares, Welch's test and its own null."""

import numpy as np
import pytest
import scipy.stats
import statsmodels.api as sm
from hypothesis import given
from hypothesis import strategies as st

from functok.controls.nulls.gaps import NO_GAP, frequency_strata, gap, gap_table
from functok.graph.contrasts import Sides


def _sample(seed: int, effect: float = 0.0, tokens: int = 40):
    chance = np.random.default_rng(seed)
    strata = chance.integers(0, 4, tokens)
    labelled = chance.random(tokens) < 0.4
    return chance.normal(strata + effect * labelled, 1), labelled, strata


@given(st.integers(0, 50))
def test_a_gap_is_the_coefficient_of_a_regression_with_an_intercept_per_stratum(seed):
    values, labelled, strata = _sample(seed, 0.7)
    mixed = [s for s in np.unique(strata) if 0 < labelled[strata == s].sum() < (strata == s).sum()]
    used = np.isin(strata, mixed)
    design = np.column_stack([labelled, *(strata == s for s in mixed)]).astype(float)[used]
    found = gap(values, labelled, strata)
    assert found.effect.value == pytest.approx(sm.OLS(values[used], design).fit().params[0])
    assert found.function + found.content == used.sum()
    assert found.strata == len(mixed)


def test_in_one_stratum_the_interval_is_welchs():
    values, labelled, _ = _sample(3, 0.5)
    found = gap(values, labelled, np.zeros(len(values), int))
    expected = scipy.stats.ttest_ind(values[labelled], values[~labelled], equal_var=False)
    assert found.p_value == pytest.approx(expected.pvalue, rel=0.2)
    low, high = expected.confidence_interval()
    assert (found.effect.low, found.effect.high) == pytest.approx((low, high))


def test_documents_widen_the_interval():
    values, labelled, strata = _sample(1)
    chance = np.random.default_rng(0)
    without = values + chance.normal(0, 0.3, (8, len(values)))
    wider = gap(values, labelled, strata, left_out=without).effect
    narrower = gap(values, labelled, strata).effect
    assert wider.value == narrower.value
    assert wider.width > narrower.width
    same = gap(values, labelled, strata, left_out=np.tile(values, (8, 1))).effect
    assert same.width == pytest.approx(narrower.width)


def test_a_gap_of_nothing_is_found_in_one_of_twenty():
    hits = sum(gap(*_sample(seed), seed, draws=199).p_value <= 0.05 for seed in range(400))
    assert 8 <= hits <= 32


def test_without_both_classes_at_one_frequency_there_is_no_gap():
    values = np.arange(4.0)
    found = gap(values, np.array([True, True, False, False]), np.array([0, 0, 1, 1]))
    assert found is NO_GAP


def test_two_tokens_have_a_gap_but_no_interval():
    found = gap(np.array([1.0, 3.0]), np.array([True, False]), np.array([0, 0]))
    assert found.effect.value == -2
    assert found.function == found.content == 1


def test_strata_have_equal_widths_in_log_frequency():
    strata = frequency_strata(np.array([1, 10, 99, 101, 1000]), bins=3)
    assert strata.tolist() == [0, 1, 1, 2, 2]
    assert frequency_strata(np.array([5, 5])).tolist() == [0, 0]
    assert len(frequency_strata(np.zeros(0, int))) == 0


def test_every_reading_has_its_row_and_says_why_there_is_no_gap():
    values = np.random.default_rng(0).normal(0, 1, 40)
    tokens, half = np.arange(40) + 3, np.arange(43) % 2 == 0
    few = np.arange(43) == 3
    sides = [
        Sides("halves", half, ~half),
        Sides("none", half & False, ~half),
        Sides("one", few, few & False),
    ]
    table, headline = gap_table(sides, "halves", tokens, values, np.full(40, 9), 0)
    assert table["reading"].to_list() == ["halves", "none", "one"]
    assert table["function"].to_list() == [20, 0, 0]
    assert table["note"].is_null().to_list() == [True, False, False]
    odd = half[tokens]
    assert headline.effect.value == pytest.approx(values[odd].mean() - values[~odd].mean())
    assert table["function_mean"][2] == values[0]

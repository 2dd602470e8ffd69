"""Permutation tests against scipy's, every deal counted out, and statsmodels' regression."""

from itertools import combinations, product

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from functok.stats import freedman_lane, permute_labels, sign_flip, stratified_weights

numbers = st.floats(-10, 10).map(lambda value: round(value, 3))


def _exact_p(values, labelled, strata):
    """Over all deals of the labels within the strata, by brute force."""

    def statistic(mask):
        top = bottom = 0.0
        for stratum in set(strata.tolist()):
            a, b = values[(strata == stratum) & mask], values[(strata == stratum) & ~mask]
            if len(a) and len(b):
                weight = len(a) * len(b) / (len(a) + len(b))
                top, bottom = top + weight * (a.mean() - b.mean()), bottom + weight
        return top / bottom

    choices = []
    for stratum in set(strata.tolist()):
        places = np.flatnonzero(strata == stratum)
        choices.append(list(combinations(places, int(labelled[places].sum()))))
    observed, found = statistic(labelled), []
    for some in product(*choices):
        mask = np.zeros(len(values), bool)
        mask[[place for part in some for place in part]] = True
        found.append(abs(statistic(mask)) >= abs(observed) - 1e-9)
    return observed, np.mean(found)


@given(st.integers(0, 30))
def test_labels_permuted_within_strata_equal_every_deal_counted_out(seed):
    chance = np.random.default_rng(seed)
    strata = np.repeat([3, 7, 9], [5, 4, 2])
    labelled = np.array([1, 1, 0, 0, 0, 1, 1, 1, 0, 0, 0], bool)  # both more and fewer than half
    values = chance.normal(0, 1, 11) + 0.8 * labelled + strata
    observed, exact = _exact_p(values, labelled, strata)
    found = permute_labels(values, labelled, strata, seed=seed)
    assert found.effect == pytest.approx(observed)
    assert found.units == 9  # the last stratum has one kind alone
    spread = np.sqrt(exact * (1 - exact) / found.draws) + 1 / found.draws
    assert abs(found.p_value - exact) < 5 * spread


def test_without_strata_the_p_value_is_scipys():
    chance = np.random.default_rng(3)
    x, y = chance.normal(0.5, 1, 15), chance.normal(0, 2, 40)
    expected = stats.permutation_test(
        (x, y), lambda a, b: a.mean() - b.mean(), n_resamples=9999, rng=1
    )
    labelled = np.arange(55) < 15
    found = permute_labels(np.concatenate([x, y]), labelled, draws=9999)
    assert found.effect == pytest.approx(expected.statistic)
    assert found.p_value == pytest.approx(expected.pvalue, abs=0.02)
    welch = np.sqrt(x.var(ddof=1) / 15 + y.var(ddof=1) / 40)
    assert found.standard_error == pytest.approx(welch)


def test_few_labels_among_many_units_are_dealt_as_often_as_counted_out():
    values = np.random.default_rng(5).exponential(1, 30)
    labelled = np.isin(np.arange(30), (3, 17))
    observed, exact = _exact_p(values, labelled, np.zeros(30, np.int64))
    found = permute_labels(values, labelled)
    assert found.effect == pytest.approx(observed)
    spread = np.sqrt(exact * (1 - exact) / found.draws) + 1 / found.draws
    assert abs(found.p_value - exact) < 4 * spread


@given(st.integers(0, 30))
def test_the_effect_is_a_weighted_sum_of_the_values(seed):
    chance = np.random.default_rng(seed)
    strata, labelled = chance.integers(0, 4, 12), chance.random(12) < 0.4
    values = chance.normal(0, 1, 12)
    weights = stratified_weights(labelled, strata)
    found = permute_labels(values, labelled, strata, draws=9)
    if found.units:
        assert weights @ values == pytest.approx(found.effect)
        assert weights[labelled].sum() == pytest.approx(1)
        assert np.count_nonzero(weights) == found.units
    else:
        assert not weights.any()


def test_strata_remove_what_only_the_strata_explain():
    """Labels go with the stratum, and so do the values: Simpson's paradox."""
    chance = np.random.default_rng(0)
    strata = np.repeat([0, 1], 200)
    labelled = chance.random(400) < np.where(strata == 1, 0.9, 0.1)
    values = chance.normal(0, 1, 400) + 2 * strata
    assert permute_labels(values, labelled).p_value < 0.001
    assert permute_labels(values, labelled, strata).p_value > 0.05


def test_labels_that_cannot_be_compared_have_no_effect_and_no_p():
    found = permute_labels(np.ones(3), np.array([True, True, False]), np.array([0, 0, 1]))
    assert np.isnan([found.effect, found.p_value]).all()
    assert found.units == 0


@given(st.lists(numbers, min_size=1, max_size=9))
def test_few_pairs_have_the_exact_sign_flip_p(values):
    values = np.array(values)
    found = sign_flip(values)
    flips = np.array(list(product([1, -1], repeat=len(values)))) @ values
    expected = np.mean(np.abs(flips) >= abs(values.sum()) - 1e-9)
    assert found.p_value == pytest.approx(expected)
    assert found.draws == 2 ** len(values)


@pytest.mark.parametrize(("seeds", "least"), [(3, 0.25), (5, 0.0625), (8, 0.0078125)])
def test_the_smallest_p_of_a_few_seeds_is_two_over_two_to_their_number(seeds, least):
    assert sign_flip(np.arange(1.0, seeds + 1)).p_value == least


def test_many_pairs_agree_with_scipys_sampled_signs():
    values = np.random.default_rng(2).normal(0.2, 1, 80)
    expected = stats.permutation_test(
        (values,), np.mean, permutation_type="samples", n_resamples=9999, rng=3
    )
    assert sign_flip(values, draws=9999).p_value == pytest.approx(expected.pvalue, abs=0.02)


def _regression(seed, effect, size=60):
    chance = np.random.default_rng(seed)
    size_of = chance.normal(0, 1, size)
    term = (chance.random(size) < 1 / (1 + np.exp(-size_of))).astype(float)
    noise = chance.normal(0, 1, size) * (1 + term)
    design = np.column_stack([np.ones(size), term, size_of])
    return 1 + effect * term + 2 * size_of + noise, design


@given(st.integers(0, 20))
def test_the_coefficient_and_its_error_are_those_of_hc3(seed):
    outcome, design = _regression(seed, 0.5)
    expected = sm.OLS(outcome, design).fit(cov_type="HC3")
    found = freedman_lane(outcome, design, 1, draws=1)
    assert found.effect == pytest.approx(expected.params[1])
    assert found.standard_error == pytest.approx(expected.bse[1])


def test_freedman_lane_nears_the_p_of_a_robust_t_test():
    outcome, design = _regression(4, 0.6, 400)
    expected = sm.OLS(outcome, design).fit(cov_type="HC3", use_t=True).pvalues[1]
    assert freedman_lane(outcome, design, 1).p_value == pytest.approx(expected, abs=0.02)


def test_freedman_lane_rejects_a_null_no_more_often_than_it_says():
    found = [freedman_lane(*_regression(seed, 0), 1, seed, draws=199) for seed in range(200)]
    rejected = sum(one.p_value <= 0.05 for one in found)
    assert rejected <= 16  # lower 95 % Clopper–Pearson bound of 16 in 200 is below .05
    assert 0.4 < np.mean([one.p_value for one in found]) < 0.6


def test_a_term_that_the_others_explain_has_no_coefficient():
    _, design = _regression(0, 0)
    doubled = np.column_stack([design, design[:, 1]])
    assert np.isnan(freedman_lane(np.arange(60.0), doubled, 3).effect)


def test_the_p_value_is_never_zero_and_follows_the_seed():
    values, labelled = np.arange(60.0), np.arange(60) < 30
    assert permute_labels(values, labelled, draws=99).p_value == 0.01
    mixed = np.random.default_rng(0).permutation(values)
    first, again, other = (permute_labels(mixed, labelled, seed=s).p_value for s in (1, 1, 2))
    assert first == again != other

"""Pairs, pooling and equivalence against scipy, statsmodels and brute force."""

from itertools import combinations_with_replacement

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.meta_analysis import combine_effects
from statsmodels.stats.proportion import proportion_confint
from statsmodels.stats.weightstats import ttost_paired

from functok.stats import (
    Estimate,
    cochran_q,
    hodges_lehmann,
    jackknife,
    share_interval,
    tost,
    wilson,
)

numbers = st.floats(-50, 50).map(lambda value: round(value, 2))


@given(st.lists(numbers, min_size=1, max_size=30))
def test_hodges_lehmann_is_the_median_of_all_pair_means(values):
    means = [(a + b) / 2 for a, b in combinations_with_replacement(values, 2)]
    found = hodges_lehmann(np.array(values))
    assert found.value == pytest.approx(np.median(means), abs=1e-9)
    if len(values) < 6:
        assert np.isnan(found.low)
        return
    ranks = np.arange(len(means) + 1)
    null = _signed_rank_cdf(len(values))
    least = ranks[null <= 0.025].max() + 1  # as R's wilcox.test(conf.int = TRUE)
    assert found.low == pytest.approx(sorted(means)[least - 1], abs=1e-9)
    assert found.high == pytest.approx(sorted(means)[-least], abs=1e-9)


def _signed_rank_cdf(size):
    """Of Wilcoxon's statistic, counted out with whole numbers."""
    ways = {0: 1}
    for rank in range(1, size + 1):
        longer = dict(ways)
        for total, count in ways.items():
            longer[total + rank] = longer.get(total + rank, 0) + count
        ways = longer
    counts = [ways.get(total, 0) for total in range(size * (size + 1) // 2 + 1)]
    return np.cumsum(counts) / 2.0**size


def test_the_hodges_lehmann_interval_inverts_wilcoxons_test():
    values = np.random.default_rng(0).normal(0.4, 1, 20)
    found = hodges_lehmann(values)
    for end, outward in ((found.low, -1), (found.high, 1)):
        assert stats.wilcoxon(values - end - outward * 1e-6, method="exact").pvalue <= 0.05
        assert stats.wilcoxon(values - end + outward * 1e-6, method="exact").pvalue > 0.05


def test_many_pairs_and_few_agree_on_the_interval():
    """Across the change from the exact distribution to the normal one."""
    values = np.random.default_rng(3).standard_t(3, 100)
    exact, normal = hodges_lehmann(values), hodges_lehmann(np.append(values, 0.0))
    assert normal.width == pytest.approx(exact.width, rel=0.05)


@given(st.integers(0, 30), st.floats(-0.2, 0.2))
def test_equivalence_of_a_mean_is_statsmodels_tost(seed, shift):
    values = np.random.default_rng(seed).normal(shift, 0.2, 14)
    estimate = jackknife(lambda kept: float(values[kept].mean()), 14)
    expected = ttost_paired(values, np.zeros(14), -0.1, 0.1)[0]
    found = tost(estimate, 14, margin=0.1)
    assert found.p_value == pytest.approx(expected)
    assert found.equivalent == (expected < 0.05)


def test_an_estimate_without_an_interval_is_never_equivalent():
    assert not tost(Estimate(0.0, float("nan"), float("nan")), 32).equivalent
    assert not tost(Estimate(0.0, 0.0, 0.0), 1).equivalent
    assert tost(Estimate(0.0, 0.0, 0.0), 32).equivalent


@given(st.integers(0, 30), st.integers(2, 10), st.floats(0, 2))
def test_cochrans_q_is_that_of_statsmodels(seed, size, spread):
    chance = np.random.default_rng(seed)
    errors = chance.uniform(0.2, 2, size)
    values = 1 + chance.normal(0, 1, size) * np.sqrt(errors**2 + spread)
    found = cochran_q(values, errors)
    expected = combine_effects(values, errors**2)
    assert found.q == pytest.approx(expected.q, abs=1e-9)
    assert found.p_value == pytest.approx(expected.test_homogeneity().pvalue, abs=1e-9)
    assert found.i_squared == pytest.approx(max(expected.i2, 0), abs=1e-9)
    assert found.pooled.value == pytest.approx(expected.mean_effect_fe)


def test_estimates_without_an_error_do_not_take_part_in_q():
    found = cochran_q(np.array([1.0, 2.0, np.nan, 9.0]), np.array([1.0, 1.0, 1.0, 0.0]))
    assert found.estimates == 2
    assert found.pooled.value == 1.5
    assert np.isnan(cochran_q(np.zeros(0), np.zeros(0)).q)


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(1, 40)), min_size=1, max_size=9))
def test_intervals_of_shares_are_scipys(pairs):
    hits, tries = (np.array(part) for part in zip(*((min(a, b), b) for a, b in pairs), strict=True))
    low, high = wilson(hits, tries)
    for one, of, *ends in zip(hits, tries, low, high, strict=True):
        expected = stats.binomtest(one, of).proportion_ci(method="wilson")
        assert ends == pytest.approx([expected.low, expected.high], abs=1e-9)


@given(st.integers(1, 200).flatmap(lambda tries: st.tuples(st.integers(0, tries), st.just(tries))))
def test_the_interval_of_a_share_is_wilsons(pair):
    hits, tries = pair
    found = share_interval(hits, tries)
    low, high = proportion_confint(hits, tries, method="wilson")
    assert found.value == hits / tries
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-9)


def test_a_share_of_nothing_is_no_number():
    assert np.isnan(share_interval(0, 0).value)

"""The jackknife against closed forms and simulation."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import t as student
from scipy.stats import ttest_1samp

from functok.stats import Estimate, jackknife, jackknife_p_value, jackknife_ratio

samples = st.lists(st.floats(-100, 100), min_size=2, max_size=20)


@given(samples, st.sampled_from([0.5, 0.9, 0.95, 0.99]))
def test_the_jackknife_of_a_mean_is_the_t_interval(values, level):
    values = np.array(values)
    found = jackknife(lambda kept: float(values[kept].mean()), len(values), level)
    half = student.ppf(0.5 + level / 2, len(values) - 1) * values.std(ddof=1) / len(values) ** 0.5
    assert found.value == pytest.approx(values.mean())
    assert found.low == pytest.approx(values.mean() - half, abs=1e-9)
    assert found.high == pytest.approx(values.mean() + half, abs=1e-9)
    assert found.width == pytest.approx(2 * half, abs=1e-9)


def test_the_p_value_of_a_mean_is_students():
    values = np.random.default_rng(0).normal(0.3, 1, 17)
    found = jackknife(lambda kept: float(values[kept].mean()), 17)
    for null in (0.0, 0.3, -2.0):
        expected = ttest_1samp(values, null).pvalue
        assert jackknife_p_value(found, 17, null) == pytest.approx(expected)


def test_the_p_value_and_the_interval_agree_on_what_is_significant():
    found = Estimate(1.0, 0.0, 2.0)
    assert jackknife_p_value(found, 32) == pytest.approx(0.05)
    assert jackknife_p_value(Estimate(1.0, 0.01, 1.99), 32) < 0.05
    assert jackknife_p_value(Estimate(1.0, -0.01, 2.01), 32) > 0.05


def test_p_values_at_the_edges():
    assert jackknife_p_value(Estimate(0.0, 0.0, 0.0), 8) == 1
    assert jackknife_p_value(Estimate(0.5, 0.5, 0.5), 8) == 0
    assert np.isnan(jackknife_p_value(Estimate(0.5, float("nan"), float("nan")), 8))


@given(st.lists(st.tuples(st.floats(0, 50), st.integers(0, 9)), min_size=1, max_size=12))
def test_the_jackknife_of_a_ratio_drops_one_used_group_at_a_time(pairs):
    top, bottom = np.array(pairs).T
    found = jackknife_ratio(top, bottom)
    used = [index for index in range(len(top)) if bottom[index]]
    if not used:
        assert np.isnan(found.value)
        return
    assert found.value == pytest.approx(top[used].sum() / bottom[used].sum())
    if len(used) < 2:
        assert np.isnan([found.low, found.high]).all()
        return
    without = np.array(
        [
            sum(top[other] for other in used if other != one)
            / sum(bottom[other] for other in used if other != one)
            for one in used
        ]
    )
    error = np.sqrt((len(used) - 1) / len(used) * ((without - without.mean()) ** 2).sum())
    half = student.ppf(0.975, len(used) - 1) * error
    assert found.low == pytest.approx(found.value - half, abs=1e-9)
    assert found.high == pytest.approx(found.value + half, abs=1e-9)


def test_a_statistic_that_hangs_on_one_group_has_no_interval():
    only = np.array([0.0, 0.0, 3.0])
    found = jackknife(lambda kept: only[kept].sum() / np.float64((only[kept] > 0).sum()), 3)
    assert found.value == 3
    assert np.isnan([found.low, found.high]).all()


def test_the_interval_of_a_ratio_covers_the_truth():
    """Documents of very different length, and losses that hang together inside them."""
    chance = np.random.default_rng(7)
    draws, covered, widths = 400, 0, []
    for _ in range(draws):
        length = chance.lognormal(3, 1, (32, 20))
        level = chance.normal(2.5, 0.5, (32, 20))  # of a document; the truth is their mean
        found = jackknife_ratio((length * level).sum(1), length.sum(1))
        covered += found.low <= 2.5 <= found.high
        widths.append(found.width)
    assert 0.90 <= covered / draws <= 0.99
    assert np.mean(widths) < 0.3  # an interval that covers by being wide would say nothing


def test_a_statistic_that_counts_has_an_interval_too():
    sizes = np.array([3, 4, 4, 5])
    counted = jackknife(lambda kept: int(sizes[kept].sum()), 4)
    assert counted == jackknife(lambda kept: float(sizes[kept].sum()), 4)

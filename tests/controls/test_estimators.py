"""Estimators against published examples, the sums written out, and draws from known worlds."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from functok.richness.estimators import Summary

from .test_rarefaction import GIRDLED, histograms, tables

LOGGED = [88, 22, 16, 15, 13, 10, 8, 8, 7, 7, 7, 5, 4, 4, 4, 3, 3, 3, 3, 2, 2, 2, 2] + [1] * 14
RABBITS = [1] * 43 + [2] * 16 + [3] * 8 + [4] * 6 + [6] * 2 + [7]
"""Cottontails caught on 18 nights, 135 in the pen (Edwards & Eberhardt 1967; Chao 1987)."""


def summary(counts: list[int], exposure: int) -> Summary:
    return Summary.of(histograms([counts], [exposure]))


@pytest.mark.parametrize(
    ("counts", "chao", "hill_1", "hill_2", "covered"),
    [
        (GIRDLED, 43.893, 12.060, 8.175, 0.9289),
        (LOGGED, 61.403, 14.421, 6.920, 0.9446),
    ],
)
def test_the_spiders_of_inext_are_reproduced(counts, chao, hill_1, hill_2, covered):
    found = summary(counts, sum(counts))
    assert found.chao_2[0] == pytest.approx(chao, abs=5e-4)
    assert found.hill_1[0] == pytest.approx(hill_1, abs=5e-4)
    assert found.hill_2[0] == pytest.approx(hill_2, abs=6e-4)
    assert found.coverage[0] == pytest.approx(covered, abs=5e-5)


def test_the_rabbits_of_chao_are_reproduced():
    """76 seen, 43 once, 16 twice: she prints 134, without the factor (N − 1)/N."""
    found = summary(RABBITS, 18)
    assert found.observed[0] == 76
    assert round(76 + found.unseen[0] * 18 / 17) == 134


@given(tables)
def test_overlap_and_l0_are_means_over_pairs_of_exposures(table):
    exposures = len(table)
    found = summary(table.sum(0).tolist(), exposures)
    pairs = [(i, j) for i in range(exposures) for j in range(i)]
    overlap = np.mean([(table[i] & table[j]).sum() for i, j in pairs])
    l0 = table.sum(1).mean()
    assert found.overlap[0] == pytest.approx(overlap)
    assert found.l0[0] == pytest.approx(l0)
    if overlap:
        assert found.sorensen[0] == pytest.approx(2 * overlap / (2 * l0))
        assert found.hill_2[0] == pytest.approx(l0 / found.sorensen[0])
    else:
        assert np.isnan(found.hill_2[0])


@given(tables)
def test_hill_numbers_fall_with_their_order_and_equal_the_plain_sums(table):
    counts = table.sum(0)
    found = summary(counts.tolist(), len(table))
    if not counts.any():
        assert found.observed[0] == found.hill_1[0] == 0
        return
    p = counts[counts > 0] / counts.sum()
    assert found.observed[0] == len(p)
    assert found.hill_1[0] == pytest.approx(np.exp(-(p * np.log(p)).sum()))
    assert found.observed[0] >= found.hill_1[0] * (1 - 1e-9)
    assert found.hill_1[0] >= (1 / (p**2).sum()) * (1 - 1e-9)


def test_the_hill_number_of_order_2_does_not_grow_with_the_sample_where_richness_does():
    chance = np.random.default_rng(0)
    rates = np.geomspace(0.6, 0.002, 100)
    truth = rates.sum() ** 2 / (rates**2).sum()

    def mean(exposures: int) -> tuple[float, float]:
        found = [summary((chance.random((exposures, 100)) < rates).sum(0).tolist(), exposures)
                 for _ in range(400)]  # fmt: skip
        # of a ratio the parts are unbiased, not the ratio
        l0, overlap = (np.mean([getattr(one, name)[0] for one in found])
                       for name in ("l0", "overlap"))  # fmt: skip
        return float(np.mean([one.observed[0] for one in found])), float(l0**2 / overlap)

    (few, small), (many, large) = mean(8), mean(200)
    assert many > 2 * few
    assert small == pytest.approx(truth, rel=0.02)
    assert large == pytest.approx(truth, rel=0.02)


def test_asymptotes_stay_below_the_truth_where_rates_have_a_heavy_tail():
    chance = np.random.default_rng(1)
    rates = np.minimum(1, 1 / np.arange(1, 501))
    found = [summary((chance.random((60, 500)) < rates).sum(0).tolist(), 60) for _ in range(50)]
    seen = np.mean([one.observed[0] for one in found])
    for name in ("chao_2", "chao_2_bc"):
        assert seen < np.mean([getattr(one, name)[0] for one in found]) < 500


@pytest.mark.parametrize("counts", [[1], [1, 1, 1], [2, 2], []])
@pytest.mark.parametrize("exposure", [1, 3])
def test_degenerate_histograms_give_numbers_not_warnings(counts, exposure):
    found = summary([min(one, exposure) for one in counts], exposure)
    for name in ("chao_2", "chao_2_bc", "hill_1", "observed"):
        assert np.isfinite(getattr(found, name)[0]), name
        assert getattr(found, name)[0] >= found.observed[0] * (name != "hill_1")
    assert np.isnan(found.coverage[0]) == (not counts)


@given(st.integers(1, 4), st.integers(2, 30))
def test_what_is_always_active_is_all_there_is(features, exposure):
    found = summary([exposure] * features, exposure)
    for name in ("observed", "chao_2", "chao_2_bc", "hill_1", "hill_2"):
        assert getattr(found, name)[0] == pytest.approx(features), name
    assert found.coverage[0] == 1
    assert found.sorensen[0] == pytest.approx(1)

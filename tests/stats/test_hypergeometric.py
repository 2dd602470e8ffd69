"""The chance to miss against scipy's distribution and exact fractions."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import hypergeom

from functok.stats import log_missed


@given(st.integers(0, 40), st.integers(0, 40), st.integers(0, 40))
def test_the_chance_to_miss_is_the_quotient_of_binomials(marked, positions, drawn):
    marked, drawn = min(marked, positions), min(drawn, positions)
    exact = Fraction(math.comb(positions - marked, drawn), math.comb(positions, drawn))
    found = float(np.exp(log_missed(marked, positions, drawn)))
    assert found == pytest.approx(float(exact), rel=1e-9)


@given(st.integers(1, 5000), st.lists(st.integers(0, 5000), min_size=1, max_size=5))
def test_arrays_are_taken_element_by_element(positions, marked):
    marked = np.minimum(marked, positions)
    drawn = np.arange(len(marked)) * positions // len(marked)
    expected = hypergeom.pmf(0, positions, marked, drawn)
    np.testing.assert_allclose(np.exp(log_missed(marked, positions, drawn)), expected, atol=1e-9)


@pytest.mark.parametrize("positions", [10**4, 5 * 10**6, 10**9])
@pytest.mark.parametrize(("marked", "drawn"), [(1, 1), (3, 7), (50, 1), (100, 100)])
def test_rare_things_keep_their_digits_among_many_positions(positions, marked, drawn):
    expected = sum(math.log1p(-drawn / (positions - step)) for step in range(marked))
    assert float(log_missed(marked, positions, drawn)) == pytest.approx(expected, rel=1e-5)


def test_what_cannot_be_missed_never_is():
    assert log_missed(5, 8, 4) == -np.inf
    assert log_missed(9, 8, 1) == -np.inf
    assert log_missed(0, 8, 8) == 0

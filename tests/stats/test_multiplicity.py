"""Holm and Benjamini–Hochberg against statsmodels, and against their rules as written."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from functok.stats import benjamini_hochberg, holm

FAMILY = tuple("abcdefgh")


@given(st.lists(st.floats(0, 1), min_size=8, max_size=8))
def test_holm_equals_statsmodels(values):
    multitest = pytest.importorskip("statsmodels.stats.multitest")
    expected = multitest.multipletests(values, method="holm")[1]
    found = holm(dict(zip(FAMILY, values, strict=True)), FAMILY)
    assert [found[name] for name in FAMILY] == pytest.approx(expected.tolist())


@given(st.dictionaries(st.sampled_from(FAMILY), st.floats(0, 1)))
def test_holm_rejects_step_by_step_and_counts_a_missing_test_as_one(p_values):
    """The rule as Holm wrote it: stop at the first p above α / (tests left)."""
    found = holm(p_values, FAMILY)
    assert set(found) == set(FAMILY)
    for alpha in (0.01, 0.05, 0.2, 0.5):
        rejected = set()
        for done, name in enumerate(sorted(FAMILY, key=lambda one: p_values.get(one, 1.0))):
            if p_values.get(name, 1.0) * (len(FAMILY) - done) > alpha:
                break
            rejected.add(name)
        assert {name for name in FAMILY if found[name] <= alpha} == rejected


def test_a_p_that_is_not_a_number_counts_as_one_wherever_it_stands():
    for name in "abd":
        found = holm({"a": 0.01, "b": 0.001, "d": 0.002, name: float("nan")}, FAMILY)
        rest = {"a": 0.01, "b": 0.001, "d": 0.002}
        del rest[name]
        assert found == holm(rest, FAMILY)


def test_tests_outside_the_family_change_nothing():
    assert holm({"a": 0.004, "other": 0.0001}, FAMILY) == holm({"a": 0.004}, FAMILY)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_benjamini_hochberg_equals_statsmodels(values):
    multitest = pytest.importorskip("statsmodels.stats.multitest")
    expected = multitest.multipletests(values, method="fdr_bh")[1]
    assert benjamini_hochberg(np.array(values)) == pytest.approx(expected)


def test_a_test_without_a_p_still_counts_among_those_made():
    found = benjamini_hochberg(np.array([0.01, np.nan, 0.02]))
    assert found == pytest.approx([0.03, 1, 0.03])

"""Closed forms of richness against brute force, exact enumeration, and published examples."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from functok.graph.bipartite import TokenFeatureGraph
from functok.graph.coverage import token_degrees
from functok.richness.estimators import Summary
from functok.richness.histograms import UNITS, Histograms, Moves
from functok.richness.rarefaction import (
    at_coverage,
    extrapolated,
    left_out,
    rarefied,
    sample_coverage,
    standard_errors,
)

from .test_histograms import FEATURES, VOCABULARY, incidence, seen

GIRDLED = [46, 22, 17, 15, 15, 9, 8, 6, 6, 4, 2, 2, 2, 2] + [1] * 12
"""Spiders of a forest's girdled plots (Sackett et al. 2011), the worked example of iNEXT (Hsieh et
al. 2016): individuals, hence exposures with one feature each."""


def histograms(counts: list[list[int]], exposure: list[int]) -> Histograms:
    """Of tokens whose features were active at so many exposures."""
    rows = []
    for token, some in enumerate(counts):
        positive = [one for one in some if one]
        times, many = np.unique(np.array(positive, np.int64), return_counts=True)
        rows.append(np.stack([np.full(len(times), token), times, many]))
    token, count, features = np.concatenate(rows, axis=1)
    return Histograms("occurrences", np.array(exposure), token, count, features, ())


tables = st.integers(2, 9).flatmap(
    lambda n: st.lists(
        st.lists(st.booleans(), min_size=n, max_size=n), min_size=1, max_size=12
    ).map(lambda rows: np.array(rows).T)
)
"""[exposures, features]: what is active where."""


@given(tables, st.data())
def test_rarefied_richness_is_the_mean_over_every_choice_of_exposures(table, data):
    exposures = len(table)
    drawn = data.draw(st.integers(0, exposures))
    reached = [table[list(some)].any(0).sum() for some in combinations(range(exposures), drawn)]
    h = histograms([table.sum(0).tolist()], [exposures])
    assert rarefied(h, drawn)[0] == pytest.approx(np.mean(reached), abs=1e-9)


@settings(max_examples=15)
@given(st.integers(0, 10_000), st.integers(20, 120), st.floats(0.1, 0.9))
def test_rarefied_richness_is_that_of_drawn_exposures_within_the_standard_error(seed, n, share):
    chance = np.random.default_rng(seed)
    table = chance.random((n, 60)) < np.geomspace(0.9, 0.002, 60)
    drawn = max(int(share * n), 1)
    found = [table[chance.choice(n, drawn, False)].any(0).sum() for _ in range(400)]
    expected = rarefied(histograms([table.sum(0).tolist()], [n]), drawn)[0]
    assert abs(np.mean(found) - expected) < 5 * np.std(found) / 20 + 1e-9


@pytest.mark.parametrize("unit", UNITS)
def test_richness_at_the_full_sample_is_the_raw_degree(unit):
    graph = TokenFeatureGraph.of(seen(4), VOCABULARY, FEATURES)
    h = Histograms.of(graph, unit)
    _, counts = incidence(seen(4), unit)
    degrees = [len(one) for one in counts]
    assert rarefied(h, h.exposure).tolist() == degrees  # to the last bit
    assert Summary.of(h).observed.tolist() == degrees
    if unit == "occurrences":
        assert degrees == token_degrees(graph).tolist()


def test_richness_at_one_exposure_is_the_mean_number_of_active_features():
    h = Histograms.of(TokenFeatureGraph.of(seen(5), VOCABULARY, FEATURES), "documents")
    known = h.exposure > 0
    np.testing.assert_allclose(rarefied(h, 1)[known], Summary.of(h).l0[known])
    assert np.isnan(rarefied(h, 1)[~known]).all()


def test_the_spiders_of_inext_are_reproduced():
    h, n = histograms([GIRDLED], [168]), np.array([1, 84, 168, 248, 336])
    curve = [float(extrapolated(h, int(m))[0]) for m in n]
    covered = [float(sample_coverage(h, int(m))[0]) for m in n]
    assert curve == pytest.approx([1, 18.912, 26, 30.883, 34.731], abs=5e-4)
    assert covered == pytest.approx([0.122, 0.900, 0.929, 0.948, 0.964], abs=6e-4)


@given(tables)
def test_coverage_of_fewer_exposures_is_what_the_next_one_would_hold_that_is_known(table):
    """Of an incidence of a random further exposure: 1 − E[new]/E[all], over every order."""
    exposures = len(table)
    h = histograms([table.sum(0).tolist()], [exposures])
    for drawn in range(exposures):
        fresh = 0
        for some in combinations(range(exposures), drawn):
            known = table[list(some)].any(0)
            rest = [one for one in range(exposures) if one not in some]
            fresh += np.mean([(table[one] & ~known).sum() for one in rest])
        fresh /= len(list(combinations(range(exposures), drawn)))
        each = table.sum() / exposures
        found = sample_coverage(h, drawn)[0]
        if each == 0:
            assert np.isnan(found)
        else:
            assert found == pytest.approx(1 - fresh / each, abs=1e-9)


def test_the_variance_is_that_of_exposures_and_features_drawn_anew():
    """From worlds that are known: the mean estimate is the spread of S(n) over samples."""
    chance = np.random.default_rng(0)
    exposures, n, features = 60, 30, 80

    def spreads(rates) -> tuple[float, float]:
        values, errors = [], []
        for _ in range(400):
            counts = (chance.random((exposures, features)) < rates()).sum(0)
            h = histograms([counts.tolist()], [exposures])
            values.append(rarefied(h, n)[0])
            errors.append(standard_errors(h, n)[0] ** 2)
        return float(np.mean(errors)), float(np.var(values))

    for rates in (lambda: 0.03, lambda: 0.5 ** chance.uniform(1, 7, features)):
        estimated, true = spreads(rates)
        assert estimated == pytest.approx(true, rel=0.25)
    fixed = np.geomspace(0.5, 0.01, features)
    estimated, true = spreads(lambda: fixed)
    assert estimated > true  # wide where the features are the same ones each time


def test_extrapolation_foretells_a_larger_sample_where_rates_are_equal():
    chance = np.random.default_rng(1)
    small, large = [], []
    for _ in range(300):
        table = chance.random((60, 200)) < 0.02
        h = histograms([table[:30].sum(0).tolist()], [30])
        small.append(extrapolated(h, 60)[0])
        large.append(table.any(0).sum())
    assert np.mean(small) == pytest.approx(np.mean(large), rel=0.03)


def test_curves_go_from_rarefied_to_extrapolated_without_a_step():
    h = histograms([GIRDLED], [168])
    step = np.diff([extrapolated(h, m)[0] for m in range(160, 177)])
    assert (step > 0).all()
    assert (np.diff(step) < 0).all()
    assert np.isnan(extrapolated(h, 337)[0])
    assert np.isnan(rarefied(h, 169)[0])
    assert np.isnan(standard_errors(h, 169)[0])


@pytest.mark.parametrize("share", [0.5, 0.8, 0.9, 0.95, 0.96])
def test_richness_at_a_coverage_lies_where_the_curve_has_it(share):
    h = histograms([GIRDLED, GIRDLED[:6]], [168, sum(GIRDLED[:6])])
    n = np.arange(0, 337)
    covered = np.array([sample_coverage(h, int(m))[0] for m in n])
    curve = np.array([extrapolated(h, int(m))[0] for m in n])
    expected = np.interp(share, covered, curve)
    assert at_coverage(h, share)[0] == pytest.approx(expected, rel=2e-3)


def test_a_coverage_far_below_what_the_sample_has_is_read_off_its_curve():
    h = histograms([[1] * 40 + [30] * 100], [30])
    one = rarefied(h, 1)[0] / sample_coverage(h, 1)[0]
    assert at_coverage(h, 0.5)[0] == pytest.approx(0.5 * one)  # straight up to the first


def test_a_coverage_beyond_twice_the_sample_is_not_guessed():
    assert np.isnan(at_coverage(histograms([GIRDLED], [168]), 0.99)[0])
    assert np.isnan(at_coverage(histograms([[]], [9]), 0.5)[0])


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("n", [1, 5, 20])
def test_leaving_a_group_out_equals_counting_without_it(unit, n):
    found = seen(6)
    h = Histograms.of(TokenFeatureGraph.of(found, VOCABULARY, FEATURES), unit)
    rows = left_out(h, n).of(np.arange(VOCABULARY))
    for row, group in zip(rows, np.unique(found.group), strict=True):
        exposure, counts = incidence(found, unit, int(group))
        alone = histograms([list(one.values()) for one in counts], exposure.tolist())
        np.testing.assert_allclose(row, rarefied(alone, n))


def test_tokens_do_not_depend_on_each_other():
    counts, exposure = [GIRDLED, [3, 3, 1], [], [2, 1]], [168, 3, 5, 2]
    together = histograms(counts, exposure)
    for token, (some, n) in enumerate(zip(counts, exposure, strict=True)):
        alone = histograms([some], [n])
        for of in (lambda h: extrapolated(h, 3), lambda h: sample_coverage(h, 2),
                   lambda h: at_coverage(h, 0.8), lambda h: standard_errors(h, 2)):  # fmt: skip
            np.testing.assert_array_equal(of(together)[token], of(alone)[0])


def test_a_graph_with_one_group_of_documents_has_nothing_left_without_it():
    move = Moves(np.array([0]), np.array([0]), np.array([2]), np.array([0]), np.array([1]))
    h = Histograms("documents", np.array([2]), np.array([0]), np.array([2]), np.array([1]), (move,))
    assert np.isnan(left_out(h, 1).rows).all()

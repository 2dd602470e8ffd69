"""One rule judges every row: regions, answers, what several say together, and Holm's family."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm
from statsmodels.stats.multitest import multipletests

from functok.claims.declared import CLAIMS, HYPOTHESES, PRIMARY, ROWS, Row
from functok.claims.rule import answer, corrected, interval, level, overall, region

NAN = float("nan")
OBSERVATION = Row("O-x", "is it there", "share", bound=0.5)
COMPARISON = Row("E-x", "is it more", "nats", margin=0.1)
PLAIN = Row("E-y", "is it more", "log steps")
FIRST = Row("P7", "is it more", "nats", margin=0.1)


def evidence(low, high):
    return {"effect_low": low, "effect_high": high}


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.11, 0.3, "above"),
        (0.1, 0.3, "open"),  # not above the margin
        (0.02, 0.3, "open"),
        (-0.09, 0.09, "inside"),
        (0.01, 0.09, "inside"),
        (-0.1, 0.09, "open"),
        (-0.3, -0.11, "below"),
        (-0.3, -0.02, "open"),
        (-0.3, 0.3, "open"),
        (NAN, NAN, "open"),
    ],
)
def test_an_interval_lies_in_one_of_four_regions(low, high, expected):
    assert region(low, high, 0.1) == expected


@pytest.mark.parametrize(
    ("row", "low", "high", "expected"),
    [
        (OBSERVATION, 0.001, 0.3, "observed"),
        (OBSERVATION, -0.3, -0.001, "not observed"),
        (OBSERVATION, -0.001, 0.001, "undecided"),  # no margin makes a description negligible
        (OBSERVATION, NAN, NAN, "undecided"),
        (COMPARISON, 0.02, 0.3, "supported"),
        (COMPARISON, 0.2, 0.3, "supported"),
        (COMPARISON, 0.01, 0.09, "negligible"),  # above 0 for certain, and too small to matter
        (COMPARISON, -0.09, -0.01, "negligible"),
        (COMPARISON, -0.09, 0.09, "negligible"),
        (COMPARISON, -0.3, -0.02, "contradicted"),
        (COMPARISON, -0.3, 0.05, "undecided"),
        (COMPARISON, -0.05, 0.3, "undecided"),
        (COMPARISON, NAN, NAN, "undecided"),
        (COMPARISON, None, None, "undecided"),
        (PLAIN, 0.001, 0.002, "supported"),  # without a margin nothing is negligible
        (PLAIN, -0.001, 0.002, "undecided"),
    ],
)
def test_the_answer_follows_the_interval(row, low, high, expected):
    assert answer(row, evidence(low, high), {}) == expected


@pytest.mark.parametrize(
    ("p", "answers"),
    [(0.049, ("supported", "contradicted")), (0.05, ("undecided", "undecided"))],
)
def test_a_primary_test_must_survive_the_correction_on_either_side(p, answers):
    ends = ((0.2, 0.4), (-0.4, -0.2))
    assert tuple(answer(FIRST, evidence(*each), {"P7": p}) for each in ends) == answers


def test_what_is_negligible_needs_no_p():
    assert answer(FIRST, evidence(-0.05, 0.05), {"P7": 1.0}) == "negligible"


def test_a_row_that_no_step_has_written_was_not_run():
    assert {answer(row, None, corrected({})) for row in ROWS.values()} == {"not run"}
    assert all(math.isnan(end) for end in interval(None))


ends = st.floats(-1, 1)


@given(st.sampled_from([*ROWS.values()]), ends, ends, st.floats(0, 1))
def test_no_interval_has_two_answers_and_turned_around_it_has_the_opposite(row, one, two, p):
    low, high = sorted((one, two))
    opposite = {"supported": "contradicted", "observed": "not observed"}
    opposite |= {there: here for here, there in opposite.items()}
    adjusted = dict.fromkeys(PRIMARY, p)
    here = answer(row, evidence(low, high), adjusted)
    there = answer(row, evidence(-high, -low), adjusted)
    assert there == opposite.get(here, here)
    if here == "supported":
        assert low > 0
        assert high >= row.margin


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ([], None),
        (["not run", "not run"], "not run"),
        (["observed", "not run"], "observed"),
        (["observed", "not observed"], "observed in part"),
        (["observed", "undecided"], "observed in part"),
        (["undecided", "not observed"], "undecided"),
        (["not observed", "not observed"], "not observed"),
        (["supported", "supported"], "supported"),
        (["supported", "undecided"], "undecided"),
        (["supported", "negligible", "undecided"], "negligible"),
        (["supported", "negligible", "contradicted", "undecided"], "contradicted"),
    ],
)
def test_a_claim_needs_all_of_its_rows(answers, expected):
    assert overall(answers) == expected


def test_holm_over_six_hypotheses_by_hand():
    """P2 to P4 stand with .012, the largest of their p; P6 and P8 were not run.

    In order: P1 .001 · 6, P7 .004 · 5, P2–P4 .012 · 4, P5 .03 · 3, then 1. Of P2, whose own p is
    .0001: .0001 · 6. Of P4, .002: .002 · 5, since only P1 is smaller.
    """
    p_values = {"P1": 0.001, "P2": 0.0001, "P3": 0.012, "P4": 0.002, "P5": 0.03, "P7": 0.004}
    assert corrected({**p_values, "P6": NAN, "P8": None}) == pytest.approx(
        {
            "P1": 0.006,
            "P2": 0.0006,
            "P3": 0.048,
            "P4": 0.01,
            "P5": 0.09,
            "P6": 1.0,
            "P7": 0.02,
            "P8": 1.0,
        }
    )
    assert level("P1", p_values) == pytest.approx(0.05 / 6)
    assert level("P3", p_values) == pytest.approx(0.05 / 4)
    assert level("P8", p_values) == pytest.approx(0.05 / 2)
    assert level("E-coverage", p_values) == 0.05


@given(st.lists(st.floats(0, 1), min_size=8, max_size=8))
def test_three_of_one_hypothesis_survive_where_their_largest_p_does(values):
    p_values = dict(zip(PRIMARY, values, strict=True))
    largest = [max(p_values[test] for test in tests) for tests in HYPOTHESES.values()]
    whole = multipletests(largest, method="holm")[1]
    adjusted = corrected(p_values)
    for tests, expected in zip(HYPOTHESES.values(), whole, strict=True):
        assert max(adjusted[test] for test in tests) == pytest.approx(expected)


def test_true_nulls_are_rejected_in_at_most_16_of_200_studies():
    """Some hypothesis of the six, in whichever direction."""
    random, rejected = np.random.default_rng(1), 0
    for _ in range(200):
        z = dict(zip(PRIMARY, random.normal(size=8), strict=True))
        adjusted = corrected({test: float(2 * norm.sf(abs(one))) for test, one in z.items()})
        given_ = {
            test: answer(ROWS[test], evidence(one - 1.96, one + 1.96), adjusted)
            for test, one in z.items()
        }
        rejected += any(
            all(given_[test] in ("supported", "contradicted") for test in tests)
            for tests in HYPOTHESES.values()
        )
    assert 0 < rejected <= 16


def test_every_row_is_declared_once_with_a_unit_and_every_comparison_has_its_side():
    tests = [row.test for claim in CLAIMS for row in claim.rows]
    assert len(tests) == len({*tests}) == len(ROWS)
    assert {*PRIMARY} == {f"P{number}" for number in range(1, 9)} <= {*tests}
    for row in ROWS.values():
        assert row.unit
        assert row.asks[-1] not in ".?"
        assert row.test.startswith(("P", "E-", "O-"))
        assert row.margin == 0 if row.observation else row.bound == 0

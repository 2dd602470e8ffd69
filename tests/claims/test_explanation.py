"""The accounts of the degree, region by region; they never contradict the answers of a claim."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functok.claims.declared import PRIMARY, RICHNESS, ROWS
from functok.claims.explanation import SLOT, TESTS, Reading, account, explain
from functok.claims.rule import answer, region

ABOVE, BELOW, INSIDE, WIDE = (0.2, 0.4), (-0.4, -0.2), (-0.05, 0.05), (-0.3, 0.3)
SMALL = (0.02, 0.3)
"""Above 0, and not above the margin."""
SURVIVES = dict.fromkeys(PRIMARY, 0.01)


def found(**effects):
    return {test: {"effect_low": low, "effect_high": high} for test, (low, high) in effects.items()}


def reading(name="closed class", separation=0.8, adjusted=SURVIVES, **effects):
    return Reading(name, separation, found(**effects), adjusted)


@pytest.mark.parametrize(
    ("effects", "expected"),
    [
        ({"P1": BELOW, "P2": INSIDE}, "artefact"),
        ({"P1": INSIDE, "P2": INSIDE, "P3": WIDE, "P4": WIDE}, "artefact"),
        ({"P1": BELOW, "P2": (-0.14, -0.11)}, "artefact"),  # poorer than frequency predicts
        ({"P1": BELOW, "P2": (-0.01, 0.01)}, "artefact"),
        ({"P1": BELOW, "P2": (-0.3, 0.05)}, "artefact"),  # one-sided: perhaps poorer
        ({"P1": WIDE, "P2": BELOW}, "undecided"),  # P1 may be above
        ({"P1": ABOVE, "P2": INSIDE}, "undecided"),
        ({"P2": BELOW}, "undecided"),
        ({"P1": BELOW, "P2": WIDE}, "undecided"),
        # .05 and narrow: negligible and an artefact, never "artefact and slot at once"
        ({"P1": BELOW, "P2": (0.04, 0.06), "P3": INSIDE, SLOT: (0.02, 0.06)}, "artefact"),
        ({"P2": ABOVE, "P3": INSIDE, SLOT: (0.1, 0.3)}, "slot"),
        ({"P1": BELOW, "P2": ABOVE, "P3": INSIDE, SLOT: SMALL}, "slot"),
        ({"P2": ABOVE, "P3": INSIDE}, "undecided"),  # what vanished has no interval
        ({"P2": ABOVE, "P3": INSIDE, SLOT: WIDE}, "undecided"),
        ({"P2": ABOVE, "P3": WIDE, SLOT: ABOVE}, "undecided"),
        ({"P2": SMALL, "P3": INSIDE, SLOT: ABOVE}, "undecided"),
        ({"P2": ABOVE, "P3": ABOVE, "P4": ABOVE}, "class"),
        ({"P1": BELOW, "P2": ABOVE, "P3": ABOVE, "P4": ABOVE}, "class"),
        ({"P2": SMALL, "P3": ABOVE, "P4": ABOVE}, "undecided"),
        ({"P3": ABOVE, "P4": ABOVE}, "undecided"),
        # -.12, +.02, +.04: no class, whatever P3 and P4 are above
        ({"P1": BELOW, "P2": (-0.14, -0.1), "P3": (0.01, 0.03), "P4": (0.03, 0.05)}, "artefact"),
        ({"P2": ABOVE, "P3": ABOVE, "P4": INSIDE}, "undecided"),  # there before training
        ({"P2": ABOVE, "P3": ABOVE}, "undecided"),
        ({"P1": (math.nan, math.nan), "P2": (math.nan, math.nan)}, "undecided"),
        ({"P1": (None, None), "P2": (None, None)}, "undecided"),
        ({}, "undecided"),
    ],
)
def test_the_account_follows_the_regions(effects, expected):
    assert account(reading(**effects)) == expected
    assert explain([reading(**effects)]).account == expected


def test_class_must_survive_the_correction_as_one_hypothesis():
    all_above = dict.fromkeys(("P2", "P3", "P4"), ABOVE)
    for test in ("P2", "P3", "P4"):
        for p, expected in ((0.049, "class"), (0.05, "undecided")):
            adjusted = {**SURVIVES, test: p}
            assert account(reading(adjusted=adjusted, **all_above)) == expected
    assert account(reading(adjusted={**SURVIVES, "P1": 1.0}, **all_above)) == "class"


ends = st.tuples(st.floats(-0.4, 0.4), st.floats(-0.4, 0.4)).map(sorted).map(tuple)
effects = st.dictionaries(st.sampled_from([*TESTS, SLOT]), ends)
p_values = st.fixed_dictionaries({test: st.sampled_from([0.01, 0.04, 0.2]) for test in PRIMARY})


@given(effects, p_values)
def test_an_account_and_the_answers_of_its_rows_never_contradict_each_other(given_, adjusted):
    rows = found(**given_)
    told = account(Reading("closed class", 0.8, rows, adjusted))
    answers = {test: answer(ROWS[test], rows.get(test), adjusted) for test in TESTS}
    if told == "artefact":
        assert "supported" not in (answers["P1"], answers["P2"])
    if told == "slot":
        assert answers["P3"] == "negligible"
        assert answers["P2"] in ("supported", "undecided")  # the latter after the correction
    if told == "class":
        assert {answers[test] for test in ("P2", "P3", "P4")} == {"supported"}


@given(effects)
def test_at_most_one_account_fits(given_):
    """The three conditions, written out once more, exclude each other."""
    at = {test: given_.get(test, (math.nan, math.nan)) for test in (*TESTS, SLOT)}
    lies = {test: region(*each, RICHNESS) for test, each in at.items()}
    fits = {
        "artefact": at["P1"][1] < RICHNESS and at["P2"][1] < RICHNESS,
        "slot": lies["P2"] == "above" and lies["P3"] == "inside" and at[SLOT][0] > 0,
        "class": lies["P2"] == lies["P3"] == lies["P4"] == "above",
    }
    holding = [name for name, holds in fits.items() if holds]
    assert len(holding) < 2
    assert account(reading(**given_)) == (holding[0] if holding else "undecided")


FREQUENCY = {"P1": BELOW, "P2": INSIDE}
CLASS = {"P2": ABOVE, "P3": ABOVE, "P4": ABOVE}


def test_the_account_is_what_all_readings_say_that_can_tell_class_from_frequency():
    explained = explain(
        [
            reading("as studied", 0.998, **CLASS),
            reading("closed class", 0.81, **FREQUENCY),
            reading("with punctuation", 0.85, **FREQUENCY),
        ]
    )
    assert explained.account == "artefact"
    assert explained.by == "by the closed class and by the closed class with punctuation"
    assert explained.reason.startswith(
        "By the closed class and by the closed class with punctuation, frequency alone explains"
    )
    no_vote = "(no vote: separation 0.998, class is frequency there)"
    assert f"class as studied {no_vote}, artefact by the closed class," in explained.reason


@pytest.mark.parametrize("other", [CLASS, {"P1": BELOW, "P2": WIDE}])
def test_readings_that_disagree_decide_nothing(other):
    explained = explain([reading(**FREQUENCY), reading("with punctuation", 0.85, **other)])
    assert explained.account == "undecided"
    assert explained.reason.startswith("The readings disagree")
    assert "artefact by the closed class," in explained.reason


def test_a_reading_votes_below_a_separation_of_95_per_cent():
    for separation, expected in ((0.949, "artefact"), (0.95, "undecided"), (math.nan, "undecided")):
        explained = explain([reading("as studied", separation, **FREQUENCY)])
        assert explained.account == expected
    assert explained.reason.startswith("No reading of function tokens can tell class from")
    assert explained.reason.endswith("artefact as studied (no vote: a class is empty).")
    assert explain([reading(None, None, **FREQUENCY)]).reason.startswith("Frequency alone")


def test_fewer_features_than_frequency_predicts_are_named():
    fewer = "reach fewer features than their frequency predicts"
    below, inside = (explain([reading(P1=one, P2=INSIDE)]).reason for one in (BELOW, INSIDE))
    assert fewer in below
    assert fewer in explain([reading(P1=BELOW, P2=WIDE)]).reason
    assert fewer not in inside
    assert "less than 10 % more features than content types" in inside
    assert "fewer features than content types" in explain([reading(P1=BELOW, P2=BELOW)]).reason


def test_the_reason_says_how_each_test_stands():
    weak = {**SURVIVES, "P3": 0.06}
    reason = explain([reading(adjusted=weak, P1=INSIDE, P2=WIDE, P3=ABOVE)]).reason
    said = reason.removeprefix("No account is decided. By the closed class, ").split("; ")
    assert [one.split(": ")[1].rstrip(".") for one in said] == [
        "within ±10 %",
        "too wide to say",
        "above 10 % with p = 0.06 after Holm's correction",
        "not run",
    ]
    assert said[3].startswith("P4 (")
    assert "without an interval" in explain([reading(P1=(None, None))]).reason
    rows = found(P1=BELOW, P2=WIDE)
    rows["P2"] |= {"effect": 0.0, "unit": "token types", "units": 201}
    short = explain([Reading("closed class", 0.8, rows, SURVIVES)], tokens=60_000).reason
    # (.3 / log 1.10)² times as many
    assert "too wide to say (201 token types; at least 600,000 tokens needed)" in short
    vanished = explain([reading(**{"P2": ABOVE, "P3": INSIDE, SLOT: WIDE})])
    assert vanished.reason.endswith("total − P3 (what neighbours and dispersion account for): "
                                    "not shown to be above 0.")  # fmt: skip

"""The rule of explanation, branch by branch, and over every pattern of the four tests."""

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functok.claims.explanation import TESTS, explain

MARGIN = math.log(1.1)
ABOVE, BELOW, NONE, WIDE = (0.2, 0.4), (-0.4, -0.2), (-0.05, 0.05), (-0.3, 0.3)
SMALL = (0.01, 0.05)
"""Above 0 and yet as good as none."""


def found(**effects):
    return {test: {"effect_low": low, "effect_high": high} for test, (low, high) in effects.items()}


def account(**effects):
    return explain(found(**effects), dict.fromkeys(effects, 0.01)).account


@pytest.mark.parametrize(
    ("effects", "expected"),
    [
        ({"P1": BELOW, "P2": NONE}, "artefact"),
        ({"P1": NONE, "P2": NONE}, "artefact"),
        ({"P1": NONE, "P2": NONE, "P3": WIDE, "P4": WIDE}, "artefact"),
        ({"P1": (-0.5, 0.05), "P2": NONE}, "artefact"),  # no more than at random, perhaps less
        ({"P1": WIDE, "P2": NONE}, "undecided"),
        ({"P1": ABOVE, "P2": NONE}, "undecided"),
        ({"P1": BELOW, "P2": WIDE}, "undecided"),  # not seen is not absent
        ({"P1": BELOW, "P2": BELOW}, "undecided"),  # poorer than content is no matter of frequency
        ({"P1": BELOW, "P2": ABOVE}, "undecided"),
        ({"P2": ABOVE, "P3": NONE}, "slot"),
        ({"P1": BELOW, "P2": ABOVE, "P3": NONE}, "slot"),
        ({"P2": ABOVE, "P3": WIDE}, "undecided"),
        ({"P2": WIDE, "P3": NONE}, "undecided"),
        ({"P3": ABOVE, "P4": ABOVE}, "class"),
        ({"P1": ABOVE, "P2": ABOVE, "P3": ABOVE, "P4": ABOVE}, "class"),
        ({"P3": ABOVE, "P4": NONE}, "undecided"),  # there before training
        ({"P3": ABOVE}, "undecided"),
        ({"P4": ABOVE}, "undecided"),
        ({"P1": BELOW, "P2": NONE, "P3": ABOVE, "P4": ABOVE}, "undecided"),  # both at once
        ({"P1": SMALL, "P2": NONE}, "undecided"),  # small, but above 0 for certain
        ({"P2": ABOVE, "P3": SMALL}, "undecided"),
        ({"P1": (math.nan, math.nan), "P2": (math.nan, math.nan)}, "undecided"),
        ({}, "undecided"),
    ],
)
def test_the_account_follows_the_intervals(effects, expected):
    assert account(**effects) == expected


def test_above_zero_must_survive_the_correction():
    class_ = found(P3=ABOVE, P4=ABOVE)
    assert explain(class_, {"P3": 0.049, "P4": 0.049}).account == "class"
    assert explain(class_, {"P3": 0.049, "P4": 0.05}).account == "undecided"
    assert explain(class_, {}).account == "undecided"


def test_a_test_without_an_interval_decides_nothing():
    rows = {test: {"effect_low": None, "effect_high": None} for test in TESTS}
    explained = explain(rows, dict.fromkeys(TESTS, 0.0))
    assert explained.account == "undecided"
    assert all(test in explained.reason for test in TESTS)


def test_the_reason_names_what_is_missing_and_what_is_too_wide():
    reason = explain(found(P1=BELOW, P2=WIDE), {"P1": 0.01, "P2": 0.5}).reason
    missing, wide, below = reason.split(";")[1:]
    assert "P3" in missing
    assert "P4" in missing
    assert "P1" not in missing
    assert "P2" in wide
    assert "P1" not in wide
    assert "P1" in below
    complete = explain(found(P1=ABOVE, P2=NONE, P3=NONE, P4=NONE), {"P1": 0.01}).reason
    assert "fit none" in complete
    less = explain(found(P1=BELOW, P2=(-0.2, 0.05), P3=BELOW, P4=WIDE), {}).reason
    wide, perhaps, below = less.split(";")[1:]
    assert wide.endswith("P4 (trained against untrained model)")
    assert "perhaps below: P2" in perhaps
    assert "below 0: P1" in below
    assert "P3" in below
    both = found(P1=BELOW, P2=NONE, P3=ABOVE, P4=ABOVE)
    assert "artefact and class" in explain(both, dict.fromkeys(TESTS, 0.01)).reason


@given(st.lists(st.sampled_from([None, ABOVE, BELOW, NONE, WIDE]), min_size=4, max_size=4))
def test_every_account_rests_on_the_tests_that_the_rule_names(pattern):
    effects = {test: one for test, one in zip(TESTS, pattern, strict=True) if one}
    explained = explain(found(**effects), dict.fromkeys(effects, 0.001))
    rests = {
        "artefact": effects.get("P1") in (BELOW, NONE) and effects.get("P2") == NONE,
        "slot": effects.get("P2") == ABOVE and effects.get("P3") == NONE,
        "class": effects.get("P3") == ABOVE and effects.get("P4") == ABOVE,
    }
    holding = [name for name, holds in rests.items() if holds]
    assert explained.account == (holding[0] if len(holding) == 1 else "undecided")
    assert explained.reason.endswith(".")


def test_a_tighter_margin_decides_less():
    for pattern in itertools.product([BELOW, NONE, WIDE], repeat=2):
        effects = found(P1=pattern[0], P2=pattern[1])
        tight = explain(effects, {}, margin=0.01).account
        assert tight in ("undecided", explain(effects, {}, margin=MARGIN).account)

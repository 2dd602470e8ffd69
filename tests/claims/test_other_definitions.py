"""Rows under other definitions: answers by the rule, and what is not run says why."""

import math

import pytest

from functok.claims.definitions import COLUMNS, repeat, repeats, repeats_table
from functok.claims.evidence import Evidence
from functok.stats import Estimate


def evidence(test: str, effect: float, half: float) -> Evidence:
    return Evidence(
        test=test,
        statistic="what was measured",
        measured=effect,
        control="what it was compared with",
        control_value=0.0,
        effect_name="difference",
        effect=effect,
        effect_low=effect - half,
        effect_high=effect + half,
        p_value=0.01,
        unit="documents",
        units=40,
        seed=0,
    )


@pytest.mark.parametrize(
    ("test", "effect", "half", "expected"),
    [
        ("E-loss", 0.5, 0.1, "supported"),
        ("E-loss", 0.0, 0.05, "negligible"),
        ("E-loss", 0.0, 0.5, "undecided"),
        ("O-loss-share", -0.5, 0.1, "not observed"),
        ("P2", 0.5, 0.1, "supported"),  # whatever Holm would say of the declared row
        ("P2", 0.5, math.nan, "undecided"),
    ],
)
def test_the_answer_follows_from_the_rule_without_a_correction(test, effect, half, expected):
    found = repeat("closed class", test, Estimate(effect, effect - half, effect + half), 0.9)
    assert found["answer"] == expected


def test_a_row_that_could_not_be_made_says_why():
    rows = repeats("closed class", [evidence("E-loss", 0.5, 0.1)], ("E-loss", "P1"), "too few")
    table = repeats_table(rows, 40)
    assert table.columns == [*COLUMNS]
    assert table.row(0, named=True) == {
        "definition": "closed class",
        "test": "E-loss",
        "effect": 0.5,
        "effect_low": 0.4,
        "effect_high": 0.6,
        "p_value": 0.01,
        "unit": "documents",
        "units": 40,
        "answer": "supported",
        "note": None,
    }
    missing = table.row(1, named=True)
    assert (missing["test"], missing["answer"], missing["note"]) == ("P1", "not run", "too few")
    assert missing["effect"] is None


def test_of_too_few_documents_nothing_is_decided():
    rows = repeats("closed class", [evidence("E-loss", 0.5, 0.1)], ("E-learned-first",), "too few")
    table = repeats_table(rows, 31)
    assert table["answer"].to_list() == ["undecided", "not run"]
    assert table["effect"].to_list() == [0.5, None]
    assert math.isnan(table["effect_low"][0])
    assert table["effect_low"][1] is None
    assert "31 documents are fewer than 32" in table["unit"][0]
    assert table["unit"][1] is None
    assert table["note"].to_list() == [None, "too few"]
    assert repeats_table(rows, 32)["answer"].to_list() == ["supported", "not run"]

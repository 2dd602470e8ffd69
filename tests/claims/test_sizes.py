"""What an undecided row is short of, and what a negligible one would have seen."""

import math

import numpy as np
import pytest
from statsmodels.stats.power import NormalIndPower

from functok.claims.declared import Row
from functok.claims.rule import answer
from functok.claims.sizes import amount, off_margin, size

RATIO = Row("E-x", "is it more", "log ratio", margin=math.log(1.1))
NATS = Row("E-y", "is it more", "nats", margin=0.1)


def row(effect, half, units=200, unit="token types"):
    ends = {"effect_low": effect - half, "effect_high": effect + half}
    return {"effect": effect, **ends, "units": units, "unit": unit}


def clause(declared, evidence, **given):
    return size(declared, evidence, answer(declared, evidence, {}), None, **given)


@pytest.mark.parametrize("level", [0.05, 0.05 / 6])
def test_a_negligible_row_says_what_it_would_have_seen(level):
    """With 80 % power: by statsmodels, one sample of unit spread."""
    evidence = row(0.0, 0.08, units=100)
    error = 0.08 / 1.959964
    power = NormalIndPower(ddof=0)
    seen = power.solve_power(nobs1=100, alpha=level, power=0.8, ratio=0) * error * 10
    said = clause(NATS, evidence, level=level)
    assert said == f"100 token types; would have seen {seen:.2g} nats"
    assert seen == pytest.approx((2.8 if level == 0.05 else 3.48) * error, rel=0.01)


def test_effects_are_said_without_logarithms():
    assert amount(math.log(1.117), "log ratio") == "12 %"
    assert amount(0.03, "log ratio") == "3 %"
    assert amount(math.log(1.5), "log odds ratio") == "an odds ratio of 1.50"
    assert amount(0.1234, "nats") == "0.12 nats"
    assert amount(0.05, "share of depth") == "0.05 of depth"
    assert amount(0.05, "share") == "a share of 0.05"


@pytest.mark.parametrize("effect", [0.0, 0.03, 0.08, 0.3])
def test_with_the_units_that_it_says_a_row_would_be_decided(effect):
    half = 0.35
    said = clause(NATS, row(effect, half))
    assert said is not None
    needed = int(said.split("about ")[1].split(" needed")[0].replace(",", ""))
    half *= np.sqrt(200 / needed)
    assert answer(NATS, row(effect, half * 0.999), {}) != "undecided"
    assert answer(NATS, row(effect, half * 1.1), {}) == "undecided", "not far more than needed"


def test_an_effect_of_0_needs_half_widths_of_the_margin():
    half = 2 * RATIO.margin
    assert clause(RATIO, row(0.0, half)) == "200 token types; about 800 needed"
    assert clause(RATIO, row(0.0, half), tokens=60_000) == (
        "200 token types; at least 240,000 tokens needed"
    )
    assert clause(RATIO, row(0.0, half, 64, "prompts"), tokens=60_000) == (
        "64 prompts; about 260 needed"
    )


def test_hash_groups_are_as_many_whatever_the_text_so_documents_are_needed():
    said = clause(NATS, row(0.0, 0.2, 32, "hash groups of held-out documents"))
    assert said == "32 hash groups of held-out documents; about 4 times as many documents needed"


def test_off_a_margin_it_takes_half_widths_of_the_distance_to_it():
    evidence = row(0.05, 0.15)
    assert off_margin(evidence, 0.1) == "200 token types; about 1,800 needed"
    assert off_margin(evidence, 0.05) == ("200 token types; more than 1,000 times as many needed")
    assert off_margin(evidence, 0.1, 60_000) == "200 token types; at least 540,000 tokens needed"
    assert off_margin({**evidence, "units": None}, 0.1) is None


def test_without_an_interval_the_unit_says_why():
    without = {"effect_low": math.nan, "effect_high": math.nan, "effect": 0.1, "units": 31}
    why = "documents (no intervals: 31 documents are fewer than 32)"
    assert clause(NATS, {**without, "unit": why}) == f"31 {why}"
    assert clause(NATS, {**without, "unit": "prompts"}) == "31 prompts; no interval"


def test_an_observation_at_its_bound_has_no_number():
    observation = Row("O-x", "is it there", "share", bound=0.5)
    assert clause(observation, row(0.0, 0.1)) == (
        "200 token types; more than 1,000 times as many needed"
    )
    assert clause(observation, row(0.05, 0.1)) == "200 token types; about 800 needed"


def test_the_correction_is_named_where_it_alone_stands_in_the_way():
    primary = Row("P7", "is it more", "nats", margin=0.1)
    evidence = row(0.3, 0.2)
    given = answer(primary, evidence, {"P7": 0.06})
    said = size(primary, evidence, given, 0.06)
    assert said == "200 token types; p = 0.06 after Holm's correction"


def test_what_is_decided_needs_no_size():
    for effect in (-0.5, 0.5):
        assert clause(NATS, row(effect, 0.1)) is None

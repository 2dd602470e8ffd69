"""The quick profile of the graph's calibration; the full one is ``make calibrate``."""

import pytest
from scipy.stats import binomtest

from functok.calibration.graph import WORLDS, every_test
from functok.calibration.planted import World, most, rejections
from functok.claims.explanation import Reading, explain
from functok.claims.rule import corrected


@pytest.fixture(scope="module")
def few():
    worlds = [("frequency", range(2)), ("types", range(1)), ("hub", range(2))]
    worlds += [("enriched", range(2)), ("named", range(2))]
    return [row for kind, seeds in worlds for seed in seeds for row in every_test(kind, seed)]


def test_at_fixed_seeds_nulls_pass_and_hubs_are_found(few):
    found = rejections(few, WORLDS)
    of_class = ["N1", "P1", "P2", "P3", "slot", "P4"]
    assert found.filter(world="frequency")["test"].to_list() == ["E-coverage", *of_class]
    assert found.filter(world="types")["test"].to_list() == of_class
    assert found.filter(world="named")["test"].to_list() == of_class
    assert found.filter(world="enriched")["test"].to_list() == ["P2", "P3", "slot", "P4"]
    assert found["good"].all()
    assert found.filter(world="hub")["rejected"].min() == 2


@pytest.mark.parametrize(("world", "account"), [("frequency", "artefact"), ("hub", "class")])
def test_the_tests_together_name_what_the_world_was_made_of(few, world, account):
    for seed in range(2):
        rows = [row for row in few if (row["world"], row["seed"]) == (world, seed)]
        tests = {
            row["test"]: {"effect_low": row["low"], "effect_high": row["high"]} for row in rows
        }
        adjusted = corrected({row["test"]: row["p_value"] for row in rows})
        explained = explain([Reading("as studied", None, tests, adjusted)])
        assert explained.account == account, explained.reason


def said(world: str, test: str, p_values: list[float], value: float = 1.0) -> list[dict]:
    ends = {"low": value - 0.5, "high": value + 0.5}
    return [
        {"world": world, "seed": seed, "test": test, "value": value, **ends, "p_value": p}
        for seed, p in enumerate(p_values)
    ]


NULL = World("a", "nothing is there", lambda seed: [], null=("P2", "E-loss"))
PLANTED = World("b", "something is there", lambda seed: [], there=("P2",))
EMPTY = World("c", "nothing can be said", lambda seed: [], nothing=("E-loss",))


def test_sixteen_of_two_hundred_is_the_most_that_passes():
    assert most(200) == 16
    bounds = [binomtest(count, 200).proportion_ci(method="exact").low for count in (16, 17)]
    assert bounds[0] <= 0.05 < bounds[1]
    for count, good in ((16, True), (17, False)):
        rows = said("a", "P2", [0.01] * count + [0.5] * (200 - count))
        told = rejections(rows, [NULL]).filter(test="P2").row(0, named=True)
        assert (told["rejected"], told["bound"], told["good"]) == (count, "at most 16", good)


def test_a_comparison_is_rejected_by_the_rule_of_the_claims():
    inside = [row | {"low": -0.05, "high": 0.05} for row in said("a", "E-loss", [0.001] * 20)]
    told = rejections(inside, [NULL]).filter(test="E-loss").row(0, named=True)
    assert told["rejected"] == 0, "negligible, whatever p is"
    above = said("a", "E-loss", [0.5] * 20)
    assert rejections(above, [NULL]).filter(test="E-loss")["rejected"].item() == 20


def test_an_effect_on_the_wrong_side_is_not_power():
    wrong = rejections(said("b", "P2", [0.001] * 10, -1.0), [PLANTED]).row(0, named=True)
    assert (wrong["rejected"], wrong["bound"], wrong["good"]) == (0, "at least 8", False)
    assert rejections(said("b", "P2", [0.001] * 10), [PLANTED])["good"].item()


def test_where_nothing_can_be_said_one_verdict_is_too_many():
    nan = float("nan")
    nothing = [row | {"low": nan, "high": nan} for row in said("c", "E-loss", [nan] * 9)]
    assert rejections(nothing, [EMPTY])["good"].item()
    assert not rejections([*nothing, *said("c", "E-loss", [0.5])], [EMPTY])["good"].item()
    assert not rejections([], [EMPTY])["good"].item(), "a world that was not run is not good"

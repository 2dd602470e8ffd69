"""The quick profile of the graph's calibration; the full one is ``make calibrate``."""

import pytest
from scipy.stats import binomtest

from functok.calibration.graph import every_test, rejections
from functok.claims.explanation import Reading, explain
from functok.claims.rule import corrected


@pytest.fixture(scope="module")
def few():
    worlds = [("frequency", range(2)), ("types", range(1)), ("hub", range(2))]
    worlds += [("enriched", range(2)), ("named", range(2))]
    return [row for kind, seeds in worlds for seed in seeds for row in every_test(kind, seed)]


def test_at_fixed_seeds_nulls_pass_and_hubs_are_found(few):
    found = rejections(few)
    tests = ["N1", "P1", "P2", "P3", "slot", "P4"]
    assert found.filter(world="frequency")["test"].to_list() == tests
    assert found.filter(world="types")["test"].to_list() == tests
    assert found.filter(world="named")["test"].to_list() == tests
    assert found.filter(world="enriched")["test"].to_list() == ["P2", "P3", "slot", "P4"]
    assert found["good"].all()
    assert found.filter(world="hub")["rate"].min() == 1


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


def test_sixteen_of_two_hundred_is_the_most_that_passes():
    bounds = [binomtest(count, 200).proportion_ci(method="exact").low for count in (16, 17)]
    assert bounds[0] <= 0.05 < bounds[1]
    for count, good in ((16, True), (17, False)):
        rows = [
            {
                "world": "types",
                "seed": seed,
                "test": "P2",
                "value": 1.0,
                "p_value": float(seed >= count),
            }
            for seed in range(200)
        ]
        assert rejections(rows)["good"].to_list() == [good]


def test_an_effect_on_the_wrong_side_is_not_power():
    rows = [
        {"world": "hub", "seed": seed, "test": "P2", "value": -1.0, "p_value": 0.001}
        for seed in range(10)
    ]
    assert rejections(rows)["rejected"].item() == 0

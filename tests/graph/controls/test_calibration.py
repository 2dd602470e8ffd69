"""The quick profile of the graph's calibration; the full one is ``make calibrate``."""

import pytest
from scipy.stats import binomtest

from functok.graph.controls.calibration import every_test, rejections


@pytest.fixture(scope="module")
def few():
    worlds = [("frequency", range(3)), ("types", range(3)), ("hub", range(2))]
    return rejections(
        row for kind, seeds in worlds for seed in seeds for row in every_test(kind, seed)
    )


def test_at_fixed_seeds_nulls_pass_and_hubs_are_found(few):
    assert few.height == 9
    assert few["good"].all()
    assert few.filter(world="hub")["rate"].min() == 1


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

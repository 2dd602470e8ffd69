"""The quick profile of the calibration of rows that are not about the graph."""

import pytest

from functok.calibration import graph
from functok.calibration.planted import rejects
from functok.calibration.rows.every import UNTRIED, WORLDS
from functok.claims.declared import ROWS

SEEDS = 2
_OTHERS = [world for world in WORLDS if world not in graph.WORLDS]


def test_every_declared_row_is_tried_or_says_why_not() -> None:
    tried = {test for world in WORLDS for test in (*world.null, *world.there, *world.nothing)}
    assert tried & {*ROWS} == {*ROWS} - {*UNTRIED}
    assert len({world.name for world in WORLDS}) == len(WORLDS)


@pytest.mark.parametrize("world", _OTHERS, ids=lambda world: world.name)
def test_at_fixed_seeds_every_world_says_what_it_must(world) -> None:
    rejected = dict.fromkeys((*world.null, *world.there, *world.nothing), 0)
    for seed in range(SEEDS):
        said = {row["test"]: row for row in world.run(seed)}
        assert said.keys() >= rejected.keys()
        assert {(row["world"], row["seed"]) for row in said.values()} == {(world.name, seed)}
        for test in rejected:
            rejected[test] += rejects(said[test]) and (
                test not in world.there or said[test]["value"] > 0
            )
    assert all(rejected[test] < SEEDS for test in world.null), rejected
    assert all(rejected[test] == SEEDS for test in world.there), rejected
    assert not any(rejected[test] for test in world.nothing), rejected

"""Learning times against a loop, and the effect of class against planted curves."""

import math
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest

from functok.consolidation.learning import Curves, learned_first
from functok.corpus.splits import GROUPS
from functok.graph.contrasts import GRAMMAR, Sides

STEPS = [0, *(2**power for power in range(11))]
TYPES = 240


def _tables(
    chance: np.random.Generator, half: np.ndarray, noise: float = 0.5
) -> dict[int, pa.Table]:
    """Types whose loss falls by four nats, half of it by log(1 + step) = ``half``."""
    target = np.repeat(np.arange(len(half)), 60)
    group = chance.integers(0, GROUPS, len(target))
    order = np.lexsort((group, target))
    keys = {
        "target": target[order],
        "document_group": group[order],
        "count": np.ones(len(target), int),
    }
    level = np.log1p(STEPS)
    hard = chance.normal(0, noise, len(target))  # of a place, at every checkpoint
    found = {}
    for step, at in zip(STEPS, level, strict=True):
        fallen = 4 / (1 + np.exp(-4 * (at - half[keys["target"]])))
        found[step] = pa.table(keys | {"loss_sum": 8 - fallen + hard})
    return found


def test_learning_times_equal_a_loop_over_types() -> None:
    chance = np.random.default_rng(0)
    curves = Curves.of(_tables(chance, chance.uniform(1, 6, 30), 3.0), 55)
    kept = chance.random(GROUPS) < 0.6
    found = curves.times(kept)
    for place in range(len(curves.types)):
        count = curves.counts[place, kept].sum()
        loss = [sums[place, kept].sum() / count for sums in curves.sums]
        half, time = (loss[0] + loss[-1]) / 2, math.nan
        for one, (before, after) in enumerate(pairwise(loss)):
            if loss[-1] < loss[0] and after <= half:
                start, end = math.log1p(STEPS[one]), math.log1p(STEPS[one + 1])
                time = start + (before - half) / (before - after) * (end - start)
                break
        assert found[place] == pytest.approx(time, nan_ok=True)


def test_types_that_are_seldom_predicted_or_never_learned_have_no_time() -> None:
    tables = _tables(np.random.default_rng(1), np.full(4, 3.0))
    rare = {step: table.slice(30) for step, table in tables.items()}
    assert Curves.of(rare, 60).types.tolist() == [1, 2, 3]
    back = {step: tables[other] for step, other in zip(STEPS, reversed(STEPS), strict=True)}
    assert np.isnan(Curves.of(back).times(np.ones(GROUPS, bool))).all()


def _world(seed: int, earlier: float) -> tuple[Curves, Sides, np.ndarray]:
    """Frequent types are learned early, function types are frequent, and learned ``earlier``."""
    chance = np.random.default_rng(seed)
    function = np.arange(TYPES) < TYPES // 3
    log_n = chance.normal(5 + 0.8 * function, 1, TYPES)
    half = 6 - 0.4 * log_n - earlier * function + chance.normal(0, 0.3, TYPES)
    curves = Curves.of(_tables(chance, half))
    return curves, Sides(GRAMMAR, function, ~function), np.exp(log_n).round().astype(int) + 1


def test_the_planted_lead_of_function_types_is_found() -> None:
    row = learned_first(*_world(0, 0.5), 0)
    assert row is not None
    assert row.effect_low < 0.5 < row.effect_high
    assert row.effect_low > 0.25
    assert row.p_value < 0.01
    assert row.control_value - row.measured == pytest.approx(row.effect)


def test_frequency_alone_is_no_lead_of_function_types() -> None:
    rows = [learned_first(*_world(seed, 0.0), seed) for seed in range(40)]
    found = [row for row in rows if row is not None]
    assert len(found) == 40
    assert sum(row.effect_low > 0 or row.effect_high < 0 for row in found) <= 5
    assert sum(row.p_value < 0.05 for row in found) <= 5
    assert abs(np.mean([row.effect for row in found])) < 0.03


def test_classes_without_a_common_frequency_are_not_compared() -> None:
    curves, sides, occurrences = _world(0, 0.5)
    apart = occurrences + 10**6 * sides.function
    assert learned_first(curves, sides, apart, 0) is None
    none = Sides(GRAMMAR, np.zeros(TYPES, bool), sides.content)
    assert learned_first(curves, none, occurrences, 0) is None

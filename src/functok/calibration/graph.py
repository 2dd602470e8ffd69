"""Do the tests on the graph accept true nulls, and find planted effects?

Every test is run on worlds of ``synthetic.py``, in which the answer is known:

=============  =====================================  ==========================================
world          what is true                           what must come out
=============  =====================================  ==========================================
``frequency``  features depend on nothing             at most 16 of 200 rejected at α = .05
``types``      types differ, classes do not           likewise
``enriched``   the frequent are richer, and more      likewise, of P2, P3 and P4
               often function tokens
``named``      every token has a feature of its own   likewise, of all
``hub``        function tokens are truly richer       at least .8 rejected, on the right side
=============  =====================================  ==========================================

16 is the largest number of 200 whose lower 95 % Clopper–Pearson bound is not above .05. The tests
are ``N1``, the gap of the hub index (``docs/methods.md#n1``), the declared tests P1 to P4 as the
suite runs them (``docs/methods.md#declared-tests``), and ``slot``, P2 minus P3. For P4 the
untrained world has the same text.

What would surprise: in ``enriched`` function positions do reach more features, since frequent
tokens do; P1 rightly reports it, and says nothing of class by itself. N1 holds frequency equal
within strata only. So that world is a null of neither.
"""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import polars as pl
from scipy.stats import binomtest

from functok.calibration.synthetic import Kind, PlantedSettings, synthetic_world
from functok.controls.baselines.differences import UNTRAINED
from functok.controls.inputs import Inputs
from functok.controls.nulls.hubs import hubs
from functok.controls.suite.declared import (
    class_given_context,
    equal_positions,
    trained_or_not,
)
from functok.controls.types.regression import SLOT, class_effects

ALPHA = 0.05
POWER = 0.8
NULLS: tuple[Kind, ...] = ("frequency", "types", "enriched", "named")
NOT_NULL = {("enriched", "N1"), ("enriched", "P1"), ("hub", SLOT)}
"""Worlds in which it is not known what a test must say."""
TESTS = ("N1", "P1", "P2", "P3", SLOT, "P4")
SETTINGS = PlantedSettings(features=1600)
"""So many features that function positions do not reach them all."""
_FORM = "subword"
"""Sub-class of every token, so that the classes as studied are all there is to compare."""


def every_test(kind: Kind, seed: int, settings: PlantedSettings = SETTINGS) -> list[dict]:
    """Every test in one world: world, seed, test, value (of the effect), low, high, p_value."""
    world = synthetic_world(kind, seed, settings)
    untrained = synthetic_world(kind, seed, settings, trained=False).graph()
    with TemporaryDirectory() as folder:
        subject = world.subject(Path(folder) / "graph")
        vocabulary = replace(subject.vocabulary, subclasses=[_FORM] * len(world.classes))
        subject = replace(subject, vocabulary=vocabulary)
        given = Inputs(subject, world.encoded(), baselines={UNTRAINED: untrained})
        found = {
            row.test: (row.effect, row.effect_low, row.effect_high, row.p_value)
            for work in (equal_positions, class_given_context, trained_or_not)
            for row in work(given).tests
        }
        assert given.regressed is not None
        slot = class_effects(given.regressed, given.main.reading)[SLOT]
        found[SLOT] = (slot["value"], slot["low"], slot["high"], slot["p_value"])
        hub = hubs(subject).headline
        assert hub is not None
        found["N1"] = (*vars(hub.effect).values(), hub.p_value)
    assert found.keys() == set(TESTS), "the world is too small for its tests"
    return [
        {"world": kind, "seed": seed, "test": test}
        | dict(zip(("value", "low", "high", "p_value"), found[test], strict=True))
        for test in TESTS
    ]


def rejections(rows: Iterable[dict]) -> pl.DataFrame:
    """How often each test rejects in each world of which it is known whether it must.

    Columns: world, test, worlds, rejected (at α = .05; in ``hub`` with a positive effect), rate
    with low and high (95 %, Clopper–Pearson), good (whether it is as it must be).
    """
    table = pl.DataFrame(list(rows))
    found = []
    for (world, test), part in table.group_by(["world", "test"], maintain_order=True):
        if (world, test) in NOT_NULL:
            continue
        hits = part["p_value"].to_numpy() <= ALPHA
        null = world in NULLS
        if not null:
            hits &= part["value"].to_numpy() > 0
        count = int(np.count_nonzero(hits))
        low, high = binomtest(count, len(hits)).proportion_ci(method="exact")
        found.append(
            {
                "world": world,
                "test": test,
                "worlds": len(hits),
                "rejected": count,
                "rate": count / len(hits),
                "low": float(low),
                "high": float(high),
                "good": low <= ALPHA if null else count >= POWER * len(hits),
            }
        )
    return pl.DataFrame(found)

"""Do the graph's tests pass over what is not there, and find what is?

Every test is run on worlds of ``synthetic.py``, in which the answer is known:

=============  =====================================  ==========================================
world          what is true                           what must come out
=============  =====================================  ==========================================
``frequency``  features depend on nothing             at most 16 of 200 rejected at α = .05
``types``      types differ, classes do not           likewise
``hub``        function tokens are truly richer       at least .8 rejected, on the right side
=============  =====================================  ==========================================

16 is the most of 200 whose lower 95 % Clopper–Pearson bound is not above .05. The tests are ``N1``,
the gap of the hub index (``hubs.py``), ``P2``, the main effect of class at equal exposure
(``factorial.py``), and ``P4``, the difference of differences against an untrained world that reads
the same text (``baselines.py``).
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
import polars as pl
from scipy.stats import binomtest

from functok.graph.controls.baselines import UNTRAINED, baselines
from functok.graph.controls.common_size import common_size
from functok.graph.controls.factorial import class_effect, factorial
from functok.graph.controls.histograms import Histograms
from functok.graph.controls.hubs import hubs
from functok.graph.controls.outcomes import log_richness
from functok.graph.controls.sides import readings
from functok.graph.controls.subject import Subject
from functok.graph.controls.synthetic import Kind, WorldSettings, synthetic_world

ALPHA = 0.05
POWER = 0.8
NULLS: tuple[Kind, ...] = ("frequency", "types")
_FORM = "subword"
"""Sub-class of every token, so that the classes as studied are all there is to compare."""


def every_test(kind: Kind, seed: int, settings: WorldSettings | None = None) -> list[dict]:
    """Every test in one world: kind, seed, test, value (of the effect), p_value."""
    settings = settings or WorldSettings()
    world = synthetic_world(kind, seed, settings)
    size = len(world.classes)
    subject = Subject(world.graph(), world.classes, [_FORM] * size, [_FORM] * size, seed)
    control = synthetic_world(kind, seed, settings, trained=False).graph()
    hub = hubs(subject).headline
    found: dict[str, Any] = {"N1": (hub.effect.value, hub.p_value)}
    sides = readings(subject)[:1]
    h = Histograms.of(subject.graph, "documents")
    exposure = common_size(h, sides[0])
    assert exposure is not None, "the world is too small for its tests"
    outcome = log_richness(h, exposure)
    occurrences = subject.graph.token_occurrences.sum(0)
    table = factorial(outcome.values, occurrences, sides, seed, outcome.left_out)
    both = class_effect(table, sides[0].reading)
    learned = baselines(subject, {UNTRAINED: control}).learned
    for test, result in (("P2", both), ("P4", learned)):
        assert result is not None, "the world is too small for its tests"
        found[test] = (result.effect.value, result.p_value)
    return [
        {"world": kind, "seed": seed, "test": test, "value": value, "p_value": p}
        for test, (value, p) in found.items()
    ]


def rejections(rows: Iterable[dict]) -> pl.DataFrame:
    """How often each test rejects in each world.

    Columns: world, test, worlds, rejected (at α = .05; in ``hub`` with a positive effect), rate
    with low and high (95 %, Clopper–Pearson), good (whether it is as it must be).
    """
    table = pl.DataFrame(list(rows))
    found = []
    for (world, test), part in table.group_by(["world", "test"], maintain_order=True):
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

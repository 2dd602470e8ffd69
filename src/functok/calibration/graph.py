"""Worlds in which it is known what explains the degree, for the tests on the graph.

Every test is run on worlds of ``synthetic.py``:

=============  =====================================  ==========================================
world          what is true                           what must come out
=============  =====================================  ==========================================
``frequency``  features depend on nothing             nulls
``types``      types differ, classes do not           nulls, but for E-coverage
``enriched``   the frequent are richer, and more      nulls of P2, P3 and P4
               often function tokens
``named``      every token has a feature of its own   nulls, but for E-coverage
``hub``        function tokens are truly richer       found, on the right side
=============  =====================================  ==========================================

The tests are ``N1``, the gap of the hub index (``docs/methods.md#n1``), E-coverage, the declared
tests P1 to P4 as the suite runs them (``docs/methods.md#declared-tests``), and ``slot``, P2 minus
P3. For P4 the untrained world has the same text.

What would surprise: in ``enriched`` function positions do reach more features, since frequent
tokens do; P1 rightly reports it, and says nothing of class by itself. N1 holds frequency equal
within strata only. So that world is a null of neither. Nor are ``types`` and ``named`` of
E-coverage: ten tokens have ten names, and as many positions of other types have more.
"""

from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from functok.calibration.planted import Row, World, row
from functok.calibration.synthetic import Kind, PlantedSettings, synthetic_world
from functok.controls.baselines.differences import UNTRAINED
from functok.controls.inputs import Inputs
from functok.controls.nulls.hubs import hubs
from functok.controls.positions.halfway import Halfway, halfway
from functok.controls.suite.declared import (
    class_given_context,
    equal_positions,
    trained_or_not,
)
from functok.controls.types.regression import SLOT, class_effects
from functok.graph.contrasts import Sides
from functok.graph.coverage import frequency_order
from functok.graph.labelled import LabelledGraph
from functok.graph.tables import TOP
from functok.stats import Estimate
from functok.tokens.counting.function_tokens import CONTENT

TESTS = ("E-coverage", "N1", "P1", "P2", "P3", SLOT, "P4")
SETTINGS = PlantedSettings(features=1600)
"""So many features that function positions do not reach them all."""
DRAWS = 499
"""Deals of class over whole types, of E-coverage."""
_FORM = "subword"
"""Sub-class of every token, so that the classes as studied are all there is to compare."""


def every_test(kind: Kind, seed: int, settings: PlantedSettings = SETTINGS) -> list[Row]:
    """Every test in one world."""
    world = synthetic_world(kind, seed, settings)
    untrained = synthetic_world(kind, seed, settings, trained=False).graph()
    with TemporaryDirectory() as folder:
        subject = world.subject(Path(folder) / "graph")
        vocabulary = replace(subject.vocabulary, subclasses=[_FORM] * len(world.classes))
        subject = replace(subject, vocabulary=vocabulary)
        given = Inputs(subject, world.encoded(), baselines={UNTRAINED: untrained})
        found = {
            one.test: (Estimate(one.effect, one.effect_low, one.effect_high), one.p_value)
            for work in (equal_positions, class_given_context, trained_or_not)
            for one in work(given).tests
        }
        assert given.regressed is not None
        slot = class_effects(given.regressed, given.main.reading)[SLOT]
        found[SLOT] = (Estimate.of(slot), slot["p_value"])
        hub = hubs(subject).headline
        ten = _ten_tokens(subject)
        assert hub is not None
        assert ten is not None
        found |= {"N1": (hub.effect, hub.p_value), "E-coverage": (ten.effect, ten.p_value)}
    assert found.keys() == set(TESTS), "the world is too small for its tests"
    return [row(kind, seed, test, *found[test]) for test in TESTS]


def _ten_tokens(subject: LabelledGraph) -> Halfway | None:
    """The most frequent tokens against the other content tokens."""
    graph, classes = subject.graph, subject.vocabulary.classes
    mine = np.isin(np.arange(graph.vocabulary), frequency_order(graph)[:TOP])
    others = (classes == CONTENT) & (graph.token_occurrences.sum(0) > 0) & ~mine
    (found,) = halfway(graph, [Sides("", mine, others)], subject.seed, DRAWS)
    return found


_OF_CLASS = ("N1", "P1", "P2", "P3", SLOT, "P4")
WORLDS = (
    World("frequency", "features depend on nothing", partial(every_test, "frequency"), null=TESTS),
    World("types", "types differ, classes do not", partial(every_test, "types"), null=_OF_CLASS),
    World(
        "enriched",
        "the frequent are richer, and more often function tokens",
        partial(every_test, "enriched"),
        null=("P2", "P3", SLOT, "P4"),
    ),
    World(
        "named", "a token has a feature of its own", partial(every_test, "named"), null=_OF_CLASS
    ),
    World(
        "hub",
        "function tokens are richer",
        partial(every_test, "hub"),
        there=("N1", "P1", "P2", "P3", "P4"),
    ),
)

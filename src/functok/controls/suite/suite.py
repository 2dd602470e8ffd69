"""Every control by name: one call each, from what they share to tables and declared tests.

A control whose input was not kept leaves no table but one sentence that says why, and its test
stays unrun: what was not measured is undecided (``claims.py``).

===============  ===================================================  ========================
control          question                                             tables
===============  ===================================================  ========================
``exposure``     as many positions of other kinds (A2; P1)            exposure, exposure_curve
``richness``     features at equal exposure (A3)                      richness, richness_…
``hubs``         labels dealt out anew over the corpus (A6)           hubs, hub_gaps
``dealing``      the same within documents, and tenths of them (A6)   hubs_in_…, hub_gaps_in_…
``poisson``      edges of independent tokens and features (A6)        poisson_…, specific_edges
``factorial``    frequency or class, both at once (A5; P2)            factorial_cells, …_effects
``pairs``        function against content types of equal frequency    pairs, pair_effects
``regression``   what class adds to frequency and to context (A4; P3) coefficients, fits, shares
``degree``       the raw degree, on the common support alone          degree_effects, overlap
``slots``        class or slot: before the same next token (A5)       slot_cells, slot_effects
``homographs``   one string, two word classes (A5)                    uses, use_pairs, use_effects
``features``     what each feature is about (A8)                      features, feature_…
``context``      all of it without token-identity features (A8)       context_effects, …_exposure
``arms``         untrained models, shuffled text, held SAEs (A11; P4) arms, arm_differences, …
``choices``      every effect under other choices (A10)               specifications, …_summary, …
===============  ===================================================  ========================
"""

from collections.abc import Sequence

from functok.controls.control import Control
from functok.controls.suite import (
    baselines,
    features,
    nulls,
    occurrences,
    positions,
    richness,
    specification,
    types,
)
from functok.runtime.errors import UserError, nearest

CONTROLS = (
    Control("exposure", "As many positions of other kinds", positions.equal_positions, ("P1",)),
    Control("richness", "Features at equal exposure, token by token", richness.accumulated),
    Control("hubs", "Labels dealt out anew over the corpus", nulls.shuffled_labels),
    Control("dealing", "Labels dealt out anew within documents", nulls.shuffled_within),
    Control("poisson", "Edges of independent tokens and features", nulls.independent),
    Control("factorial", "Frequency or class, both at once", types.both_at_once, ("P2",)),
    Control(
        "pairs",
        "Function and content types of equal frequency, pair by pair",
        types.equally_frequent,
    ),
    Control(
        "regression",
        "What class adds to frequency and to context",
        types.class_beside_context,
        ("P3",),
    ),
    Control("degree", "Raw degrees where both classes have the frequency", types.degrees),
    Control("slots", "Class or slot: before the same next token", occurrences.same_slot),
    Control("homographs", "One string, two word classes", occurrences.same_string),
    Control("features", "What each feature is about", features.about),
    Control("context", "All of it without token-identity features", features.in_context),
    Control(
        "arms",
        "Trained against untrained models, shuffled text and held SAEs",
        baselines.trained_or_not,
        ("P4",),
        arms=True,
    ),
    Control("choices", "Every effect under other choices", specification.every_choice, arms=True),
)
"""In the order in which they are run."""
NAMES = tuple(control.name for control in CONTROLS)


def chosen(names: Sequence[str]) -> list[Control]:
    """The controls of these names; all for none.

    Raises:
        UserError: for a name that there is not.
    """
    for name in names:
        if name not in NAMES:
            raise UserError(f"There is no control {name!r}; {nearest(name, NAMES)}")
    return [control for control in CONTROLS if not names or control.name in names]

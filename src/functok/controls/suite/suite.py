"""Every control by name: one call each, from shared inputs to tables and declared tests.

A control that lacks its input writes no table but one sentence that says why, and its test is not
run (``claims/rule.py``). Formulas:
``docs/methods.md#controls``.

==================  ================================================  =============================
control             question                                          tables
==================  ================================================  =============================
``exposure``        the same number of other positions (P1)           exposure, exposure_curve
``richness``        features at equal exposure                        richness, richness_…
``hubs``            labels permuted over the corpus                   hubs, hub_gaps
``permutation``     the same within documents, and tenths of them     hubs_in_…, hub_gaps_in_…
``poisson``         edges of independent tokens and features          poisson_…, specific_edges
``factorial``       frequency × class                                 factorial_cells, …_effects
``pairs``           function and content types of equal frequency     pairs, pair_effects
``regression``      class given frequency (P2), given context (P3)    coefficients, fits, shares
``degree``          the raw degree (O-hubs), on the common support    degree_effects, overlap
``slots``           class or slot: before the same next token         slot_cells, slot_effects
``homographs``      one string, two word classes                      uses, use_pairs, use_effects
``features``        what each feature is about                        features, feature_…
``context``         all of it without token-identity features         context_effects, …_exposure
``baselines``       untrained models, shuffled text, frozen SAEs (P4) baselines, baseline_…
``specification``   every effect under other choices                  specifications, …_summary, …
``accounts``        P1 to P4 under every reading, side by side        accounts
``definitions``     rows under other thresholds, without sub-classes  definitions
==================  ================================================  =============================
"""

from collections.abc import Sequence

from functok.controls.control import Control
from functok.controls.names import CONTROL_NAMES
from functok.controls.suite import accounts, declared, definitions, features, tables
from functok.runtime.errors import check_name

CONTROLS = (
    Control("exposure", "The same number of other positions", declared.equal_positions, ("P1",)),
    Control("richness", "Features at equal exposure, token by token", tables.accumulated),
    Control("hubs", "Labels permuted over the corpus", tables.shuffled_labels),
    Control("permutation", "Labels permuted within documents", tables.shuffled_within),
    Control("poisson", "Edges of independent tokens and features", tables.independent),
    Control("factorial", "Frequency × class", declared.both_at_once),
    Control("pairs", "Function and content types of equal frequency", tables.equally_frequent),
    Control(
        "regression",
        "Class given frequency, and given context",
        declared.class_given_context,
        ("P2", "P3"),
    ),
    Control(
        "degree",
        "Raw degrees at frequencies that both classes have",
        declared.raw_degrees,
        ("O-hubs",),
    ),
    Control("slots", "Class or slot: before the same next token", tables.same_slot),
    Control("homographs", "One string, two word classes", tables.same_string),
    Control("features", "What each feature is about", features.about),
    Control("context", "Every effect without token-identity features", features.in_context),
    Control(
        "baselines",
        "Untrained models, shuffled text and frozen SAEs",
        declared.trained_or_not,
        ("P4",),
        needs_baselines=True,
    ),
    Control(
        "specification",
        "Every effect under other choices",
        tables.every_choice,
        needs_baselines=True,
    ),
    Control(
        "accounts",
        "P1 to P4 under every reading",
        accounts.side_by_side,
        needs_baselines=True,
    ),
    Control(
        "definitions",
        "Coverage and hubs under other definitions of function",
        definitions.under_definitions,
        needs_baselines=True,
    ),
)
"""In the order in which they are run."""
assert tuple(control.name for control in CONTROLS) == CONTROL_NAMES


def chosen(names: Sequence[str]) -> list[Control]:
    """The controls of these names; all for none.

    Raises:
        UserError: for a name that there is not.
    """
    for name in names:
        check_name("control", name, CONTROL_NAMES)
    return [control for control in CONTROLS if not names or control.name in names]

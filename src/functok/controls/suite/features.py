"""The suite's controls on features: their kinds, and every effect without single-token features."""

from dataclasses import replace

import polars as pl

from functok.controls.control import Result
from functok.controls.effects import effect_rows
from functok.controls.features.kinds import context_only
from functok.controls.inputs import Inputs
from functok.controls.suite import declared, tables

REPEATED = (
    tables.shuffled_labels,
    declared.both_at_once,
    tables.equally_frequent,
    declared.class_given_context,
)
"""The controls of degree and richness that are repeated."""


def about(given: Inputs) -> Result:
    """Concentration, kind and lift of every feature."""
    found = given.feature_side
    return Result(
        {
            "features": found.features,
            "feature_kinds": found.kinds,
            "feature_sides": found.sides,
        }
    )


def in_context(given: Inputs) -> Result:
    """Equal exposure and every effect of class again, without token-identity features.

    Tables: context_effects (``effects.py``, with their number as features_left_out),
    context_exposure (``exposure.py``).
    """
    subject = context_only(given.subject, given.feature_side)
    left_out = int((given.feature_side.features["kind"] == "token").sum())
    again = replace(given, subject=subject)
    found = {}
    for control in REPEATED:
        found |= control(again).tables
    effects = effect_rows(found.get, subclasses=True)
    effects = effects.with_columns(features_left_out=pl.lit(left_out, pl.Int64))
    exposure = declared.equal_positions(again).tables["exposure"]
    return Result({"context_effects": effects, "context_exposure": exposure})

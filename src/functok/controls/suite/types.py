"""The controls of frequency × class: their tables, and tests P2 and P3."""

import numpy as np

from functok.claims.evidence import Evidence, as_columns
from functok.controls.control import Result
from functok.controls.inputs import Inputs
from functok.controls.types.factorial import class_effect, factorial
from functok.controls.types.matching import matched
from functok.controls.types.raw_degree import raw_degree
from functok.controls.types.regression import DEGREE, RICHNESS, direct_effect, regressions
from functok.graph.coverage import token_degrees
from functok.stats import Estimate


def both_at_once(given: Inputs) -> Result:
    richness = given.richness
    if richness is None:
        return Result(absent=given.too_short)
    seed = given.subject.seed
    found = factorial(richness.values, given.occurrences, given.sides, seed, richness.left_out)
    tables = {"factorial_cells": found.cells, "factorial_effects": found.effects}
    effect = class_effect(found, given.main.reading)
    if effect is None:
        return Result(tables)
    test = Evidence(
        test="P2",
        statistic=f"features of a function type ({effect['reading']}) at {given.exposure} "
        f"{given.unit}, geometric mean over frequent and rare types",
        measured=float(np.exp(effect["function"])),
        control="content types, frequent and rare, at the same exposure",
        control_value=float(np.exp(effect["content"])),
        effect_name="log ratio, main effect of class in the 2×2",
        **as_columns("effect", Estimate.of(effect)),
        p_value=effect["p_value"],
        unit="token types",
        units=effect["types"],
        seed=seed,
    )
    return Result(tables, (test,))


def equally_frequent(given: Inputs) -> Result:
    richness = given.richness
    if richness is None or given.exposure is None:
        return Result(absent=given.too_short)
    subject = given.subject
    found = matched(
        subject.graph,
        richness.values,
        given.exposure,
        given.unit,
        given.sides,
        subject.vocabulary.subclasses,
        subject.vocabulary.shown,
        subject.seed,
    )
    return Result({"pairs": found.pairs, "pair_effects": found.effects})


def class_given_context(given: Inputs) -> Result:
    richness, hill_2 = given.richness, given.hill_2
    if richness is None or hill_2 is None:
        return Result(absent=given.too_short)
    degree = token_degrees(given.subject.graph).astype(float)
    outcomes = {
        RICHNESS: richness.values,
        "log Hill-2": hill_2.values,
        DEGREE: np.log(np.where(degree > 0, degree, np.nan)),
    }
    found = regressions(
        outcomes,
        given.predictors,
        given.sides,
        given.main.reading,
        given.subject.seed,
        richness.left_out,
    )
    tables = {"coefficients": found.coefficients, "fits": found.fits, "shares": found.shares}
    effects = direct_effect(found, given.main.reading)
    if effects is None:
        return Result(tables)
    total, direct = effects
    test = Evidence(
        test="P3",
        statistic=f"log ratio of features at {given.exposure} {given.unit}, function "
        f"({given.main.reading}) to content types of equal frequency",
        **as_columns("measured", Estimate.of(total)),
        control="the part of it that diversity of neighbours and dispersion account for",
        control_value=total["value"] - direct["value"],
        effect_name="remaining log ratio, the direct effect of class",
        **as_columns("effect", Estimate.of(direct)),
        p_value=direct["p_permutation"],
        unit="token types",
        units=direct["types"],
        seed=given.subject.seed,
    )
    return Result(tables, (test,))


def degrees(given: Inputs) -> Result:
    found = raw_degree(token_degrees(given.subject.graph), given.occurrences, given.sides)
    return Result({"degree_effects": found.effects, "overlap": found.overlap})

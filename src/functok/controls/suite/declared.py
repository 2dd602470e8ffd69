"""The controls that decide a declared test: the tables of each, and tests P1 to P4."""

import math

import numpy as np
import polars as pl

from functok.claims.evidence import Evidence, as_columns
from functok.controls.baselines.differences import baselines
from functok.controls.control import Result
from functok.controls.inputs import NEXT_TOKEN, Inputs
from functok.controls.positions.exposure import equal_exposure, exposure_effect
from functok.controls.types.factorial import class_effect, factorial
from functok.controls.types.regression import DEGREE, RICHNESS, direct_effect, regressions
from functok.graph.coverage import token_degrees
from functok.stats import Estimate

NO_BASELINES = (
    "There is no graph of an untrained model to compare with; a study builds the baselines that "
    "its controls.baselines names."
)


def equal_positions(given: Inputs) -> Result:
    """Coverage of function positions and of the same number of reference positions; P1."""
    found = equal_exposure(given.subject)
    tables = {"exposure": found.coverage, "exposure_curve": found.curve}
    row = exposure_effect(found, given.main.reading)
    if row is None:
        return Result(tables)
    documents = int(given.subject.graph.token_occurrences.any(1).sum())
    test = Evidence(
        test="P1",
        statistic=f"share of the active features that function positions ({row['reading']}) reach",
        measured=row["covered"],
        control="the same number of random positions in each document",
        control_value=row["expected"],
        effect_name="log ratio of the two",
        **as_columns("effect", Estimate(row["log_ratio"], row["low"], row["high"])),
        p_value=row["p_value"],
        unit="hash groups of documents",
        units=documents,
        seed=given.subject.seed,
    )
    return Result(tables, (test,))


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


def trained_or_not(given: Inputs) -> Result:
    """Differences in differences against every baseline; P4 against the re-initialised model."""
    if not given.baselines:
        return Result(absent=NO_BASELINES)
    found = baselines(given.subject, given.baselines, _given_slot(given), given.unit)
    tables = {
        "baseline_differences": found.differences,
        "baselines": found.graphs.join(
            _explained(given), on="baseline", how="left", maintain_order="left"
        ),
        "baseline_readings": found.readings,
    }
    learned = found.learned
    if learned is None:
        return Result(tables)
    test = Evidence(
        test="P4",
        statistic=f"log ratio of features at {learned['size']} {given.unit}, function "
        f"({learned['reading']}) to content types, of the trained model",
        **as_columns("measured", Estimate.of(learned, "trained")),
        control="the same in the re-initialised model, with an SAE by the same recipe",
        control_value=learned["control"],
        effect_name="difference of the two log ratios",
        **as_columns("effect", Estimate.of(learned)),
        p_value=learned["p_value"],
        unit="token types",
        units=learned["function"] + learned["content"],
        seed=given.subject.seed,
    )
    return Result(tables, (test,))


def _explained(given: Inputs) -> pl.DataFrame:
    """Columns: baseline, explained_variance with explained_variance_low and …_high (of its SAE)."""
    rows = [
        {"baseline": name, **as_columns("explained_variance", estimate)}
        for name, estimate in given.explained.items()
    ]
    names = [f"explained_variance{end}" for end in ("", "_low", "_high")]
    return pl.DataFrame(rows, {"baseline": pl.String, **dict.fromkeys(names, pl.Float64)})


def _given_slot(given: Inputs) -> dict[str, Estimate]:
    """The gap before the same next token, which is measured under the primary reading only."""
    if given.slots is None:
        return {}
    gap = given.slots.effects.row(by_predicate=pl.col("matching") == NEXT_TOKEN, named=True)
    if not math.isfinite(gap["low"]):
        return {}
    return {given.main.reading: Estimate.of(gap)}

"""The controls that decide a declared test: the tables of each, tests P1 to P4, and O-hubs."""

import numpy as np
import polars as pl

from functok.claims.evidence import Evidence, as_columns
from functok.controls.control import Result
from functok.controls.inputs import Inputs
from functok.controls.positions.exposure import exposure_effect
from functok.controls.positions.halfway import SCHEMES, Halfway
from functok.controls.types.factorial import factorial
from functok.controls.types.raw_degree import degree_gaps, raw_degree
from functok.controls.types.regression import class_effects
from functok.graph.contrasts import Sides
from functok.graph.coverage import token_degrees
from functok.stats import Estimate, jackknife_p_value

NO_BASELINES = (
    "There is no graph of an untrained model to compare with; a study builds the baselines that "
    "its controls.baselines names."
)


def equal_positions(given: Inputs) -> Result:
    """Coverage of function positions and of the same number of reference positions; P1."""
    found, reading = given.positions, given.main.reading
    tables = {"exposure": found.coverage, "exposure_curve": found.curve}
    half = exposure_effect(found, reading)
    if half is None:
        return Result(tables)
    test = Evidence(
        test="P1",
        statistic=f"share of the active features that {half.drawn:,d} function positions "
        f"({reading}) reach, as many as reach half of them at random",
        measured=half.covered,
        control=SCHEMES[half.scheme][0],
        control_value=half.expected,
        effect_name="log ratio of the two, of two references the one that says less",
        **as_columns("effect", half.effect),
        p_value=half.p_value,
        unit=half.unit,
        units=position_units(given, given.main, half),
        seed=given.subject.seed,
    )
    return Result(tables, (test,))


def position_units(given: Inputs, sides: Sides, half: Halfway) -> int:
    """How many units the interval of a comparison of positions rests on."""
    if half.scheme == "content":
        return _documents(given)
    return int((sides.function | sides.content).sum())


def _documents(given: Inputs) -> int:
    """Hash groups that hold a document."""
    return int(given.subject.graph.token_occurrences.any(1).sum())


def both_at_once(given: Inputs) -> Result:
    """The 2×2 of frequency and class, a description."""
    richness = given.richness
    if richness is None:
        return Result(absent=given.too_short)
    seed = given.subject.seed
    found = factorial(richness.values, given.occurrences, given.sides, seed, richness.left_out)
    return Result({"factorial_cells": found.cells, "factorial_effects": found.effects})


def class_given_context(given: Inputs) -> Result:
    """Class given frequency, P2, and given neighbours and dispersion as well, P3."""
    found, richness = given.regressed, given.richness
    if found is None or richness is None:
        return Result(absent=given.too_short)
    tables = {"coefficients": found.coefficients, "fits": found.fits, "shares": found.shares}
    reading, effects = given.main.reading, class_effects(found, given.main.reading)
    tests: list[Evidence] = []
    if (total := effects.get("total")) is not None:
        mine = given.main.function & given.population
        mean = float(richness.values[mine].mean())
        tests.append(
            Evidence(
                test="P2",
                statistic=f"features of a function type ({reading}) at {given.exposure} "
                f"{given.unit}, geometric mean",
                measured=float(np.exp(mean)),
                control="content types of equal frequency (spline of log occurrences)",
                control_value=float(np.exp(mean - total["value"])),
                effect_name="log ratio, effect of class given frequency",
                **as_columns("effect", Estimate.of(total)),
                p_value=total["p_permutation"],
                unit="token types",
                units=total["types"],
                seed=given.subject.seed,
            )
        )
    if total is not None and (direct := effects.get("direct")) is not None:
        tests.append(
            Evidence(
                test="P3",
                statistic=f"log ratio of features at {given.exposure} {given.unit}, function "
                f"({reading}) to content types of equal frequency",
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
        )
    return Result(tables, tuple(tests))


def raw_degrees(given: Inputs) -> Result:
    """Raw degrees on the common support; O-hubs, the degrees of the study's own classes."""
    degree, studied = token_degrees(given.subject.graph), given.sides[0]
    found = raw_degree(degree, given.occurrences, given.sides)
    tables = {"degree_effects": found.effects, "overlap": found.overlap}
    (gap,) = degree_gaps(given.subject.graph, [studied])
    if gap is None:
        return Result(tables)
    test = Evidence(
        test="O-hubs",
        statistic=f"degree of a function type ({studied.reading}) over that of a content type, "
        "log ratio of geometric means, each type at its own number of occurrences",
        **as_columns("measured", gap),
        control="equal degrees",
        control_value=0.0,
        effect_name="log ratio",
        **as_columns("effect", gap),
        p_value=jackknife_p_value(gap, _documents(given)),
        unit="hash groups of documents",
        units=_documents(given),
        seed=given.subject.seed,
    )
    return Result(tables, (test,))


def trained_or_not(given: Inputs) -> Result:
    """Differences in differences against every baseline; P4 against the re-initialised model."""
    found = given.differences
    if found is None:
        return Result(absent=NO_BASELINES)
    tables = {
        "baseline_differences": found.differences,
        "baselines": found.graphs.join(
            _explained(given), on="baseline", how="left", maintain_order="left"
        ),
        "baseline_readings": found.readings,
    }
    learned = found.learned.get(given.main.reading)
    if learned is None:
        return Result(tables)
    test = Evidence(
        test="P4",
        statistic=f"log ratio of features at {learned['size']} {given.unit}, function "
        f"({learned['reading']}) to content types of equal frequency, of the trained model",
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

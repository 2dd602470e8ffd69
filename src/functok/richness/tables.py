"""Are function tokens richer than content tokens with the same number of exposures?

The raw degree is a species-accumulation curve at N_t, so it must grow with frequency. Here every
token is evaluated at a common number of exposures n₀ (``common_size.py``), or at a common sample
coverage (``docs/methods.md#rarefaction``), and its richness is decomposed:

    log S(n₀) = log L0 (α: features at once) + log S(n₀)/L0 (β: how often the set is renewed)

``richness`` returns the tables; ``outcomes.log_richness`` gives other controls each token's outcome
with its jackknife replicates over documents.
"""

import math
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from functok.graph.contrasts import GRAMMAR, STUDIED, WITH_MARKS, readings
from functok.graph.labelled import LabelledGraph
from functok.richness.common_size import SIZES, common_share, common_size, reaching
from functok.richness.estimators import Summary
from functok.richness.histograms import UNITS, Histograms
from functok.richness.outcomes import Outcome, decomposed, log_at_coverage, log_richness
from functok.richness.rarefaction import extrapolated, sample_coverage, standard_errors
from functok.richness.stratified import differences
from functok.stats import mean_interval
from functok.tokens.counting.function_tokens import CLASS_NAMES

DRAWS = 999
"""Permutations of each difference."""


class Richness(NamedTuple):
    """The tables of ``richness``; the functions that make them document the columns."""

    tokens: pl.DataFrame
    """One row per unit and token (``token_table``)."""
    curves: pl.DataFrame
    """One row per unit, token and size (``curve_table``)."""
    groups: pl.DataFrame
    """One row per unit, class or sub-class, and size (``group_table``)."""
    differences: pl.DataFrame
    """Two rows per unit, reading, outcome and size (``difference_table``)."""


def richness(subject: LabelledGraph, draws: int = DRAWS) -> Richness:
    """Every token's richness, and how the classes differ in it."""
    found = []
    for unit in UNITS:
        h = Histograms.of(subject.graph, unit)
        sizes = [log_richness(h, size) for size in SIZES]
        found.append(
            (
                token_table(subject, h),
                curve_table(h),
                group_table(subject, h, sizes),
                difference_table(subject, h, sizes, draws),
            )
        )
    return Richness(*(pl.concat(parts) for parts in zip(*found, strict=True)))


def token_table(subject: LabelledGraph, h: Histograms) -> pl.DataFrame:
    """What one token's own exposures say of it.

    Columns: unit, token_id, token, class, subclass, exposure (N), degree (features seen), l0,
    overlap (features that two exposures share), sorensen, hill_1, hill_2, coverage (of the sample),
    chao2, chao2_bc (``estimators.py``: lower bounds of an asymptote).
    """
    seen = Summary.of(h)
    tokens = np.flatnonzero(h.exposure)
    columns = {
        "degree": seen.observed.astype(np.int64),
        "l0": seen.l0,
        "overlap": seen.overlap,
        "sorensen": seen.sorensen,
        "hill_1": seen.hill_1,
        "hill_2": seen.hill_2,
        "coverage": seen.coverage,
        "chao2": seen.chao_2,
        "chao2_bc": seen.chao_2_bc,
    }
    return pl.DataFrame(
        {
            "unit": np.full(len(tokens), h.unit),
            **subject.vocabulary.columns(tokens),
            "exposure": h.exposure[tokens],
            **{name: values[tokens] for name, values in columns.items()},
        }
    )


def curve_table(h: Histograms) -> pl.DataFrame:
    """S(n) of every token, up to twice its own exposure.

    Columns: unit, token_id, size (n), richness, standard_error (of ``standard_errors``; NaN where
    extrapolated), coverage (Ĉ(n)), extrapolated.
    """
    tables = []
    for size in SIZES:
        tokens = np.flatnonzero(2 * h.exposure >= size)
        tables.append(
            pl.DataFrame(
                {
                    "unit": np.full(len(tokens), h.unit),
                    "token_id": tokens,
                    "size": np.full(len(tokens), size),
                    "richness": extrapolated(h, size)[tokens],
                    "standard_error": standard_errors(h, size)[tokens],
                    "coverage": sample_coverage(h, size)[tokens],
                    "extrapolated": h.exposure[tokens] < size,
                }
            )
        )
    return pl.concat(tables)


def group_table(subject: LabelledGraph, h: Histograms, sizes: list[Outcome]) -> pl.DataFrame:
    """Mean richness of each class and sub-class at each common size.

    Columns: unit, by ("class", "sub-class"), group, size, types, richness (geometric mean over
    types) with low and high (t interval over types).
    """
    rows = []
    kinds = {
        "class": np.array(CLASS_NAMES)[subject.vocabulary.classes],
        "sub-class": np.array(subject.vocabulary.subclasses),
    }
    for outcome in sizes:
        known = np.isfinite(outcome.values)
        for by, names in kinds.items():
            for name in np.unique(names[known]):
                mean = mean_interval(outcome.values[known & (names == name)])
                rows.append(
                    {
                        "unit": h.unit,
                        "by": by,
                        "group": str(name),
                        "size": int(outcome.size),
                        "types": int((known & (names == name)).sum()),
                        "richness": math.exp(mean.value),
                        "low": math.exp(mean.low),
                        "high": math.exp(mean.high),
                    }
                )
    return pl.DataFrame(rows, _GROUPS)


def difference_table(
    subject: LabelledGraph, h: Histograms, sizes: list[Outcome], draws: int = DRAWS
) -> pl.DataFrame:
    """How classes differ: in richness at every size, in its parts at the chosen one.

    Columns: unit, chosen (whether the size is the one chosen beforehand for this reading), and
    those of ``stratified.differences``. A sub-class has rows at its chosen size alone. No rows
    where two classes cannot be compared at any size.
    """

    @cache
    def parts(size: int) -> list[Outcome]:
        return decomposed(h, next(one for one in sizes if one.size == size))

    @cache
    def standardised(share: float) -> Outcome:
        return log_at_coverage(h, share)

    doubled = sample_coverage(h, 2 * h.exposure)
    rows: list[dict[str, Any]] = []
    for sides in readings(subject):
        chosen = common_size(h, sides)
        if chosen is None:
            continue
        main = sides.reading in (STUDIED, GRAMMAR, WITH_MARKS)
        outcomes = [one for one in sizes if main or one.size == chosen]
        outcomes += parts(chosen)
        share = common_share(h, sides, doubled)
        outcomes += [] if share is None else [standardised(share)]
        for outcome in outcomes:
            by_coverage = outcome.name == "at_coverage"
            eligible = reaching(h, min(SIZES) if by_coverage else int(outcome.size))
            picked = {"unit": h.unit, "chosen": by_coverage or outcome.size == chosen}
            found = differences(sides, outcome, h.exposure, eligible, subject.seed, draws)
            rows += [picked | row for row in found]
    return pl.DataFrame(rows, _DIFFERENCES)


_GROUPS = {
    "unit": pl.String, "by": pl.String, "group": pl.String, "size": pl.Int64, "types": pl.Int64,
    "richness": pl.Float64, "low": pl.Float64, "high": pl.Float64,
}  # fmt: skip
_DIFFERENCES = {
    "unit": pl.String, "chosen": pl.Boolean, "reading": pl.String, "outcome": pl.String,
    "size": pl.Float64, "stratified": pl.Boolean, "function": pl.Int64, "content": pl.Int64,
    "strata": pl.Int64, "compared": pl.Int64, "effect": pl.Float64, "low": pl.Float64,
    "high": pl.Float64, "p_value": pl.Float64, "note": pl.String,
}  # fmt: skip

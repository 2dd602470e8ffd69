"""A joint permutation test of the whole specification curve.

Specifications share their data, so one chance deviation moves them all. Token types are permuted
with all their outcomes (whatever the rule, exclusion, unit or exposure), within deciles of
frequency, and the main effect of class is recomputed under every specification. The test statistics
are the median over the curve and the share of specifications above 0, each as its distance from its
own mean over the permutations, so that what frequency alone gives is not counted (Simonsohn et al.
2020; ``docs/methods.md#specification-curve``).

The same permutation is used for every definition, so overlapping definitions stay overlapping.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Int

from functok.controls.types.factorial import LEAST, balanced
from functok.graph.contrasts import WHOLE, Sides
from functok.richness.stratified import deciles

DRAWS = 999
SEPARABLE = "definitions by form"


def joint_test(
    outcomes: Float[np.ndarray, "specifications vocabulary"],
    sides: Sequence[Sides],
    occurrences: Int[np.ndarray, " vocabulary"],
    seed: int,
    draws: int = DRAWS,
) -> dict[str, tuple[float, float]]:
    """p of the median and p of the sign, of every definition and of all but sub-classes.

    Args:
        outcomes: log richness of every type in every specification; NaN where there is none.
        sides: definitions in which class is not frequency under another name.
        occurrences: of every type.
        seed: of the permutations.
        draws: permutations.
    """
    if not len(outcomes) or not len(sides):
        return {}
    some = np.isfinite(outcomes).any(0) & np.any([one.function | one.content for one in sides], 0)
    types = np.flatnonzero(some)
    order = _permutations(deciles(occurrences[types]), seed, draws)
    curves, found = [], {}
    for one in sides:
        curve = class_effects(outcomes, one, occurrences, types, order)
        if curve.shape[1]:
            found[one.reading] = _p_values(curve)
            if one.reading in WHOLE:
                curves.append(curve)
    if curves:
        found[SEPARABLE] = _p_values(np.concatenate(curves, axis=1))
    return found


def class_effects(
    outcomes: Float[np.ndarray, "specifications vocabulary"],
    sides: Sides,
    occurrences: Int[np.ndarray, " vocabulary"],
    types: Int[np.ndarray, " types"],
    order: Int[np.ndarray, "draws types"],
) -> Float[np.ndarray, "draws kept"]:
    """The main effect of class under every permutation, of specifications with enough types.

    NaN for a permutation that leaves a cell empty.
    """
    function, content = sides.function[types][order], sides.content[types][order]
    kept = []
    for values in outcomes:
        here = sides.among(np.isfinite(values))
        high = occurrences >= balanced(here, occurrences)
        cells = [
            int((side & level).sum())
            for side in (here.function, here.content)
            for level in (high, ~high)
        ]
        if min(cells) >= LEAST:
            kept.append((values[types], high[types]))
    if not kept:
        return np.empty((len(order), 0))
    y = np.array([values for values, _ in kept])
    known, y = np.isfinite(y), np.nan_to_num(y)
    high = np.array([level for _, level in kept])
    total = np.zeros((len(order), len(kept)))
    for level in (known & high, known & ~high):
        total += _mean(function, y, level) - _mean(content, y, level)
    return total / 2


def _mean(
    side: Bool[np.ndarray, "draws types"],
    y: Float[np.ndarray, "kept types"],
    level: Bool[np.ndarray, "kept types"],
) -> Float[np.ndarray, "draws kept"]:
    mine = side.astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        return (mine @ (y * level).T) / (mine @ level.astype(np.float64).T)


def _permutations(
    strata: Int[np.ndarray, " types"], seed: int, draws: int
) -> Int[np.ndarray, "draws types"]:
    """Which type's class each type gets; the first row is the observed order."""
    chance = np.random.default_rng(seed)
    found = np.tile(np.arange(len(strata)), (draws + 1, 1))
    for stratum in np.unique(strata):
        places = np.flatnonzero(strata == stratum)
        found[1:, places] = chance.permuted(found[1:, places], axis=1)
    return found


def _p_values(curve: Float[np.ndarray, "draws kept"]) -> tuple[float, float]:
    return _p(np.nanmedian(curve, axis=1)), _p(np.nanmean(curve > 0, axis=1))


def _p(statistic: Float[np.ndarray, " draws"]) -> float:
    apart = np.abs(statistic - statistic.mean())
    return float(np.mean(apart >= apart[0] * (1 - 1e-12)))

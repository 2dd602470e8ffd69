"""Permutation tests: labels, signs or residuals are permuted.

Every p is two-sided and counts the observed arrangement among the draws, (1 + hits)/(1 + draws): a
permutation test that reports p = 0 claims more than it tried (Phipson & Smyth 2010). Where all
arrangements can be enumerated, they are, and p is exact. See ``docs/methods.md#permutation``.
"""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Shaped

DRAWS = 4999
_EXACT_PAIRS = 16
_CELLS = 1 << 22


@dataclass(frozen=True)
class Permutation:
    """An effect with its permutation p."""

    effect: float
    """The observed statistic, in the unit of the values; NaN if nothing can be compared."""
    standard_error: float
    """Of the effect with the units as a sample: unequal spread allowed."""
    p_value: float
    """Two-sided."""
    draws: int
    """Permutations tried, or all there are."""
    units: int
    """Units that take part."""


_NONE = Permutation(math.nan, math.nan, math.nan, 0, 0)


def permute_labels(
    values: Float[np.ndarray, " units"],
    labelled: Bool[np.ndarray, " units"],
    strata: Shaped[np.ndarray, " units"] | None = None,
    seed: int = 0,
    draws: int = DRAWS,
) -> Permutation:
    """Mean of the labelled minus mean of the others, labels permuted within strata.

    The strata's differences are averaged with weights n₁n₀/(n₁ + n₀), as in a regression with one
    intercept each; then the whole statistic is, but for a constant, the labelled units' sum of
    deviations from their stratum's mean. A stratum without both kinds takes no part.

    Args:
        values: finite.
        labelled: whether each unit belongs to the class in question.
        strata: of each unit; by default all are in one.
    """
    place = np.zeros(len(values), np.int64)
    if strata is not None:
        _, place = np.unique(strata, return_inverse=True)
    chance = np.random.default_rng(seed)
    observed, weight, variance, units = 0.0, 0.0, 0.0, 0
    permuted = np.zeros(draws)
    for stratum in range(place.max(initial=-1) + 1):
        inside = place == stratum
        mine = labelled[inside]
        many = int(mine.sum())
        few = len(mine) - many
        if many == 0 or few == 0:
            continue
        apart = values[inside] - values[inside].mean()
        share = many * few / len(mine)
        observed += apart[mine].sum()
        weight += share
        units += len(mine)
        for part in (apart[mine], apart[~mine]):
            # a single unit has no variance: take the stratum's
            spread = part.var(ddof=1) if len(part) > 1 else apart.var(ddof=1)
            variance += share**2 * spread / len(part)
        permuted += _permuted_sums(apart, many, chance, draws)
    if weight == 0:
        return _NONE
    hits = np.count_nonzero(_at_least(np.abs(permuted), abs(observed)))
    return Permutation(
        effect=float(observed / weight),
        standard_error=math.sqrt(variance) / weight,
        p_value=(1 + hits) / (1 + draws),
        draws=draws,
        units=units,
    )


def stratified_weights(
    labelled: Bool[np.ndarray, " units"], strata: Shaped[np.ndarray, " units"] | None = None
) -> Float[np.ndarray, " units"]:
    """Weight of each unit in the effect of ``permute_labels``; the effect is weights · values.

    All 0 if nothing can be compared.
    """
    place = np.zeros(len(labelled), np.int64)
    if strata is not None:
        _, place = np.unique(strata, return_inverse=True)
    size = place.max(initial=-1) + 1
    many = np.bincount(place[labelled], minlength=size)
    few = np.bincount(place[~labelled], minlength=size)
    share = many * few / np.maximum(many + few, 1)
    up, down = share / np.maximum(many, 1), -share / np.maximum(few, 1)
    return np.where(labelled, up[place], down[place]) / max(share.sum(), 1e-300)


def _permuted_sums(
    apart: Float[np.ndarray, " units"], labelled: int, chance: np.random.Generator, draws: int
) -> Float[np.ndarray, " draws"]:
    """Sums of ``labelled`` of the units at random; all units add up to 0."""
    rest = len(apart) - labelled
    fewer, sign = (labelled, 1) if labelled <= rest else (rest, -1)
    found = np.empty(draws)
    for rows in _chunks(draws, len(apart)):
        table = np.broadcast_to(apart, (rows.stop - rows.start, len(apart)))
        if fewer * 8 < len(apart):  # shuffle no further than needed
            found[rows] = _first_of_shuffled(table, fewer, chance)
        else:
            found[rows] = chance.permuted(table, axis=1)[:, :fewer].sum(1)
    return sign * found


def _first_of_shuffled(
    table: Float[np.ndarray, "draws units"], first: int, chance: np.random.Generator
) -> Float[np.ndarray, " draws"]:
    """Sums of ``first`` units of each row at random: Fisher & Yates, stopped there."""
    draws, units = table.shape
    waiting, row, total = table.copy(), np.arange(draws), np.zeros(draws)
    for place in range(first):
        taken = chance.integers(place, units, draws)
        total += waiting[row, taken]
        waiting[row, taken] = waiting[:, place]
    return total


def sign_flip(
    differences: Float[np.ndarray, " pairs"], seed: int = 0, draws: int = DRAWS
) -> Permutation:
    """Mean of paired differences; under the null each has either sign with equal probability.

    Up to 16 pairs all choices of signs are enumerated: the smallest p of n pairs is 2¹⁻ⁿ.
    """
    size = len(differences)
    if size == 0:
        return _NONE
    observed = abs(differences.sum())
    if size <= _EXACT_PAIRS:
        signs = 1 - 2 * (np.arange(1 << size)[:, None] >> np.arange(size) & 1)
        reached = _at_least(np.abs(signs @ differences), observed)
        tried, p_value = len(signs), float(reached.mean())
    else:
        chance, hits = np.random.default_rng(seed), 0
        for rows in _chunks(draws, size):
            signs = chance.integers(0, 2, (rows.stop - rows.start, size), np.int8) * 2 - 1
            hits += np.count_nonzero(_at_least(np.abs(signs @ differences), observed))
        tried, p_value = draws, (1 + hits) / (1 + draws)
    error = differences.std(ddof=1) / math.sqrt(size) if size > 1 else math.nan
    return Permutation(float(differences.mean()), float(error), p_value, tried, size)


def freedman_lane(
    outcome: Float[np.ndarray, " units"],
    design: Float[np.ndarray, "units terms"],
    term: int,
    seed: int = 0,
    draws: int = DRAWS,
) -> Permutation:
    """One coefficient of a least-squares regression, the residuals without it permuted.

    The test statistic is the coefficient over its HC3 standard error, which keeps the test valid
    under unequal variances (Freedman & Lane 1983; DiCiccio & Romano 2017).

    Args:
        outcome: what is explained.
        design: with its intercept, of full column rank.
        term: column of ``design``.
    """
    units, terms = design.shape
    others = np.linalg.qr(np.delete(design, term, axis=1))[0]
    alone = design[:, term] - others @ (others.T @ design[:, term])
    strength = alone @ alone
    if units <= terms or strength <= 1e-10 * max(design[:, term] @ design[:, term], 1e-300):
        return _NONE
    basis = np.column_stack([others, alone / math.sqrt(strength)])
    free = np.maximum(1 - np.square(basis).sum(1), 1e-12)  # 1 − leverage

    def fitted(rows: Float[np.ndarray, "draws units"]) -> tuple[np.ndarray, np.ndarray]:
        left = (rows - rows @ basis @ basis.T) * (alone / free)
        return rows @ alone / strength, np.sqrt(np.square(left).sum(1)) / strength

    residual = outcome - others @ (others.T @ outcome)
    (effect,), (error,) = fitted(residual[None])
    chance, hits = np.random.default_rng(seed), 0
    for rows in _chunks(draws, units):
        table = np.broadcast_to(residual, (rows.stop - rows.start, units))
        drawn, errors = fitted(chance.permuted(table, axis=1))
        hits += np.count_nonzero(_at_least(np.abs(drawn) * error, abs(effect) * errors))
    return Permutation(float(effect), float(error), (1 + hits) / (1 + draws), draws, units)


def _chunks(draws: int, units: int) -> list[slice]:
    """Draws at a time, so that a table of them stays small."""
    step = max(_CELLS // max(units, 1), 1)
    return [slice(start, min(start + step, draws)) for start in range(0, draws, step)]


def _at_least(
    values: Float[np.ndarray, " draws"], observed: float | Float[np.ndarray, " draws"]
) -> Bool[np.ndarray, " draws"]:
    """values ≥ observed, equal up to rounding counting as equal."""
    return values >= observed - 1e-12 * np.maximum(np.abs(observed), 1e-300)

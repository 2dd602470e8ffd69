"""Cluster bootstrap: whole units are drawn again, with replacement.

A statistic is a function of how often each unit was drawn, so a unit (a document, a fact, a token
type) always comes with all that belongs to it. Percentile intervals, or BCa (Efron 1987), which
corrects for bias and for a spread that changes with the value.

Where rows and columns are both samples (documents × token types), both are drawn at once (the
pigeonhole bootstrap, Owen 2007): its variance is that of rows plus that of columns, and counts the
part they share twice, hence errs on the wide side.

Not for the number of distinct things: a unit drawn twice adds nothing new, so richness and
coverage come out too low in every draw. For these, use the jackknife.
"""

import math
from collections.abc import Callable
from typing import Literal

import numpy as np
from jaxtyping import Float, Int
from scipy.special import ndtr, ndtri

from functok.stats.estimate import Estimate

DRAWS = 2000

Weighted = Callable[[Int[np.ndarray, " units"]], float]
"""Maps how often each unit was drawn to the statistic."""


def bootstrap(
    statistic: Weighted,
    units: int,
    seed: int,
    method: Literal["percentile", "bca"] = "bca",
    draws: int = DRAWS,
    level: float = 0.95,
) -> Estimate:
    """Bootstrap interval of ``statistic`` over ``units``."""
    chance = np.random.default_rng(seed)
    once = np.ones(units, np.int64)
    value = float(statistic(once))
    if units < 2:
        return Estimate(value, math.nan, math.nan)
    drawn = np.array([statistic(_drawn(chance, units)) for _ in range(draws)], float)
    if not np.isfinite(drawn).all():
        return Estimate(value, math.nan, math.nan)
    tails = np.array([(1 - level) / 2, (1 + level) / 2])
    if method == "bca":
        left_out = np.array(
            [statistic(once - (np.arange(units) == unit)) for unit in range(units)], float
        )
        tails = _bca_tails(tails, value, drawn, left_out)
    return _interval(value, drawn, tails)


def two_way_bootstrap(
    statistic: Callable[[Int[np.ndarray, " rows"], Int[np.ndarray, " columns"]], float],
    rows: int,
    columns: int,
    seed: int,
    draws: int = DRAWS,
    level: float = 0.95,
) -> Estimate:
    """Percentile interval where both the rows and the columns of a table are samples."""
    chance = np.random.default_rng(seed)
    value = float(statistic(np.ones(rows, np.int64), np.ones(columns, np.int64)))
    if rows < 2 or columns < 2:
        return Estimate(value, math.nan, math.nan)
    drawn = np.array(
        [statistic(_drawn(chance, rows), _drawn(chance, columns)) for _ in range(draws)], float
    )
    return _interval(value, drawn, np.array([(1 - level) / 2, (1 + level) / 2]))


def _drawn(chance: np.random.Generator, units: int) -> Int[np.ndarray, " units"]:
    return np.bincount(chance.integers(0, units, units), minlength=units)


def _interval(value: float, drawn: np.ndarray, tails: np.ndarray) -> Estimate:
    if not (np.isfinite(drawn).all() and np.isfinite(tails).all()):
        return Estimate(value, math.nan, math.nan)
    low, high = np.quantile(drawn, tails)
    return Estimate(value, float(low), float(high))


def _bca_tails(
    tails: Float[np.ndarray, " ends"],
    value: float,
    drawn: Float[np.ndarray, " draws"],
    left_out: Float[np.ndarray, " units"],
) -> Float[np.ndarray, " ends"]:
    """The quantiles of the draws that make the interval's ends."""
    if np.ptp(drawn) == 0:
        return tails
    share = (np.mean(drawn < value) + np.mean(drawn <= value)) / 2
    bias = ndtri(share)
    apart = left_out.mean() - left_out
    scale = np.square(apart).sum() ** 1.5
    acceleration = (apart**3).sum() / (6 * scale) if scale > 0 else 0.0
    shifted = bias + ndtri(tails)
    return ndtr(bias + shifted / (1 - acceleration * shifted))

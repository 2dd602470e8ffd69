"""Frequency × class: a 2×2 of high or low frequency and function or content types.

The main effect of class is the mean of its two differences, one among frequent and one among rare
types; that of frequency likewise; the interaction is the difference of the differences. All are
differences of mean log richness at equal exposure, so exp(effect) is a ratio. It is a description:
within a level function types are still the more frequent ones, so the declared tests hold frequency
equal by a regression (``docs/methods.md#factorial``).

"High" is defined in two ways: ``balanced``, the bound that makes the smallest of the four cells as
large as can be (it depends on frequencies, never on outcomes), and ``frequent set``, the paper's
own. Under the paper's definition of "function" two of the cells are empty: class and frequency
are then the same thing, no table can separate them, and the row says so.

p values come from permuting class labels within each level of frequency (for frequency: its labels
within each class), 4,999 times, with a studentised statistic, which is valid where cells differ in
variance (Janssen 1997). The interaction has no exact permutation test: its p permutes the residuals
of the additive model (Freedman & Lane 1983).

What would surprise: within "high", function types are still more frequent than content types
(``mean_log_n`` gives the means). Richness at equal exposure does not depend on frequency by
construction, yet it may in fact; matched pairs and the regression adjust for that.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from jaxtyping import Bool, Float, Int

from functok.graph.contrasts import GRAMMAR, STUDIED, WITH_MARKS, Sides, frequent_set
from functok.richness.replicates import Replicates
from functok.stats import Estimate, freedman_lane
from functok.stats.two_way import two_way

LEAST = 5
"""Fewest types in each of the four cells."""
DRAWS = 4999
FEWER_DRAWS = 999
"""For sub-classes and interactions."""
BALANCED, FREQUENT = "balanced", "frequent set"


class Factorial(NamedTuple):
    """The 2×2 of every reading."""

    cells: pl.DataFrame
    """Columns: reading, split, frequency (``high``, ``low``), class (``function``, ``content``),
    types, mean and sd (of the outcome), mean_log_n (mean log occurrences)."""
    effects: pl.DataFrame
    """Columns: reading, split, bound (fewest occurrences of a frequent type), effect (``class``,
    ``frequency``, ``interaction``), value, low, high (95 %, documents × types), p_value (two-sided
    permutation), types, note (why there is no value; else null)."""


def factorial(
    outcome: Float[np.ndarray, " vocabulary"],
    occurrences: Int[np.ndarray, " vocabulary"],
    sides: Sequence[Sides],
    seed: int,
    left_out: Replicates | None = None,
) -> Factorial:
    """Every reading's cells and effects.

    Args:
        outcome: of every type, log richness at equal exposure; NaN where it has too few.
        occurrences: of every type.
        sides: of ``readings``.
        seed: of the permutations.
        left_out: the outcome without each hash group of documents.
    """
    known = np.isfinite(outcome)
    frequent = frequent_set(occurrences)
    cells, effects = [], []
    for one in sides:
        here = one.among(known)
        main = one.reading in (STUDIED, GRAMMAR, WITH_MARKS)
        splits = {BALANCED: occurrences >= balanced(here, occurrences)}
        if main:
            splits[FREQUENT] = frequent
        for split, high in splits.items():
            four = _Four.of(here, high)
            keys = {"reading": one.reading, "split": split}
            cells += [keys | row for row in four.rows(outcome, occurrences)]
            bound = int(occurrences[high].min()) if high.any() else 0
            found = _effects(four, outcome, left_out, seed, DRAWS if main else FEWER_DRAWS)
            effects += [keys | {"bound": bound} | row for row in found]
    return Factorial(pl.DataFrame(cells, _CELLS), pl.DataFrame(effects, _EFFECTS))


_CELLS = {
    "reading": pl.String, "split": pl.String, "frequency": pl.String, "class": pl.String,
    "types": pl.Int64, "mean": pl.Float64, "sd": pl.Float64, "mean_log_n": pl.Float64,
}  # fmt: skip
_EFFECTS = {
    "reading": pl.String, "split": pl.String, "bound": pl.Int64, "effect": pl.String,
    "value": pl.Float64, "low": pl.Float64, "high": pl.Float64, "p_value": pl.Float64,
    "types": pl.Int64, "note": pl.String,
}  # fmt: skip


def class_alone(
    outcome: Float[np.ndarray, " vocabulary"],
    occurrences: Int[np.ndarray, " vocabulary"],
    sides: Sides,
    left_out: Replicates | None,
) -> tuple[Estimate, int] | None:
    """The main effect of class by the balanced split, without its p, and the number of types.

    None if a cell has too few.
    """
    here = sides.among(np.isfinite(outcome))
    four = _Four.of(here, occurrences >= balanced(here, occurrences))
    if min(len(ids) for ids in four) < LEAST:
        return None
    ids = np.concatenate(four)
    without = None if left_out is None else left_out.of(ids)
    return _estimate([outcome[some] for some in four], _SIGNS["class"], without), len(ids)


def balanced(sides: Sides, occurrences: np.ndarray) -> int:
    """The bound that makes the smallest of the four cells largest; the lowest of equal ones."""
    if not sides.least:
        return 0
    bounds = np.unique(occurrences[sides.function | sides.content])
    smallest = np.full(len(bounds), np.iinfo(np.int64).max)
    for mask in (sides.function, sides.content):
        low = np.searchsorted(np.sort(occurrences[mask]), bounds)
        smallest = np.minimum(smallest, np.minimum(low, mask.sum() - low))
    return int(bounds[smallest.argmax()])


class _Four(NamedTuple):
    """Token ids of the four cells."""

    high_function: Int[np.ndarray, " types"]
    high_content: Int[np.ndarray, " types"]
    low_function: Int[np.ndarray, " types"]
    low_content: Int[np.ndarray, " types"]

    @classmethod
    def of(cls, sides: Sides, high: Bool[np.ndarray, " vocabulary"]) -> "_Four":
        masks = [
            side & level for level in (high, ~high) for side in (sides.function, sides.content)
        ]
        return cls(*(np.flatnonzero(mask) for mask in masks))

    def rows(self, outcome: np.ndarray, occurrences: np.ndarray) -> list[dict[str, Any]]:
        found = []
        for name, ids in self._asdict().items():
            level, side = name.split("_")
            some = outcome[ids]
            found.append(
                {
                    "frequency": level,
                    "class": side,
                    "types": len(ids),
                    "mean": float(some.mean()) if len(ids) else math.nan,
                    "sd": float(some.std(ddof=1)) if len(ids) > 1 else math.nan,
                    "mean_log_n": float(np.log(occurrences[ids]).mean()) if len(ids) else math.nan,
                }
            )
        return found


_SIGNS = {
    "class": (0.5, -0.5, 0.5, -0.5),
    "frequency": (0.5, 0.5, -0.5, -0.5),
    "interaction": (1.0, -1.0, -1.0, 1.0),
}
"""Of the four cells' means in each effect."""


def _effects(
    four: _Four, outcome: np.ndarray, left_out: Replicates | None, seed: int, draws: int
) -> list[dict[str, Any]]:
    sizes = [len(ids) for ids in four]
    ids = np.concatenate(four)
    if min(sizes) < LEAST:
        empty = "class and frequency cannot be separated: " if min(sizes) == 0 else ""
        names = [name.replace("_", ", ") for name in four._fields]
        note = f"{empty}the cell {names[int(np.argmin(sizes))]} has {min(sizes)} types"
        nothing = dict.fromkeys(("value", "low", "high", "p_value"), math.nan)
        return [{"effect": name, **nothing, "types": len(ids), "note": note} for name in _SIGNS]
    without = None if left_out is None else left_out.of(ids)
    parts = [outcome[some] for some in four]
    p_values = {
        "class": _permutation_p([parts[0:2], parts[2:4]], seed, draws),
        "frequency": _permutation_p([parts[0::2], parts[1::2]], seed + 1, draws),
        "interaction": _interaction_p(parts, seed + 2),
    }
    return [
        {"effect": name, **vars(_estimate(parts, signs, without)), "p_value": p_values[name]}
        | {"types": len(ids), "note": None}
        for name, signs in _SIGNS.items()
    ]


def _estimate(
    parts: list[np.ndarray], signs: tuple[float, ...], without: np.ndarray | None
) -> Estimate:
    """A contrast of the four cells' means, over documents × types."""
    y, sizes = np.concatenate(parts), [len(part) for part in parts]
    weights = np.repeat([s / n for s, n in zip(signs, sizes, strict=True)], sizes)
    scaled = [
        s**2 * float(part.var(ddof=1)) / len(part) for s, part in zip(signs, parts, strict=True)
    ]
    variance = sum(scaled)
    squares = sum(part**2 / (n - 1) for part, n in zip(scaled, sizes, strict=True))
    freedom = variance**2 / squares if squares > 0 else float(len(y) - 4)
    return two_way(float(weights @ y), variance, freedom, weights, y, without)


def _permutation_p(strata: list[list[np.ndarray]], seed: int, draws: int) -> float:
    """Two-sided p of the mean over strata of (mean of the first − mean of the second).

    Which values are the first is permuted within each stratum; the statistic is divided by its
    standard error.
    """
    chance = np.random.default_rng(seed)
    effect, variance = np.zeros(draws + 1), np.zeros(draws + 1)
    for one, two in strata:
        swapped = len(one) > len(two)  # the smaller side is drawn
        few, rest = (len(two), len(one)) if swapped else (len(one), len(two))
        values = np.concatenate([one, two])
        values = values - values.mean()
        sums = np.empty((draws + 1, 2))
        mine = values[len(one) :] if swapped else values[: len(one)]
        sums[0] = mine.sum(), mine @ mine
        for draw in range(1, draws + 1):
            taken = values[chance.choice(len(values), few, replace=False, shuffle=False)]
            sums[draw] = taken.sum(), taken @ taken
        total, squares = sums.T
        mean, other = total / few, -total / rest
        spread = (squares - few * mean**2) / (few - 1) / few
        left = values @ values - squares
        effect += (other - mean) if swapped else (mean - other)
        variance += spread + (left - rest * other**2) / (rest - 1) / rest
    if not variance[0] > 0:
        return 1.0 if effect[0] == 0 else 1 / (1 + draws)
    with np.errstate(divide="ignore", invalid="ignore"):
        statistic = np.abs(effect) / np.sqrt(np.maximum(variance, 0))
    hits = np.count_nonzero(statistic[1:] >= statistic[0] * (1 - 1e-12))
    return (1 + hits) / (1 + draws)


def _interaction_p(parts: list[np.ndarray], seed: int) -> float:
    sizes = [len(part) for part in parts]
    function = np.repeat([0.5, -0.5, 0.5, -0.5], sizes)
    high = np.repeat([0.5, 0.5, -0.5, -0.5], sizes)
    design = np.column_stack([np.ones(len(high)), function, high, function * high])
    found = freedman_lane(np.concatenate(parts), design, 3, seed, FEWER_DRAWS)
    return found.p_value

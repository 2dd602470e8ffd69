"""Class and the raw degree, which depends on frequency: analyses without rarefaction.

* Partial Spearman correlation of class and degree given frequency: ranks alone, no shape assumed.
* The gap of raw degrees between classes, which the paper sees: frequency is not held equal.
* The overlap: how many types of either class there are at each frequency. Where one side has none,
  nothing that compares raw degrees can be said.

The first takes the types on the common support only.
"""

import math
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from jaxtyping import Bool, Float, Int
from scipy.special import ndtri, stdtr
from scipy.stats import rankdata

from functok.controls.types.regression import LEAST, common_support
from functok.graph.bipartite import TokenFeatureGraph
from functok.graph.contrasts import Sides
from functok.graph.scaling import Degrees
from functok.stats import Estimate, jackknife


class RawDegree(NamedTuple):
    """What raw degrees say."""

    effects: pl.DataFrame
    """Columns: reading, method (``partial Spearman``), value (ρ),
    low, high (95 %), p_value, types, note (why there is no value)."""
    overlap: pl.DataFrame
    """Columns: reading, from, below (occurrences, powers of two), function, content (types), common
    (whether the bin meets the common support)."""


def raw_degree(
    degree: Int[np.ndarray, " vocabulary"],
    occurrences: Int[np.ndarray, " vocabulary"],
    sides: Sequence[Sides],
) -> RawDegree:
    """Every reading.

    Args:
        degree: features of every type (``coverage.token_degrees``).
        occurrences: of every type.
        sides: of ``readings``.
    """
    log_n = np.log(np.maximum(occurrences, 1))
    effects, overlap = [], []
    for one in sides:
        common = common_support(one, log_n)
        some = one.among(common)
        types = some.function | some.content
        k, x = degree[types].astype(float), some.function[types].astype(float)
        keys = {"reading": one.reading, "types": len(k)}
        if some.least < LEAST:
            note = f"{some.function.sum()} function and {some.content.sum()} content types share a "
            note += f"range of frequencies, where {LEAST} of each are needed"
            nothing = dict.fromkeys(("value", "low", "high", "p_value"), math.nan)
            effects.append(keys | nothing | {"method": "partial Spearman", "note": note})
        else:
            effects.append(keys | partial_spearman(x, k, log_n[types]))
        overlap += _bins(one, occurrences, common)
    return RawDegree(pl.DataFrame(effects, _EFFECTS), pl.DataFrame(overlap, _OVERLAP))


def degree_gaps(graph: TokenFeatureGraph, sides: Sequence[Sides]) -> Iterator[Estimate | None]:
    """Log ratio of geometric mean degrees, function to content types, at their own occurrences;
    under each of some readings.

    The interval is a jackknife over hash groups of documents. None where a class has no type that
    reaches a feature.
    """
    degrees = Degrees.of(graph)
    used = np.flatnonzero(graph.token_occurrences.sum(1))

    def gap(one: Sides, kept: Bool[np.ndarray, " groups"]) -> float:
        degree = degrees.without(used[~kept])
        logs = [np.log(degree[side & (degree > 0)]) for side in (one.function, one.content)]
        return float(logs[0].mean() - logs[1].mean()) if all(map(len, logs)) else math.nan

    for one in sides:
        found = jackknife(partial(gap, one), len(used))
        yield found if math.isfinite(found.value) else None


_EFFECTS = {
    "reading": pl.String, "method": pl.String, "value": pl.Float64, "low": pl.Float64,
    "high": pl.Float64, "p_value": pl.Float64, "types": pl.Int64, "note": pl.String,
}  # fmt: skip
_OVERLAP = {
    "reading": pl.String, "from": pl.Int64, "below": pl.Int64, "function": pl.Int64,
    "content": pl.Int64, "common": pl.Boolean,
}  # fmt: skip


def partial_spearman(
    x: Float[np.ndarray, " types"],
    y: Float[np.ndarray, " types"],
    given: Float[np.ndarray, " types"],
) -> dict[str, Any]:
    """Spearman's ρ of x and y, their ranks freed of the ranks of ``given``; Fisher's interval."""
    ranks = np.column_stack([rankdata(column) for column in (x, y, given)])
    apart = ranks - ranks.mean(0)
    third = apart[:, 2]
    if third @ third > 0:
        apart = apart[:, :2] - np.outer(third, third @ apart[:, :2] / (third @ third))
    one, two = apart[:, 0], apart[:, 1]
    size = math.sqrt(one @ one) * math.sqrt(two @ two)
    if not size > 1e-9 * float(np.square(ranks - ranks.mean(0)).sum()):
        nothing = dict.fromkeys(("value", "low", "high", "p_value"), math.nan)
        return {"method": "partial Spearman", **nothing, "note": "class or degree does not vary"}
    rho = float(np.clip(one @ two / size, -1, 1))
    freedom = len(x) - 3
    half = float(ndtri(0.975)) / math.sqrt(freedom - 1)
    level = math.atanh(np.clip(rho, -1 + 1e-12, 1 - 1e-12))
    t = rho * math.sqrt(freedom / max(1 - rho**2, 1e-300))
    return {
        "method": "partial Spearman",
        "value": rho,
        "low": math.tanh(level - half),
        "high": math.tanh(level + half),
        "p_value": float(2 * stdtr(freedom, -abs(t))),
        "note": None,
    }


def _bins(one: Sides, occurrences: np.ndarray, common: np.ndarray) -> list[dict[str, Any]]:
    some = one.function | one.content
    if not some.any():
        return []
    octave = np.log2(np.maximum(occurrences, 1)).astype(np.int64)
    found = []
    for power in range(int(octave[some].min()), int(octave[some].max()) + 1):
        here = octave == power
        found.append(
            {
                "reading": one.reading,
                "from": 2**power,
                "below": 2 ** (power + 1),
                "function": int((here & one.function).sum()),
                "content": int((here & one.content).sum()),
                "common": bool((here & common & some).any()),
            }
        )
    return found

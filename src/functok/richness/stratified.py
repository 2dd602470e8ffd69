"""The stratified difference between function and content types, in any outcome.

The difference is one of mean logs, so exp(effect) is a ratio; p by permuting class labels within
deciles of N, the interval over documents × types (``two_way.py``; ``docs/methods.md#stratified``).
A frequent set by definition overlaps little with the rest in N: ``compared`` is the number of its
types that share a stratum with others. The same difference is also given without strata, since S(n)
is already at equal exposure.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from jaxtyping import Bool, Int

from functok.graph.contrasts import Sides
from functok.richness.outcomes import Outcome
from functok.stats import permute_labels, stratified_weights
from functok.stats.two_way import two_way

STRATA = 10


def deciles(exposure: Int[np.ndarray, " types"]) -> Int[np.ndarray, " types"]:
    """The stratum of each type: strata of equal size, but for ties."""
    if not len(exposure):
        return np.zeros(0, np.int64)
    edges = np.quantile(exposure, np.arange(1, STRATA) / STRATA)
    return np.searchsorted(edges, exposure, side="right")


def differences(
    sides: Sides,
    outcome: Outcome,
    exposure: Int[np.ndarray, " vocabulary"],
    eligible: Bool[np.ndarray, " vocabulary"],
    seed: int,
    draws: int,
) -> Iterator[dict[str, Any]]:
    """A row with strata of N, and one without.

    Columns: reading, outcome, size, stratified, function and content (types that have the
    outcome), strata (that contain both classes), compared (function types in them), effect with
    low and high (95 %, difference of mean logs), p_value, note (why there is none; else null).
    """
    known = sides.among(eligible & np.isfinite(outcome.values))
    used = known.function | known.content
    values, mine = outcome.values[used], known.function[used]
    without = None if outcome.left_out is None else outcome.left_out.of(used)
    alike = np.zeros(len(values), np.int64)
    for stratified, strata in ((True, deciles(exposure[used])), (False, alike)):
        weights = stratified_weights(mine, strata)
        found = permute_labels(values, mine, strata, seed, draws)
        both = mine & (weights != 0)
        interval = two_way(
            found.effect,
            found.standard_error**2,
            float(max(found.units - 2, 1)),
            weights,
            values,
            without,
        )
        missing = "no stratum holds types of both sides" if stratified else "one side has no type"
        yield {
            "reading": sides.reading,
            "outcome": outcome.name,
            "size": float(outcome.size),
            "stratified": stratified,
            "function": int(mine.sum()),
            "content": int((~mine).sum()),
            "strata": len(np.unique(strata[both])),
            "compared": int(both.sum()),
            "effect": found.effect,
            "low": interval.low,
            "high": interval.high,
            "p_value": found.p_value,
            "note": None if found.units else missing,
        }

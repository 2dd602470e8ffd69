"""Differences of pairs, without assuming a distribution (``docs/methods.md#hodges-lehmann``).

Pairs: the Hodges–Lehmann estimate is the median of all (d_i + d_j)/2, i ≤ j; its interval inverts
Wilcoxon's signed-rank test (exact up to 100 pairs). A tenth of wild pairs moves it little.
"""

import math

import numpy as np
from jaxtyping import Float
from scipy.special import ndtri

from functok.stats.estimate import Estimate

_EXACT = 100
"""Pairs up to which the signed-rank distribution is counted out."""


def hodges_lehmann(differences: Float[np.ndarray, " pairs"], level: float = 0.95) -> Estimate:
    """Pseudo-median of paired differences; fewer than 6 pairs have no 95 % interval."""
    ordered = np.sort(differences)
    size = len(ordered)
    if size == 0:
        return Estimate(math.nan, math.nan, math.nan)
    averages = size * (size + 1) // 2
    middle = [_walsh(ordered, (averages + 1) // 2), _walsh(ordered, averages // 2 + 1)]
    rank = _lower_rank(size, (1 - level) / 2)
    if rank == 0:
        return Estimate(sum(middle) / 2, math.nan, math.nan)
    return Estimate(sum(middle) / 2, _walsh(ordered, rank), _walsh(ordered, averages + 1 - rank))


def _walsh(ordered: Float[np.ndarray, " pairs"], rank: int) -> float:
    """The rank-th smallest (x_i + x_j)/2, i ≤ j, by bisection: no list of n² numbers."""
    below, at = ordered[0] - 1.0, ordered[-1]
    for _ in range(200):
        half = below + (at - below) / 2
        if half in (below, at):
            break
        partners = np.searchsorted(ordered, 2 * half - ordered, side="right")
        if np.maximum(partners - np.arange(len(ordered)), 0).sum() >= rank:
            at = half
        else:
            below = half
    return float(at)


def _lower_rank(size: int, tail: float) -> int:
    """Largest r with P(signed-rank sum < r) ≤ tail; 0 where there is none."""
    if size > _EXACT:
        spread = math.sqrt(size * (size + 1) * (2 * size + 1) / 24)
        return max(round(size * (size + 1) / 4 + float(ndtri(tail)) * spread), 0)
    ways = np.ones(1)
    for rank in range(1, size + 1):
        longer = np.zeros(len(ways) + rank)
        longer[: len(ways)] += ways / 2
        longer[rank:] += ways / 2
        ways = longer
    return int(np.searchsorted(np.cumsum(ways), tail, side="right"))

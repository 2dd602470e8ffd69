"""Do positions of some types reach more features than those of types assigned at random?

A token's occurrences resemble each other, most of all if a feature only names the token; so *any*
set of types reaches fewer features than the same number of positions from everywhere. The fair
reference for a set of types is another set of whole types. Here class is assigned at random over
all types of both classes, until the dealt set has as many positions as the function types have, and

    T(set) = log S_set(n) − log S_rest(n)

is compared with its value for the function types themselves; S(n) is the number of features
expected at n of a set's positions, in closed form (``pools.py``), and n the same on both sides.
Types are the units: the spread of T is that of the choice of types.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy import sparse

from functok.graph.bipartite import TokenFeatureGraph
from functok.graph.contrasts import Sides
from functok.graph.export import csr
from functok.stats import log_missed

_CELLS = 1 << 21


@dataclass(frozen=True)
class WholeTypes:
    """Every type's features."""

    occurrences: Int[np.ndarray, " vocabulary"]
    active: sparse.csr_array
    """[vocabulary, features]: positions of the token at which the feature is active."""

    @classmethod
    def of(cls, graph: TokenFeatureGraph) -> "WholeTypes":
        return cls(graph.token_occurrences.sum(0), csr(graph))

    def contrasts(
        self, sides: Sides, drawn: Sequence[int], seed: int, draws: int
    ) -> Float[np.ndarray, "sets sizes"]:
        """T at each number of positions, first of the function types, then of each dealt set.

        NaN where a side has no position, or no feature.

        Args:
            sides: the classes.
            drawn: n, or all that the smaller side of a set has.
            seed: of the deals.
            draws: deals.
        """
        ids = np.flatnonzero((sides.function | sides.content) & (self.occurrences > 0))
        sizes, active = self.occurrences[ids], self.active[ids]
        every = np.asarray(active.sum(0)).ravel()
        mine = sides.function[ids]
        wanted = int(sizes[mine].sum())
        chance = np.random.default_rng(seed)
        found = np.full((draws + 1, len(drawn)), np.nan)
        step = max(_CELLS // max(len(every) * len(drawn), 1), 1)
        for start in range(0, draws + 1, step):
            rows = range(start, min(start + step, draws + 1))
            dealt = np.array([_dealt(sizes, wanted, chance) if row else mine for row in rows])
            counts = np.asarray(active.T @ dealt.T.astype(np.int64)).T
            inside = dealt @ sizes
            outside = sizes.sum() - inside
            n = np.minimum(np.asarray(drawn, np.int64), np.minimum(inside, outside)[:, None])
            found[rows] = _log_reached(counts, inside, n)
            found[rows] -= _log_reached(every - counts, outside, n)
        return found


def _dealt(
    sizes: Int[np.ndarray, " types"], wanted: int, chance: np.random.Generator
) -> np.ndarray:
    """Types in random order until ``wanted`` positions are there."""
    order = chance.permutation(len(sizes))
    before = np.cumsum(sizes[order]) - sizes[order]
    found = np.zeros(len(sizes), bool)
    found[order[before < wanted]] = True
    return found


def _log_reached(
    counts: Int[np.ndarray, "sets features"],
    positions: Int[np.ndarray, " sets"],
    drawn: Int[np.ndarray, "sets sizes"],
) -> Float[np.ndarray, "sets sizes"]:
    """log S of each set, from the number of its positions at which each feature is active."""
    features = [np.bincount(one)[1:] for one in counts]  # by that number, from 1 on
    times = [np.flatnonzero(one) for one in features]
    lengths = np.array([*map(len, times)])
    found = np.full(drawn.shape, np.nan)
    some = lengths > 0
    if some.any():
        each = np.concatenate(times)[:, None] + 1
        missed = log_missed(each, positions.repeat(lengths)[:, None], drawn.repeat(lengths, 0))
        weights = np.concatenate([one[at] for one, at in zip(features, times, strict=True)])
        starts = (np.cumsum(lengths) - lengths)[some]
        found[some] = np.add.reduceat(weights[:, None] * -np.expm1(missed), starts)
    return np.log(np.where(found > 0, found, np.nan))

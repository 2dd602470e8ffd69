"""How many features do n random positions of a pool reach? In closed form, for each group left out.

A pool is any set of positions of which n are drawn without replacement: all positions, those of
content tokens, those that follow a function token. With Y_j positions of feature j among its N,

    E = Σ_j [1 − C(N − Y_j, n) / C(N, n)]

The set in question is itself a pool, from which the same number of positions is drawn: so it is
thinned to any n without simulation. A stratified draw (a fixed number of positions from every
document) has a closed form as well, since the strata are drawn independently:

    E = Σ_j [1 − Π_s C(N_s − Y_sj, n_s) / C(N_s, n_s)]
"""

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, Num

from functok.corpus.splits import GROUPS
from functok.graph.bipartite import TokenFeatureGraph
from functok.stats import log_missed

Tokens = Bool[np.ndarray, " vocabulary"]
_CELLS = 1 << 27


class _Histograms(NamedTuple):
    """How many features are active at how many positions, of every sample one after another."""

    sample: Int[np.ndarray, " cells"]
    counts: Int[np.ndarray, " cells"]
    times: Int[np.ndarray, " cells"]


class Pool:
    """Positions to draw from, by hash group of documents; groups without any are left out."""

    def __init__(
        self, activity: Int[np.ndarray, "groups features"], positions: Int[np.ndarray, " groups"]
    ) -> None:
        """A pool.

        Args:
            activity: positions at which each feature is active.
            positions: that there are.
        """
        self.activity, self.positions = activity, positions

    @cached_property
    def sizes(self) -> Int[np.ndarray, " samples"]:
        """N of the whole, then without each group."""
        return _samples(self.positions)

    @cached_property
    def firings(self) -> Int[np.ndarray, " samples"]:
        """Σ_j Y_j of the whole, then without each group."""
        return _samples(self.activity.sum(1, dtype=np.int64))

    @cached_property
    def _histograms(self) -> _Histograms:
        whole = self.activity.sum(0, dtype=np.int64)
        found = [
            np.stack(np.unique(kept[kept > 0], return_counts=True))
            for kept in (whole, *(whole - one for one in self.activity))
        ]
        sample = np.repeat(np.arange(len(found)), [one.shape[1] for one in found])
        return _Histograms(sample, *np.concatenate(found, axis=1))

    def reached(self, drawn: Num[np.ndarray, " samples"]) -> Float[np.ndarray, " samples"]:
        """Features expected at ``drawn`` positions of the whole, and without each group in turn."""
        at, counts, times = self._histograms
        missed = log_missed(counts, self.sizes[at], drawn[at])
        return np.bincount(at, times * -np.expm1(missed), len(self.sizes)).astype(np.float64)

    @property
    def features(self) -> Float[np.ndarray, " samples"]:
        """Features active at any position."""
        at, _, times = self._histograms
        return np.bincount(at, times, len(self.sizes)).astype(np.float64)


class Strata:
    """A draw of fixed numbers of positions from strata, none of which crosses a group."""

    def __init__(self, missed: Float[np.ndarray, "groups features"]) -> None:
        """Such a draw.

        Args:
            missed: Σ_s log C(N_s − Y_sj, n_s)/C(N_s, n_s) over the strata of each group.
        """
        self._missed = missed

    def reached(self) -> Float[np.ndarray, " samples"]:
        """Features expected of the whole, and without each group in turn."""
        whole = self._missed.sum(0, dtype=np.float64)
        kept = [whole, *(whole - one for one in self._missed)]
        return np.array([float(-np.expm1(np.minimum(one, 0)).sum()) for one in kept])

    def error(self) -> float:
        """Standard deviation of a draw from the whole, √Σ_j q_j (1 − q_j), q_j the chance to miss
        j.

        As if features were missed independently; those that fire together make it larger.
        """
        missed = np.exp(np.minimum(self._missed.sum(0, dtype=np.float64), 0))
        return float(np.sqrt((missed * (1 - missed)).sum()))


def _samples(by_group: Int[np.ndarray, " groups"]) -> Int[np.ndarray, " samples"]:
    total = by_group.sum()
    return np.concatenate([[total], total - by_group]).astype(np.int64)


def pools(
    graph: TokenFeatureGraph, masks: Sequence[tuple[Tokens, Tokens]]
) -> Iterator[tuple[Pool, Pool]]:
    """The positions of each pair of sets of tokens; edges are read once for some pairs."""
    step = max(_CELLS // (2 * GROUPS * graph.features), 1)
    for start in range(0, len(masks), step):
        some = masks[start : start + step]
        # tokens that are in the same sets are counted together
        member = np.array([tokens for pair in some for tokens in pair])
        together, kind = np.unique(np.packbits(member, axis=0).T, axis=0, return_inverse=True)
        kind = kind.reshape(-1)
        first = np.unique(kind, return_index=True)[1]
        found = np.zeros((len(together), GROUPS, graph.features), np.int32)
        for block in graph.by_token():
            key = (kind[block.token], block.group, block.feature)
            np.add.at(found, key, block.occurrences.astype(np.int32))
        for mine, others in some:
            yield (
                Pool(found[mine[first]].sum(0), graph.token_occurrences[:, mine].sum(1)),
                Pool(found[others[first]].sum(0), graph.token_occurrences[:, others].sum(1)),
            )

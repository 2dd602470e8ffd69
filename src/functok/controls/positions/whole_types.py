"""How many features do whole content types reach, added at random until n positions are reached?

A random token type brings all its positions, which resemble each other; so it is a fairer reference
for a few function types than single positions from everywhere. The type at which n is reached
contributes only the missing number of its positions, in closed form. Types are the units: the
spread over draws is that of the choice of types.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from functok.graph.bipartite import TokenFeatureGraph
from functok.stats import log_missed


@dataclass(frozen=True)
class WholeTypes:
    """Every type's features."""

    occurrences: Int[np.ndarray, " vocabulary"]
    token: Int[np.ndarray, " pairs"]
    """Of each (feature, token) pair, sorted by feature."""
    start: Int[np.ndarray, " active"]
    """First pair of each active feature."""
    count: Int[np.ndarray, " pairs"]
    """Y: positions of the token at which the feature is active."""
    by_token: Int[np.ndarray, " pairs"]
    """The pairs, sorted by token."""
    bounds: Int[np.ndarray, " bounds"]
    """Where in ``by_token`` each token's pairs begin."""

    @classmethod
    def of(cls, graph: TokenFeatureGraph) -> "WholeTypes":
        keys, counts = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
        for block in graph.by_token():
            key = block.feature * graph.vocabulary + block.token
            key, where = np.unique(key, return_inverse=True)
            keys.append(key)
            counts.append(np.bincount(where, block.occurrences, len(key)).astype(np.int64))
        key, count = np.concatenate(keys), np.concatenate(counts)
        order = np.argsort(key)
        feature, token = np.divmod(key[order], max(graph.vocabulary, 1))
        start = np.flatnonzero(np.diff(feature, prepend=-1))
        by_token = np.argsort(token, kind="stable")
        many = np.bincount(token, minlength=graph.vocabulary)
        bounds = np.concatenate([[0], np.cumsum(many)])
        occurrences = graph.token_occurrences.sum(0)
        return cls(occurrences, token.astype(np.int32), start, count[order], by_token, bounds)

    def reached(
        self,
        drawn: Int[np.ndarray, " sizes"],
        types: Bool[np.ndarray, " vocabulary"],
        seed: int,
        draws: int,
    ) -> Float[np.ndarray, "draws sizes"]:
        """Features at ``drawn`` positions of random ``types``; NaN if they have fewer."""
        ids = np.flatnonzero(types & (self.occurrences > 0))
        found = np.full((draws, len(drawn)), np.nan)
        possible = drawn <= self.occurrences[ids].sum()
        if not len(self.start) or not possible.any():
            return found
        chance = np.random.default_rng(seed)
        rank = np.full(len(self.occurrences), len(ids), np.int32)
        of_pair = np.empty(len(self.token), np.int32)
        for into in found:
            order = chance.permutation(ids)
            rank[order] = np.arange(len(ids))
            reached = np.cumsum(self.occurrences[order])
            np.take(rank, self.token, out=of_pair, mode="clip")  # unbuffered
            first = np.minimum.reduceat(of_pair, self.start)
            sorted_first = np.sort(first)
            last = np.searchsorted(reached, drawn)  # whole types, before the one taken in part
            for size in np.flatnonzero(possible):
                place = int(last[size])
                token, before = order[place], reached[place - 1] if place else 0
                mine = self.by_token[self.bounds[token] : self.bounds[token + 1]]
                feature = np.searchsorted(self.start, mine, side="right") - 1
                fresh = self.count[mine[first[feature] == place]]
                missed = log_missed(fresh, self.occurrences[token], drawn[size] - before)
                into[size] = np.searchsorted(sorted_first, place) - np.expm1(missed).sum()
        return found

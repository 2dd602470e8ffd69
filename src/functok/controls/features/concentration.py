"""How a feature's firings are distributed over tokens: one pass over the edges by feature."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from jaxtyping import Float, Int

from functok.corpus.splits import GROUPS
from functok.graph.bipartite import TokenFeatureGraph
from functok.graph.contrasts import Sides
from functok.graph.folder import Columns


@dataclass(frozen=True)
class Concentration:
    """Of every feature that fires, ascending."""

    feature: Int[np.ndarray, " active"]
    firings: Int[np.ndarray, " active"]
    """Positions at which it is active, Y_j."""
    tokens: Int[np.ndarray, " active"]
    """Distinct tokens at which it is active."""
    top: Int[np.ndarray, " active"]
    """The token with most of its firings; of equal ones the lowest id."""
    top_share: Float[np.ndarray, " active"]
    """That token's share of them."""
    evenness: Float[np.ndarray, " active"]
    """Entropy over log(tokens), from 0 to 1; NaN with one token."""
    divergence: Float[np.ndarray, " active"]
    """KL(p ‖ unigram), nats."""
    gini: Float[np.ndarray, " active"]
    """Over all tokens that occur, those at which it never fires included."""
    at_sides: Int[np.ndarray, "active readings"]
    """Its firings at the function tokens of each reading."""
    at_content: Int[np.ndarray, " active"]
    """Its firings at the content tokens of the first reading."""
    by_group: Int[np.ndarray, "active groups"]
    """Its firings in each hash group of documents."""
    function_by_group: Int[np.ndarray, "active groups"]
    """Those of them at the function tokens of the first reading."""

    @classmethod
    def of(cls, graph: TokenFeatureGraph, sides: Sequence[Sides]) -> "Concentration":
        """In blocks of features, so that not every edge is held."""
        occurrences = graph.token_occurrences.sum(0)
        found = [_block(block, occurrences, sides) for block in graph.by_feature()]
        found = [part for part in found if len(part.feature)]
        if not found:
            found = [_block(_NOTHING, occurrences, sides)]
        names = [field.name for field in fields(cls)]
        return cls(*(np.concatenate([getattr(part, name) for part in found]) for name in names))


_NOTHING = Columns(*(np.zeros(0, np.int64),) * 5, *(np.zeros(0),) * 2)


def _block(
    block: Columns,
    occurrences: Int[np.ndarray, " vocabulary"],
    sides: Sequence[Sides],
) -> Concentration:
    # (feature, token) pairs; groups are added up
    pair = block.feature * len(occurrences) + block.token
    start = np.flatnonzero(np.append(True, pair[1:] != pair[:-1])[: len(pair)])
    count = np.add.reduceat(block.occurrences, start) if len(start) else np.zeros(0, np.int64)
    owner, token = block.feature[start], block.token[start]
    feature, at = np.unique(owner, return_inverse=True)
    size = len(feature)

    def summed(values: np.ndarray) -> np.ndarray:
        return np.bincount(at, values, size).astype(float)  # numpy counts nothing in integers

    firings = summed(count).astype(np.int64)
    tokens = np.bincount(at, minlength=size)
    share = count / firings[at]
    entropy = -summed(share * np.log(share))
    unigram = occurrences[token] / max(int(occurrences.sum()), 1)
    order = np.lexsort((-token, count, at))  # within a feature by rising count
    last = np.cumsum(tokens) - 1
    types = np.count_nonzero(occurrences)
    rank = types - (last[at[order]] - np.arange(len(order)))
    weighted = np.bincount(at[order], rank * share[order], size)
    with np.errstate(divide="ignore", invalid="ignore"):  # one token: evenness is not defined
        evenness = np.where(tokens > 1, entropy / np.log(tokens), np.nan)
    cell = np.searchsorted(feature, block.feature) * GROUPS + block.group
    studied = sides[0].function[block.token]
    by_group = [
        np.bincount(cell, block.occurrences * mask, size * GROUPS).reshape(size, GROUPS)
        for mask in (np.ones(len(cell)), studied)
    ]
    at_sides = [summed(count * one.function[token]) for one in sides]
    return Concentration(
        feature=feature,
        firings=firings,
        tokens=tokens,
        top=token[order][last],
        top_share=share[order][last],
        evenness=evenness,
        divergence=np.maximum(summed(share * np.log(share / unigram)), 0),
        gini=2 * weighted / types - (types + 1) / types if types else np.zeros(0),
        at_sides=np.column_stack(at_sides).astype(np.int64),
        at_content=summed(count * sides[0].content[token]).astype(np.int64),
        by_group=by_group[0].astype(np.int64),
        function_by_group=by_group[1].astype(np.int64),
    )

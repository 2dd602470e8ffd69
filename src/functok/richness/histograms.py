"""In how many of its exposures each token had each feature active: the input of richness.

Of token t with N_t exposures, Q_k(t) features were active in exactly k of them. An exposure is a
*document*, by one hash-chosen occurrence of the token in it (primary: occurrences inside one are
not independent), or every *occurrence*. Histograms are kept as cells (token, k, Q), and for each
hash group of documents as moves: without the group, a feature falls from k to k′. So leaving a
group out costs what changes, and no more.
"""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from functok.graph.bipartite import TokenFeatureGraph
from functok.graph.folder import Columns
from functok.richness.incidence import Unit

UNITS: tuple[Unit, ...] = ("documents", "occurrences")


@dataclass(frozen=True)
class Moves:
    """What one hash group of documents changes."""

    exposure: Int[np.ndarray, " vocabulary"]
    """Exposures of each token without the group."""
    token: Int[np.ndarray, " moves"]
    """Ascending."""
    whole: Int[np.ndarray, " moves"]
    """k with the group."""
    without: Int[np.ndarray, " moves"]
    """k without it; 0 where only this group had the feature."""
    features: Int[np.ndarray, " moves"]
    """Features that move so."""


@dataclass(frozen=True)
class Histograms:
    """Q_k of every token."""

    unit: Unit
    exposure: Int[np.ndarray, " vocabulary"]
    """N_t."""
    token: Int[np.ndarray, " cells"]
    """Ascending."""
    count: Int[np.ndarray, " cells"]
    """k ≥ 1."""
    features: Int[np.ndarray, " cells"]
    """Q_k(t) ≥ 1."""
    moves: tuple[Moves, ...]
    """By hash group that has any position."""

    @classmethod
    def of(cls, graph: TokenFeatureGraph, unit: Unit) -> "Histograms":
        """Of every token of ``graph``; edges are read once."""
        exposure = graph.token_documents if unit == "documents" else graph.token_occurrences
        used = np.flatnonzero(graph.token_occurrences.sum(1))
        cells: list[np.ndarray] = []
        moves: dict[int, list[np.ndarray]] = {int(group): [] for group in used}
        for block in graph.by_token():
            found, moved = _counted(block, graph.features, getattr(block, unit))
            cells.append(found)
            for group, rows in moved.items():
                moves[group].append(rows)
        empty = np.empty((4, 0), np.int64)
        token, count, features = np.concatenate([empty[:3], *cells], axis=1)
        total = exposure.sum(0)
        return cls(
            unit,
            total,
            token,
            count,
            features,
            tuple(
                Moves(total - exposure[group], *np.concatenate([empty, *moves[group]], axis=1))
                for group in moves
            ),
        )

    @property
    def vocabulary(self) -> int:
        return len(self.exposure)

    def total(self, cells: np.ndarray) -> Float[np.ndarray, " vocabulary"]:
        """Σ over each token's cells of one number per cell."""
        return summed(self.token, cells, self.vocabulary)


def summed(token: np.ndarray, values: np.ndarray, vocabulary: int) -> Float[np.ndarray, " tokens"]:
    """Σ of the values of each token; real numbers even where there is none."""
    return np.bincount(token, values, vocabulary).astype(np.float64)


def _counted(
    block: Columns, features: int, count: Int[np.ndarray, " edges"]
) -> tuple[Int[np.ndarray, "3 cells"], dict[int, Int[np.ndarray, "4 moves"]]]:
    """Cells (token, k, Q) and, by group, moves (token, k, k′, features) of sorted edges."""
    used = np.flatnonzero(count)
    group, token, count = block.group[used], block.token[used], count[used]
    pair = token * features + block.feature[used]
    start = np.flatnonzero(np.concatenate([[True], pair[1:] != pair[:-1]])[: len(pair)])
    if not len(start):
        return np.empty((3, 0), np.int64), {}
    whole = np.add.reduceat(count, start)
    cells = _tallied(token[start], whole)
    each = np.repeat(whole, np.diff(np.append(start, len(pair))))
    order = np.argsort(group.astype(np.int8), kind="stable")
    bounds = np.flatnonzero(np.diff(group[order], prepend=-1))
    moved = {
        int(group[rows[0]]): _tallied(token[rows], each[rows], (each - count)[rows])
        for rows in np.split(order, bounds[1:])
    }
    return cells, moved


def _tallied(*columns: Int[np.ndarray, " rows"]) -> Int[np.ndarray, "columns distinct"]:
    """Distinct rows, ascending, and how often each occurs."""
    low = [int(column.min(initial=0)) for column in columns]
    span = [
        int(column.max(initial=0)) + 1 - least for column, least in zip(columns, low, strict=True)
    ]
    assert math.prod(span) < 1 << 63, span
    key = np.zeros(len(columns[0]), np.int64)
    for column, least, wide in zip(columns, low, span, strict=True):
        key = key * wide + (column - least)
    key, times = np.unique(key, return_counts=True)
    found = [times]
    for least, wide in zip(reversed(low), reversed(span), strict=True):
        key, part = np.divmod(key, wide)
        found.append(part + least)
    return np.stack(found[::-1])

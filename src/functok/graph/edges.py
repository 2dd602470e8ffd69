"""Edges as sorted, mergeable counts: the arithmetic under the graph.

An edge is a row per (token, feature, hash group of documents): occurrences of the token at which
the feature was active, documents in which it was active at one hash-chosen occurrence, sum and
maximum of the activation. Its key packs the three numbers so that rows sort by token, then
feature, then group (or by feature first). Edges are a commutative monoid to the last bit: sums are
kept as whole multiples of 2⁻²⁰, which add up exactly in any order, and a maximum has no rounding.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from functok.corpus.splits import GROUPS

GRID = 2.0**20
"""Activations are summed as multiples of 1 / GRID."""


@dataclass(frozen=True)
class Edges:
    """Rows with ascending, distinct keys."""

    key: Int[np.ndarray, " edges"]
    occurrences: Int[np.ndarray, " edges"]
    documents: Int[np.ndarray, " edges"]
    units: Int[np.ndarray, " edges"]
    """Σ activation, in units of 1 / GRID."""
    max: Float[np.ndarray, " edges"]
    """Largest activation (float32)."""

    def __len__(self) -> int:
        return len(self.key)

    @classmethod
    def empty(cls) -> "Edges":
        """The identity of ``merge``."""
        none = np.empty(0, np.int64)
        return cls(none, none, none, none, np.empty(0, np.float32))

    def rows(self, which: slice | Int[np.ndarray, " rows"]) -> "Edges":
        """Some of the rows, in the order of ``which``."""
        columns = (self.key, self.occurrences, self.documents, self.units, self.max)
        return Edges(*(column[which] for column in columns))

    def merge(self, other: "Edges") -> "Edges":
        """The counts of both."""
        return merged([self, other])


def merged(parts: Sequence[Edges]) -> Edges:
    """The counts of all ``parts``."""
    if not parts:
        return Edges.empty()
    names = ("key", "occurrences", "documents", "units", "max")
    columns = [np.concatenate([getattr(part, name) for part in parts]) for name in names]
    key = columns[0]
    if len(key) == 0:
        return Edges.empty()
    order = np.argsort(key, kind="stable")  # timsort: quick on runs that are sorted already
    key = key[order]
    start = np.flatnonzero(np.concatenate([[True], key[1:] != key[:-1]]))
    occurrences, documents, units = (np.add.reduceat(part[order], start) for part in columns[1:4])
    largest = np.maximum.reduceat(columns[4][order], start)
    return Edges(key[start], occurrences, documents, units, largest)


def rank_within(key: Int[np.ndarray, " rows"]) -> Int[np.ndarray, " rows"]:
    """The place of each row, from 0, among those of the same key; keys ascend."""
    return np.arange(len(key)) - np.searchsorted(key, key)


def counted(
    key: Int[Tensor, " firings"],
    chosen: Bool[Tensor, " firings"],
    value: Float[Tensor, " firings"],
) -> Edges:
    """Edges of single firings, reduced on the device that they are on.

    Args:
        key: of each firing, in any order.
        chosen: whether it is at the document's hash-chosen occurrence of the token.
        value: the activation (float32).
    """
    key, order = torch.sort(key)
    key, cell, occurrences = torch.unique_consecutive(key, return_inverse=True, return_counts=True)
    value = value[order]
    units = torch.round(value.double() * GRID).to(torch.int64)
    documents = torch.zeros_like(key).index_add_(0, cell, chosen[order].to(torch.int64))
    total = torch.zeros_like(key).index_add_(0, cell, units)
    largest = value.new_zeros(len(key)).scatter_reduce_(0, cell, value, "amax")
    return Edges(*(part.cpu().numpy() for part in (key, occurrences, documents, total, largest)))


def counted_here(key: np.ndarray, chosen: np.ndarray, value: np.ndarray) -> Edges:
    """``counted``, of firings in this machine's memory."""
    return counted(*(torch.from_numpy(part) for part in (key, chosen, value)))


@dataclass(frozen=True)
class Packing:
    """How (token, feature, group) become one number."""

    vocabulary: int
    features: int

    def by_token(self, token: np.ndarray, feature: np.ndarray, group: np.ndarray) -> np.ndarray:
        """Keys that sort by token, feature, group."""
        return (token * self.features + feature) * GROUPS + group

    def unpacked(self, key: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Token, feature and group of keys that sort by token."""
        pair, group = np.divmod(key, GROUPS)
        token, feature = np.divmod(pair, self.features)
        return token, feature, group

    def by_feature(self, edges: Edges) -> Edges:
        """The same edges under keys that sort by feature, token, group."""
        token, feature, group = self.unpacked(edges.key)
        key = (feature * self.vocabulary + token) * GROUPS + group
        order = np.argsort(key)  # keys are distinct
        return replace(edges.rows(order), key=key[order])

    def unpacked_by_feature(self, key: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Token, feature and group of keys that sort by feature."""
        pair, group = np.divmod(key, GROUPS)
        feature, token = np.divmod(pair, self.vocabulary)
        return token, feature, group

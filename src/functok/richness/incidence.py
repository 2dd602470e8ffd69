"""One type's features: in how many of its occurrences, or documents, each was active.

Comparisons of two types at an exposure of their own need these counts; the rest is the closed form
of ``coverage.expected_coverage`` (``docs/methods.md#exposure-unit``):

    S(n) = Σ_j [1 − C(N − Y_j, n) / C(N, n)]
"""

from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Int

from functok.graph.bipartite import TokenFeatureGraph
from functok.graph.coverage import expected_coverage

Unit = Literal["documents", "occurrences"]
"""What counts as one exposure of a token: a document (by one occurrence in it, chosen by hash), or
every occurrence. Occurrences in one document are alike, so documents are the primary unit."""


class Incidence(NamedTuple):
    """Features of some occurrences."""

    counts: Int[np.ndarray, " features"]
    """Y_j of the features active at all, in no particular order."""
    exposure: int
    """N: occurrences (or documents) that there are."""

    @classmethod
    def of(cls, feature: Int[np.ndarray, " firings"], exposure: int) -> "Incidence":
        """From single firings."""
        return cls(np.unique(feature, return_counts=True)[1], exposure)

    def richness(self, drawn: int) -> float:
        """Features expected at ``drawn`` of the occurrences."""
        assert 0 <= drawn <= self.exposure
        return len(self.counts) * expected_coverage(self.counts, self.exposure, drawn)

    @property
    def hill_2(self) -> float:
        """L0² / E|A ∩ B| of two exposures, as in ``estimators.py``; NaN where no feature is active
        twice.

        The incidence form: an exposure has each feature once or not at all, so two firings of one
        feature are always from two exposures. U(U − 1)/Σ Y(Y − 1), which is for firings drawn one
        by one, differs by (1 − 1/N)/(1 − 1/U).
        """
        total = int(self.counts.sum())
        same = float((self.counts * (self.counts - 1.0)).sum())
        return total**2 * (1 - 1 / self.exposure) / same if same else float("nan")


def exposures(graph: TokenFeatureGraph, unit: Unit) -> Int[np.ndarray, " vocabulary"]:
    """N of every type, in that unit."""
    counted = graph.token_documents if unit == "documents" else graph.token_occurrences
    return counted.sum(0)


def incidences(
    graph: TokenFeatureGraph, tokens: Int[np.ndarray, " tokens"], unit: Unit
) -> dict[int, Incidence]:
    """Of each of ``tokens``; the edges are read once."""
    wanted = np.zeros(graph.vocabulary, bool)
    wanted[tokens] = True
    exposure = exposures(graph, unit)
    found = {int(token): Incidence(np.empty(0, np.int64), int(exposure[token])) for token in tokens}
    for block in graph.by_token():
        some = block.rows(wanted[block.token])
        if not len(some.token):
            continue
        pair, where = np.unique(some.token * graph.features + some.feature, return_inverse=True)
        counts = np.bincount(where, getattr(some, unit), len(pair)).astype(np.int64)
        pair, counts = pair[counts > 0], counts[counts > 0]
        ids, start = np.unique(pair // graph.features, return_index=True)
        for token, part in zip(ids, np.split(counts, start[1:]), strict=True):
            found[int(token)] = Incidence(part, int(exposure[token]))
    return found

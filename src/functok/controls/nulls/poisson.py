"""Which edges does frequency not explain? Null model N2 (Poisson), and token-specific features.

If features fired independently of tokens, token t and feature j would co-occur N_t Y_j / N times,
so

    P(edge) = 1 − exp(−N_t Y_j / N)

and the expected degree is Σ_j P(edge). An observed edge is token-specific, that is, not explained
by frequency, if its P was small (below 0.05) and its count exceeds the Poisson law by
Benjamini–Hochberg over *every* pair of a token and a feature that occur (``docs/methods.md#n2``).

The unit is the document by default, one occurrence of the token each, chosen by hash: occurrences
inside a document are not independent and would make every topic of a document look specific.

What would surprise: this null fixes the features' marginals and no more. Unlike the permuted labels
(``hubs.py``) it lets a position activate any number of features, and its expected degrees are
higher where that number varies.
"""

import math
from dataclasses import dataclass

import numpy as np
import polars as pl
from jaxtyping import Float, Int
from scipy.special import gammainc

from functok.graph.bipartite import TokenFeatureGraph
from functok.graph.contrasts import readings
from functok.graph.labelled import LabelledGraph
from functok.richness.incidence import Unit, exposures
from functok.stats import benjamini_hochberg

RARE = 0.05
"""P(edge) below which an observed edge is tested."""
ALPHA = 0.05
"""False discovery rate."""
MOST = 2000
"""Token-specific edges that are listed."""


@dataclass(frozen=True)
class PoissonEdges:
    """Observed edges, and those that frequency alone explains."""

    tokens: pl.DataFrame
    """Most frequent first. Columns: token_id, token, class, subclass, count (of the unit), edges,
    expected (Σ_j P), specific (token-specific edges)."""
    sides: pl.DataFrame
    """Both classes of every reading of "function". Columns: reading, side (``function``,
    ``content``), types, edges, expected, specific, ratio (edges / expected), specific_share (of the
    edges)."""
    specific: pl.DataFrame
    """By rising p, at most 2,000 rows. Columns: token_id, token, class, subclass, feature, count
    (of the unit in which both were met), expected, q_value."""


def poisson(subject: LabelledGraph, unit: Unit = "documents") -> PoissonEdges:
    """Observed and expected edges, and the token-specific ones."""
    graph = subject.graph
    counts = exposures(graph, unit)
    pairs = _Pairs.of(graph, unit)
    active = np.zeros(graph.features)
    np.add.at(active, pairs.feature, pairs.count)
    total = max(int(counts.sum()), 1)
    mean = counts[pairs.token] * active[pairs.feature] / total
    tested = np.flatnonzero(-np.expm1(-mean) < RARE)
    # P(X ≥ y) of a Poisson law is the regularised lower incomplete gamma function
    p = gammainc(pairs.count[tested], mean[tested])
    family = int(np.count_nonzero(counts)) * int(np.count_nonzero(active))
    q = _adjusted(p, family)
    found = tested[q < ALPHA]
    specific = np.bincount(pairs.token[found], minlength=graph.vocabulary)
    edges = np.bincount(pairs.token, minlength=graph.vocabulary)
    expected = _expected(counts, active, total)
    order = np.argsort(-counts, kind="stable")[: np.count_nonzero(counts)]
    tokens = pl.DataFrame(
        {
            **subject.vocabulary.columns(order),
            "count": counts[order],
            "edges": edges[order],
            "expected": expected[order],
            "specific": specific[order],
        }
    )
    best = np.argsort(p, kind="stable")[:MOST]
    best = best[q[best] < ALPHA]
    listed = tested[best]
    return PoissonEdges(
        tokens=tokens,
        sides=_by_side(subject, edges, expected, specific),
        specific=pl.DataFrame(
            {
                **subject.vocabulary.columns(pairs.token[listed]),
                "feature": pairs.feature[listed],
                "count": pairs.count[listed],
                "expected": mean[listed],
                "q_value": q[best],
            }
        ),
    )


@dataclass(frozen=True)
class _Pairs:
    """Edges over all groups of documents, those with a count."""

    token: Int[np.ndarray, " pairs"]
    feature: Int[np.ndarray, " pairs"]
    count: Int[np.ndarray, " pairs"]

    @classmethod
    def of(cls, graph: TokenFeatureGraph, unit: Unit) -> "_Pairs":
        parts = [(np.zeros(0, np.int32),) * 3]
        for block in graph.by_token():
            first = np.append(True, np.diff(block.token * graph.features + block.feature) != 0)
            start = np.flatnonzero(first)
            count = np.add.reduceat(getattr(block, unit), start)
            kept = count > 0
            columns = (block.token[start][kept], block.feature[start][kept], count[kept])
            parts.append(tuple(column.astype(np.int32) for column in columns))
        token, feature, count = (np.concatenate(column) for column in zip(*parts, strict=True))
        return cls(token, feature, count)


def _expected(
    counts: Int[np.ndarray, " vocabulary"], active: Float[np.ndarray, " features"], total: int
) -> Float[np.ndarray, " vocabulary"]:
    """Σ_j 1 − exp(−N_t Y_j / N), computed once for each distinct N_t and Y_j."""
    drawn, where = np.unique(counts, return_inverse=True)
    rates, times = np.unique(active[active > 0], return_counts=True)
    found = [float(-np.expm1(-some * rates / total) @ times) for some in drawn]
    return np.array(found)[where]


def _adjusted(p: Float[np.ndarray, " tests"], family: int) -> Float[np.ndarray, " tests"]:
    """Benjamini–Hochberg's q of ``p`` among ``family`` tests, the others of which have p = 1.

    The others come last in every order, so each q is that among ``p`` alone, scaled up.
    """
    return np.minimum(benjamini_hochberg(p / max(len(p), 1)) * family, 1)


def _by_side(
    subject: LabelledGraph,
    edges: Int[np.ndarray, " vocabulary"],
    expected: Float[np.ndarray, " vocabulary"],
    specific: Int[np.ndarray, " vocabulary"],
) -> pl.DataFrame:
    rows = []
    for one in readings(subject):
        for side, inside in (("function", one.function), ("content", one.content)):
            seen, chance, own = (float(part[inside].sum()) for part in (edges, expected, specific))
            rows.append(
                {
                    "reading": one.reading,
                    "side": side,
                    "types": int(inside.sum()),
                    "edges": int(seen),
                    "expected": chance,
                    "specific": int(own),
                    "ratio": seen / chance if chance else math.nan,
                    "specific_share": own / seen if seen else math.nan,
                }
            )
    return pl.DataFrame(rows, _SIDES)


_SIDES = {
    "reading": pl.String, "side": pl.String, "types": pl.Int64, "edges": pl.Int64,
    "expected": pl.Float64, "specific": pl.Int64, "ratio": pl.Float64,
    "specific_share": pl.Float64,
}  # fmt: skip

"""How few tokens reach the features, in any order: coverage curves and greedy maximum coverage.

The paper adds tokens by falling frequency and stops at ten (Table 1). Here the same curve is drawn
for other orders too (``docs/methods.md#orders``): by degree, at random, greedily by the most new
features (within 1 − 1/e of the best set of each size; Nemhauser et al. 1978), and greedily by new
features *per occurrence*, since a frequent token has had more chances. Each curve is computed
against the number of types and against the number of positions used:

    area = mean over active features of 1 − (share of types, or of positions, that reaches it)

An area of 1 means that the first token reaches all; its interval is a jackknife over hash groups of
documents with the order held fixed.
"""

import heapq
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from jaxtyping import Float, Int
from scipy import sparse

from functok.claims.evidence import as_columns
from functok.corpus.splits import GROUPS
from functok.graph.bipartite import TokenFeatureGraph
from functok.graph.coverage import frequency_order
from functok.graph.export import csr
from functok.stats import Estimate, jackknife
from functok.tokens.counting.function_tokens import CLASS_NAMES

_NEVER = np.iinfo(np.int32).max


def greedy_order(
    reaches: sparse.csr_array, cost: Float[np.ndarray, " vocabulary"] | None = None
) -> Int[np.ndarray, " chosen"]:
    """Tokens by falling gain of newly reached features, until none is left; ties by lower id.

    Lazy evaluation (Minoux 1978): gains only fall, so a token whose gain, computed again, still
    leads is the next.

    Args:
        reaches: sparse [vocabulary, features]; any entry counts.
        cost: of each token; gain per cost decides. Without it every token costs the same.
    """
    bounds, columns = np.asarray(reaches.indptr), np.asarray(reaches.indices)
    sizes = np.diff(bounds)
    weight = np.ones(len(sizes)) if cost is None else np.maximum(cost, 1e-12)
    waiting = [(-size / weight[token], token) for token, size in enumerate(sizes) if size]
    heapq.heapify(waiting)
    reached = np.zeros(int(columns.max(initial=-1)) + 1, bool)
    order: list[int] = []
    while waiting:
        _, token = heapq.heappop(waiting)
        features = columns[bounds[token] : bounds[token + 1]]
        gain = np.count_nonzero(~reached[features])
        if gain == 0:
            continue
        now = (-gain / weight[token], token)
        if waiting and now > waiting[0]:
            heapq.heappush(waiting, now)
            continue
        reached[features] = True
        order.append(token)
    return np.array(order, np.int64)


def orderings(graph: TokenFeatureGraph, seed: int) -> dict[str, Int[np.ndarray, " tokens"]]:
    """Every token that occurs, in each order; what greed leaves out follows by frequency."""
    frequent = frequency_order(graph)
    occurrences = graph.token_occurrences.sum(0)
    reaches = csr(graph)
    degree = np.diff(reaches.indptr)

    def completed(order: np.ndarray) -> np.ndarray:
        return np.concatenate([order, frequent[~np.isin(frequent, order)]])

    return {
        "frequency": frequent,
        "degree": frequent[np.argsort(-degree[frequent], kind="stable")],
        "greedy": completed(greedy_order(reaches)),
        "greedy per occurrence": completed(greedy_order(reaches, occurrences.astype(np.float64))),
        "random": np.random.default_rng(seed).permutation(frequent),
    }


@dataclass(frozen=True)
class CoverageCurve:
    """Coverage by the first tokens of an order."""

    positions: Int[np.ndarray, " tokens"]
    """Positions used by the first r + 1 tokens."""
    reached: Int[np.ndarray, " tokens"]
    """Features that they reach."""
    active: int
    """Features active anywhere."""
    area_types: Estimate
    area_positions: Estimate


def coverage_curve(graph: TokenFeatureGraph, order: Int[np.ndarray, " tokens"]) -> CoverageCurve:
    """Coverage along ``order``, which holds every token that occurs."""
    rank = np.full(graph.vocabulary, _NEVER, np.int32)
    rank[order] = np.arange(len(order), dtype=np.int32)
    first = np.full((GROUPS, graph.features), _NEVER, np.int32)
    for block in graph.by_token():
        np.minimum.at(first, (block.group, block.feature), rank[block.token])
    used = np.flatnonzero(graph.token_occurrences.sum(1))

    def area(kept: np.ndarray, by_positions: bool) -> float:
        at = first[used[kept]].min(axis=0)
        at = at[at < _NEVER]
        amount = np.ones(len(order))
        if by_positions:
            amount = graph.token_occurrences[used[kept]].sum(0)[order].astype(np.float64)
        share = np.cumsum(amount) / amount.sum()
        return float(1 - share[at].mean()) if len(at) else float("nan")

    at = first.min(axis=0)
    reached = np.cumsum(np.bincount(at[at < _NEVER], minlength=len(order)))
    return CoverageCurve(
        positions=np.cumsum(graph.token_occurrences.sum(0)[order]),
        reached=reached,
        active=int(np.count_nonzero(at < _NEVER)),
        area_types=jackknife(lambda kept: area(kept, False), len(used)),
        area_positions=jackknife(lambda kept: area(kept, True), len(used)),
    )


def cover_tables(
    graph: TokenFeatureGraph,
    classes: Int[np.ndarray, " vocabulary"],
    shown: list[str],
    seed: int,
    first: int = 100,
) -> tuple[pa.Table, pa.Table]:
    """The curves, and one row per ordering.

    Args:
        classes: of every token id.
        shown: the text of every token id, as shown in tables.
        seed: of the random order.
        first: tokens of which the share of function tokens is given.

    Returns:
        Curves with columns ordering, rank, token_id, token, class, positions, of_active, of_all;
        and orderings with columns ordering, area_types, area_positions (both with _low and _high),
        types_to_half (tokens that reach half of the active features), function_share (of the
        first ``first`` tokens), first.
    """
    curves, rows = [], []
    for name, order in orderings(graph, seed).items():
        curve = coverage_curve(graph, order)
        size = len(order)
        curves.append(
            pa.table(
                {
                    "ordering": [name] * size,
                    "rank": np.arange(1, size + 1),
                    "token_id": order,
                    "token": [shown[token] for token in order],
                    "class": [CLASS_NAMES[classes[token]] for token in order],
                    "positions": curve.positions,
                    "of_active": curve.reached / max(curve.active, 1),
                    "of_all": curve.reached / graph.features,
                }
            )
        )
        head = order[:first]
        rows.append(
            {
                "ordering": name,
                **as_columns("area_types", curve.area_types),
                **as_columns("area_positions", curve.area_positions),
                "types_to_half": int(np.searchsorted(curve.reached, curve.active / 2) + 1),
                "function_share": float(
                    np.mean([CLASS_NAMES[classes[token]] == "function" for token in head])
                ),
                "first": len(head),
            }
        )
    return pa.concat_tables(curves), pa.Table.from_pylist(rows)

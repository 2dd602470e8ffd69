"""Degree, cumulative coverage, and the coverage of the same number of random positions.

The paper's own view (§3.1, Table 1, Figure 5) and its first control
(``docs/methods.md#expected-coverage``). With N positions in all, feature j active at Y_j of them,
and F* features active anywhere, n positions drawn without replacement cover

    E[Cov(n)] = (1/F*) Σ_j [1 − C(N − Y_j, n) / C(N, n)]

of the active features, in closed form. R = Cov(set) / E[Cov(n)] with n the set's own number of
positions says whether the set reaches more than its frequency alone would: log R > 0 is more,
log R < 0 is less, and "less" is a possible outcome.
"""

import math
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from jaxtyping import Float, Int

from functok.claims.evidence import as_columns
from functok.graph.bipartite import TokenFeatureGraph
from functok.stats import Estimate, jackknife, log_missed
from functok.tokens.counting.function_tokens import CLASS_NAMES


def expected_coverage(active_at: Int[np.ndarray, " features"], positions: int, drawn: int) -> float:
    """Share of the active features that ``drawn`` random positions out of ``positions`` reach.

    Args:
        active_at: positions at which each feature is active, Y_j; features with 0 do not count.
        positions: N.
        drawn: n.
    """
    counts, times = np.unique(active_at[active_at > 0], return_counts=True)
    if drawn == 0 or len(counts) == 0:
        return 0.0
    if drawn == positions:
        return 1.0
    return float(times @ chance_reached(counts, positions, drawn) / times.sum())


def chance_reached(
    counts: Int[np.ndarray, " counts"], positions: int, drawn: int
) -> Float[np.ndarray, " counts"]:
    """1 − C(N − Y, n) / C(N, n): P(``drawn`` of ``positions`` include one of ``counts``)."""
    return -np.expm1(log_missed(counts, positions, drawn))


def random_degrees(
    active_at: Int[np.ndarray, " features"], occurrences: Int[np.ndarray, " tokens"]
) -> Float[np.ndarray, " tokens"]:
    """Features that the same number of random positions as each token has would reach.

    Args:
        active_at: positions at which each feature is active.
        occurrences: of every token; together they are all positions.
    """
    distinct, where = np.unique(occurrences, return_inverse=True)
    active, positions = np.count_nonzero(active_at), int(occurrences.sum())
    reached = [active * expected_coverage(active_at, positions, int(drawn)) for drawn in distinct]
    return np.array(reached)[where]


def token_degrees(graph: TokenFeatureGraph) -> Int[np.ndarray, " vocabulary"]:
    """Features with an edge to each token: active at any of its occurrences."""
    degrees = np.zeros(graph.vocabulary, np.int64)
    for block in graph.by_token():
        edges = np.unique(block.token * graph.features + block.feature)
        degrees += np.bincount(edges // graph.features, minlength=graph.vocabulary)
    return degrees


def frequency_order(graph: TokenFeatureGraph) -> Int[np.ndarray, " seen"]:
    """Token ids that occur in the graph, most frequent first, ties by lower id."""
    occurrences = graph.token_occurrences.sum(0)
    order = np.argsort(-occurrences, kind="stable")
    return order[: np.count_nonzero(occurrences)]


@dataclass(frozen=True)
class Coverage:
    """The coverage of a set of tokens, and of the same number of random positions."""

    of_active: Estimate
    """Share of the features active anywhere, with its interval."""
    of_all: float
    """Share of the dictionary."""
    random: float
    """Expected share of the active features at the same number of random positions."""
    log_ratio: Estimate
    """log R with its jackknife interval over hash groups of documents."""
    positions: int
    """Occurrences of the set's tokens."""


class _ByGroup:
    """Activity by hash group, from which leaving a group out is a subtraction."""

    def __init__(self, graph: TokenFeatureGraph, tokens: Int[np.ndarray, " tokens"]) -> None:
        self.everywhere = graph.activity
        self.in_set = graph.activity_of(tokens)
        self.positions = graph.token_occurrences.sum(1)
        self.set_positions = graph.token_occurrences[:, tokens].sum(1)

    def add(self, graph: TokenFeatureGraph, token: int) -> None:
        """One token more in the set."""
        self.in_set = self.in_set + graph.activity_of(np.array([token]))
        self.set_positions = self.set_positions + graph.token_occurrences[:, token]

    def shares(self, kept: Int[np.ndarray, " kept"]) -> tuple[float, float]:
        """Coverage of the set, and of as many random positions, on the groups ``kept``."""
        everywhere = self.everywhere[kept].sum(0)
        active = np.count_nonzero(everywhere)
        if active == 0:
            return math.nan, math.nan
        reached = np.count_nonzero(self.in_set[kept].sum(0)) / active
        drawn = int(self.set_positions[kept].sum())
        return reached, expected_coverage(everywhere, int(self.positions[kept].sum()), drawn)

    def log_ratio(self, kept: Int[np.ndarray, " kept"]) -> float:
        reached, random = self.shares(kept)
        return math.log(reached / random) if reached else -math.inf


def coverage(graph: TokenFeatureGraph, tokens: Int[np.ndarray, " tokens"]) -> Coverage:
    """Coverage of ``tokens``, at least one of which must occur in the graph."""
    return _measured(_ByGroup(graph, tokens), graph.features)


def _measured(by_group: _ByGroup, features: int) -> Coverage:
    used = np.flatnonzero(by_group.positions)
    reached, random = by_group.shares(used)
    active = np.count_nonzero(by_group.everywhere.sum(0))
    return Coverage(
        of_active=jackknife(lambda kept: by_group.shares(used[kept])[0], len(used)),
        of_all=reached * active / features,
        random=random,
        log_ratio=jackknife(lambda kept: by_group.log_ratio(used[kept]), len(used)),
        positions=int(by_group.set_positions.sum()),
    )


def coverage_table(
    graph: TokenFeatureGraph, order: Int[np.ndarray, " tokens"], shown: list[str], top: int = 10
) -> pa.Table:
    """Cumulative coverage of the first ``top`` tokens of any ``order``: the paper's Table 1.

    Columns: rank, token_id, token, positions (of the set so far), of_active, of_all, random
    (expected at equally many random positions), log_ratio; of_active and log_ratio with their
    intervals as _low and _high. The two denominators, features active anywhere and the whole
    dictionary, are both given since the paper does not say which is its own.
    """
    rows = []
    by_group = _ByGroup(graph, order[:0])
    for rank, token in enumerate(order[:top].tolist(), start=1):
        by_group.add(graph, token)
        found = _measured(by_group, graph.features)
        rows.append(
            {
                "rank": rank,
                "token_id": token,
                "token": shown[token],
                "positions": found.positions,
                **as_columns("of_active", found.of_active),
                "of_all": found.of_all,
                "random": found.random,
                **as_columns("log_ratio", found.log_ratio),
            }
        )
    return pa.Table.from_pylist(rows)


def degree_table(
    graph: TokenFeatureGraph, classes: Int[np.ndarray, " vocabulary"], shown: list[str]
) -> pa.Table:
    """One row per token in the graph, by falling frequency: the paper's Figure 5.

    Columns: rank, token_id, token, class, occurrences, degree, and random_degree: what the
    same number of random positions would reach, the degree that frequency alone explains.
    """
    order = frequency_order(graph)
    occurrences = graph.token_occurrences.sum(0)[order]
    return pa.table(
        {
            "rank": np.arange(1, len(order) + 1),
            "token_id": order,
            "token": [shown[token] for token in order],
            "class": [CLASS_NAMES[classes[token]] for token in order],
            "occurrences": occurrences,
            "degree": token_degrees(graph)[order],
            "random_degree": random_degrees(graph.activity.sum(0), occurrences),
        }
    )

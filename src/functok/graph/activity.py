"""When does a feature count as active? Incidence under other rules than "positive".

============  ===============================================================================
rule          active where
============  ===============================================================================
``positive``  z > 0; the graph itself
``quantile``  z ≥ the q-quantile of the feature's positive activations
``of_max``    z ≥ α · the feature's largest activation
``largest``   z is among the k largest at that position
============  ===============================================================================

All but ``positive`` need the occurrence store. Quantiles and maxima are estimated on half of the
documents, chosen by hash, and applied to all: a threshold must not depend on the positions it is
applied to. A feature that is not active in that half keeps none of its occurrences.
See ``docs/methods.md#active``.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Int

from functok.corpus.splits import document_groups, mixed
from functok.graph.bipartite import TokenFeatureGraph
from functok.graph.edges import Edges, Packing, counted_here, merged, rank_within
from functok.graph.occurrences import read_occurrences
from functok.runtime.errors import UserError


@dataclass(frozen=True)
class Rule:
    """One rule with its strength."""

    name: Literal["positive", "quantile", "of_max", "largest"]
    """As in the module's table."""
    value: float = 0.0
    """q, α or k."""


_HELD = 64
"""Row groups' edges held before they are merged."""

_Row = dict[str, np.ndarray]


def incidence(graph: TokenFeatureGraph, rule: Rule) -> TokenFeatureGraph:
    """The graph under ``rule``; what the tokens' counts are out of stays the same.

    Args:
        graph: a loaded one.
        rule: which activations count.

    Raises:
        UserError: if the rule needs an occurrence store and the graph was built without one.
    """
    if rule.name == "positive":
        return graph
    folder = None if graph.folder is None else graph.folder / "occurrences"
    if folder is None or not folder.is_dir():
        raise UserError(
            f"The rule {rule.name!r} needs the activation at every occurrence, and this graph was "
            "built without its occurrence store; build it again with a larger --occurrences."
        )
    keeps = _keeper(folder, rule, graph.features)
    packing = Packing(graph.vocabulary, graph.features)
    parts: list[Edges] = []
    for seen in read_occurrences(folder):
        parts.append(_edges(seen, keeps(seen), packing))
        if len(parts) == _HELD:
            parts = [merged(parts)]
    return TokenFeatureGraph.of_edges(
        merged(parts),
        graph.vocabulary,
        graph.features,
        graph.token_occurrences,
        graph.token_documents,
    )


def _edges(seen: _Row, kept: np.ndarray, packing: Packing) -> Edges:
    row, value = seen["row"][kept], seen["activations"][kept]
    group = document_groups(seen["document"])[row]
    token, feature = seen["token"].astype(np.int64)[row], seen["features"][kept].astype(np.int64)
    return counted_here(packing.by_token(token, feature, group), seen["chosen"][row], value)


def _keeper(
    folder: Path, rule: Rule, features: int
) -> Callable[[_Row], Bool[np.ndarray, " firings"]]:
    if rule.name == "largest":
        return lambda seen: _rank(seen["row"], seen["activations"]) < rule.value
    floor = _thresholds(folder, rule, features)
    return lambda seen: seen["activations"] >= floor[seen["features"]]


def learning_half(document: Int[np.ndarray, " documents"]) -> Bool[np.ndarray, " documents"]:
    """The half of the documents on which thresholds are taken."""
    return mixed(document, 4) % 2 == 0


def _thresholds(folder: Path, rule: Rule, features: int) -> Float[np.ndarray, " features"]:
    """By feature; infinite where it is not active in the learning half."""
    found = np.full(features, np.inf)
    values, which = [], []
    largest = np.zeros(features)
    for seen in read_occurrences(folder, ("document", "features", "activations")):
        here = learning_half(seen["document"])[seen["row"]]
        if rule.name == "of_max":
            np.maximum.at(largest, seen["features"][here], seen["activations"][here])
        else:
            values.append(seen["activations"][here])
            which.append(seen["features"][here])
    if rule.name == "of_max":
        return np.where(largest > 0, rule.value * largest, np.inf)
    value, feature = (
        np.concatenate([np.empty(0), *values]),
        np.concatenate([np.empty(0, np.int64), *which]),
    )
    order = np.lexsort((value, feature))
    value, feature = value[order], feature[order]
    start = np.flatnonzero(np.concatenate([[True], feature[1:] != feature[:-1]])[: len(feature)])
    sizes = np.diff(np.append(start, len(feature)))
    # the smallest value that at least a share q of the values do not exceed
    place = np.maximum(np.ceil(rule.value * sizes).astype(np.int64) - 1, 0)
    found[feature[start]] = value[start + place]
    return found


def _rank(row: np.ndarray, value: np.ndarray) -> Int[np.ndarray, " firings"]:
    """From 0, by falling value within a row; of equal ones the earlier comes first."""
    order = np.lexsort((np.arange(len(row)), -value, row))
    rank = np.empty(len(row), np.int64)
    rank[order] = rank_within(row[order])
    return rank

"""Is a token a hub, or merely frequent? Null model N1: labels permuted over the whole corpus.

Shuffle the token labels over the occurrences. Every token keeps its number of occurrences N_t and
every feature its Y_j; features still fire together and in bursts; only the link between token and
feature is cut. The expected degree then has a closed form, the rarefaction curve of all positions
at N_t (``docs/methods.md#n1``):

    E[k_t] = S_pool(N_t) = Σ_j [1 − C(N − Y_j, N_t) / C(N, N_t)],      h_t = log(k_t / S_pool(N_t))

Two more numbers have an exact expectation under the same permutation, a token's firings and its
activation per occurrence: their log ratio to the corpus mean is what remains of "strength" once
frequency is removed.

What would surprise: almost every h_t is negative, since the occurrences of one token are more
alike than those of a corpus. The question is whether function tokens are *less* negative than
content tokens at equal N (``gaps.py``); a raw degree answers nothing.

The variance of k_t has no closed form in these counts, since it depends on which features fire
together: ``permutation.py`` draws it, if there is an occurrence store.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl
from jaxtyping import Float, Int

from functok.controls.nulls.gaps import Gap, gap_table
from functok.corpus.splits import GROUPS
from functok.graph.bipartite import TokenFeatureGraph
from functok.graph.contrasts import primary, readings
from functok.graph.coverage import chance_reached, frequency_order
from functok.graph.labelled import LabelledGraph
from functok.tokens.counting.function_tokens import SPECIAL

LEAST = 20
"""Occurrences below which a token's hub index is too noisy to take part in the gaps."""
_GRID = 64
"""Points at which the pool's curve is computed when a group of documents is left out."""


@dataclass(frozen=True)
class Hubs:
    """The hub index under permuted labels."""

    tokens: pl.DataFrame
    """One row per token, most frequent first. Columns: token_id, token, class, subclass,
    occurrences, degree, expected (of the degree), hub (log ratio of the two), firings and strength
    (log ratio to the corpus's mean of active features, and of activation, per occurrence)."""
    gaps: pl.DataFrame
    """Of the hub index, under every reading of "function": see ``gap_table``."""
    headline: Gap
    """E[h | function] − E[h | content] at equal frequency, under the primary reading."""


def hubs(subject: LabelledGraph, least: int = LEAST) -> Hubs:
    """Hub index of every token, and its gap between the classes, from counts alone.

    Args:
        subject: the graph and its classes.
        least: occurrences that a token needs to take part in the gaps.
    """
    graph = subject.graph
    order = frequency_order(graph)
    seen = _Seen.of(graph)
    occurrences = graph.token_occurrences.sum(0)
    degree = seen.degree[order]
    expected = pool_curve(graph.activity.sum(0), graph.positions, occurrences[order])
    with np.errstate(divide="ignore", invalid="ignore"):  # a token without a feature: −∞
        hub = np.log(degree / expected)
        firings = np.log(seen.firings[order] / occurrences[order])
        strength = np.log(seen.strength[order] / occurrences[order])
        firings -= np.log(seen.firings.sum() / graph.positions)
        strength -= np.log(seen.strength.sum() / graph.positions)
    table = pl.DataFrame(
        {
            **subject.vocabulary.columns(order),
            "occurrences": occurrences[order],
            "degree": degree,
            "expected": expected,
            "hub": hub,
            "firings": firings,
            "strength": strength,
        }
    )
    taking = (
        (occurrences[order] >= least)
        & np.isfinite(hub)
        & (subject.vocabulary.classes[order] != SPECIAL)
    )
    ids, values = order[taking], hub[taking]
    left_out = _left_out(graph, seen, ids, values)
    sides = readings(subject)
    main = primary(sides, occurrences)
    gaps, headline = gap_table(sides, main, ids, values, occurrences[ids], subject.seed, left_out)
    return Hubs(table, gaps, headline)


def pool_curve(
    active_at: Int[np.ndarray, " features"], positions: int, drawn: Int[np.ndarray, " draws"]
) -> Float[np.ndarray, " draws"]:
    """S_pool: features that ``drawn`` random positions are expected to reach."""
    distinct, where = np.unique(drawn, return_inverse=True)
    counts, times = np.unique(active_at[active_at > 0], return_counts=True)
    found = [float(times @ chance_reached(counts, positions, int(some))) for some in distinct]
    return np.array(found)[where] if len(drawn) else np.zeros(0)


@dataclass(frozen=True)
class _Seen:
    """One pass over the edges."""

    degree: Int[np.ndarray, " vocabulary"]
    only: Int[np.ndarray, "groups vocabulary"]
    """Features that a token reaches in one group of documents and nowhere else."""
    firings: Int[np.ndarray, " vocabulary"]
    strength: Float[np.ndarray, " vocabulary"]

    @classmethod
    def of(cls, graph: TokenFeatureGraph) -> "_Seen":
        size = graph.vocabulary
        degree, only = np.zeros(size, np.int64), np.zeros((GROUPS, size), np.int64)
        firings, strength = np.zeros(size), np.zeros(size)
        for block in graph.by_token():
            pair = block.token * graph.features + block.feature
            first = np.append(True, pair[1:] != pair[:-1])
            alone = first & np.append(first[1:], True)
            degree += np.bincount(block.token[first], minlength=size)
            np.add.at(only, (block.group[alone], block.token[alone]), 1)
            firings += np.bincount(block.token, weights=block.occurrences, minlength=size)
            strength += np.bincount(block.token, weights=block.sum, minlength=size)
        return cls(degree, only, firings.astype(np.int64), strength)


def _left_out(
    graph: TokenFeatureGraph,
    seen: _Seen,
    tokens: Int[np.ndarray, " tokens"],
    values: Float[np.ndarray, " tokens"],
) -> Float[np.ndarray, "groups tokens"]:
    """The hub index with each group of documents left out that has any.

    A token that occurs in one group only keeps its value there. The pool's curve is smooth: it is
    computed at a few sizes and interpolated, to a few parts in 10⁴, since only the differences
    between groups count.
    """
    used = np.flatnonzero(graph.token_occurrences.sum(1))
    found = np.tile(values, (len(used), 1))
    everywhere, occurrences = graph.activity.sum(0), graph.token_occurrences.sum(0)
    for place, group in enumerate(used):
        kept = occurrences[tokens] - graph.token_occurrences[group, tokens]
        degree = seen.degree[tokens] - seen.only[group, tokens]
        moved = (kept > 0) & (degree > 0)
        if not moved.any():
            continue
        kept, degree = kept[moved], degree[moved]
        positions = graph.positions - int(graph.token_occurrences[group].sum())
        grid = np.unique(np.round(np.geomspace(kept.min(), kept.max(), _GRID)).astype(np.int64))
        curve = pool_curve(everywhere - graph.activity[group], positions, grid)
        expected = np.interp(np.log(kept), np.log(grid), np.log(curve))
        found[place, moved] = np.log(degree) - expected
    return found

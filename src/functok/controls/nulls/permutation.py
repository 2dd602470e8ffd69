"""Null model N1 by draws: labels permuted within documents, or within tenths of documents.

Permuted over the whole corpus (``hubs.py``) a token also loses its documents and its position in
them. Permuted within each document, or within each tenth of a document, it keeps these: what
remains of a hub index is neither its frequency nor its position. Burstiness, features' marginals
and co-activation stay as they are in every draw. See ``docs/methods.md#n1``.

The mean and the spread of a token's degree over the draws give its expectation and its z. Draws
need the occurrence store, which is held in memory: 8 bytes per firing.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import polars as pl
from jaxtyping import Int

from functok.controls.nulls.gaps import gap_table
from functok.controls.nulls.hubs import LEAST, Hubs
from functok.graph.contrasts import primary, readings
from functok.graph.labelled import LabelledGraph
from functok.graph.occurrences import read_occurrences
from functok.stats import benjamini_hochberg
from functok.tokens.counting.function_tokens import SPECIAL

Within = Literal["document", "place"]
"""Within what labels are permuted: each document, or each tenth of a document."""
TENTHS = 10
_CELLS = 1 << 27
"""(token, feature) pairs that are marked at once, one byte each."""


@dataclass(frozen=True)
class _Store:
    """An occurrence store in memory, tokens numbered from 0 in ascending order of their ids."""

    ids: Int[np.ndarray, " tokens"]
    label: Int[np.ndarray, " positions"]
    """Number of the token at each position."""
    document: Int[np.ndarray, " positions"]
    """Number of the document of each position."""
    position: Int[np.ndarray, " positions"]
    row: Int[np.ndarray, " firings"]
    feature: Int[np.ndarray, " firings"]


def permuted(
    subject: LabelledGraph, within: Within = "document", draws: int = 200, least: int = LEAST
) -> Hubs | None:
    """Hub index and z of every token against ``draws`` permutations of the labels.

    Args:
        subject: the graph and its classes.
        within: what labels are permuted within.
        draws: permutations.
        least: occurrences that a token needs to take part in the gaps.

    Returns:
        Tokens with the columns token_id, token, class, subclass, occurrences, degree, expected
        (mean over the draws), deviation (over the draws), hub (log ratio of degree to expected), z,
        p_value (two-sided, from the draws: at least 2 / (1 + draws)), q_value (Benjamini–Hochberg);
        gaps with intervals over the types alone. None if the graph was built without an occurrence
        store.
    """
    if subject.occurrences is None:
        return None
    store = _read(subject)
    count = len(store.ids)
    degree = _degrees(store, store.label, subject.graph.features)
    total, square = np.zeros(count), np.zeros(count)
    at_most, at_least = np.zeros(count), np.zeros(count)
    for label in _permutations(store, within, draws, subject.seed):
        found = _degrees(store, label, subject.graph.features)
        total += found
        square += np.square(found, dtype=float)
        at_most += found <= degree
        at_least += found >= degree
    expected = total / draws
    deviation = np.sqrt(np.maximum(square / draws - expected**2, 0) * draws / max(draws - 1, 1))
    occurrences = np.bincount(store.label, minlength=count)
    with np.errstate(divide="ignore", invalid="ignore"):  # 0 / 0: a token that cannot move
        hub = np.log(degree / expected)
        z = (degree - expected) / deviation
    p = np.minimum(2 * (1 + np.minimum(at_most, at_least)) / (1 + draws), 1)
    order = np.argsort(-occurrences, kind="stable")
    table = pl.DataFrame(
        {
            **subject.vocabulary.columns(store.ids[order]),
            "occurrences": occurrences[order],
            "degree": degree[order],
            "expected": expected[order],
            "deviation": deviation[order],
            "hub": hub[order],
            "z": z[order],
            "p_value": p[order],
            "q_value": benjamini_hochberg(p[order]),
        }
    )
    taking = (occurrences >= least) & np.isfinite(hub)
    taking &= subject.vocabulary.classes[store.ids] != SPECIAL
    sides = readings(subject)
    main = primary(sides, subject.graph.token_occurrences.sum(0))
    gaps, headline = gap_table(
        sides, main, store.ids[taking], hub[taking], occurrences[taking], subject.seed
    )
    return Hubs(table, gaps, headline)


def _read(subject: LabelledGraph) -> _Store:
    assert subject.occurrences is not None
    parts: dict[str, list[np.ndarray]] = {}
    before = 0
    for seen in read_occurrences(
        subject.occurrences, ("token", "document", "position", "features")
    ):
        seen["row"] = seen["row"].astype(np.int32) + before
        before += len(seen["token"])
        for name, column in seen.items():
            parts.setdefault(name, []).append(column)
    found = {name: np.concatenate(columns) for name, columns in parts.items()}
    kept = ~np.isin(found["features"], subject.graph.left_out)
    ids, label = np.unique(found["token"], return_inverse=True)
    _, document = np.unique(found["document"], return_inverse=True)
    return _Store(
        ids=ids.astype(np.int64),
        label=label,
        document=document,
        position=found["position"].astype(np.int64),
        row=found["row"][kept],
        feature=found["features"][kept],
    )


def _permutations(
    store: _Store, within: Within, draws: int, seed: int
) -> Iterator[Int[np.ndarray, " positions"]]:
    """The labels, permuted."""
    chance = np.random.default_rng(seed)
    cell = store.document.astype(np.int64)
    if within == "place":
        length = np.zeros(cell.max(initial=0) + 1, np.int64)
        np.maximum.at(length, cell, store.position + 1)
        cell = cell * TENTHS + store.position * TENTHS // length[cell]
    at = np.argsort(cell, kind="stable")
    for _ in range(draws):
        # positions of a cell in order, and the same positions in random order
        shuffled = np.argsort(cell + chance.random(len(cell)))
        label = np.empty_like(store.label)
        label[at] = store.label[shuffled]
        yield label


def _degrees(
    store: _Store, label: Int[np.ndarray, " positions"], features: int
) -> Int[np.ndarray, " tokens"]:
    """Distinct features at the positions of each label."""
    count = len(store.ids)
    found = np.zeros(count, np.int64)
    at_once = max(_CELLS // features, 1)
    token = label[store.row]
    for start in range(0, count, at_once):
        stop = min(start + at_once, count)
        here = slice(None) if stop - start == count else (token >= start) & (token < stop)
        marked = np.zeros((stop - start) * features, bool)
        marked[(token[here] - start) * features + store.feature[here]] = True
        found[start:stop] = np.count_nonzero(marked.reshape(stop - start, features), axis=1)
    return found

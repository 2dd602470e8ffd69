"""References that need every position: the same documents, the same tenths, adjacent positions.

For a set of tokens, from the occurrence store:

* ``document``: the same number of positions from each document as the set has there; * ``place``:
the same number from each tenth of each document; * ``before``, ``after``: the positions next to the
set's, the set shifted by −1 and +1. One that lies
  in the set itself, as in a run of function tokens, is kept: the question is whether the position
  matters or the token.

The store is read in passes over some hash groups of documents at a time, so that the firings of
their positions fit in memory.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from functok.controls.positions.pools import Pool, Strata, Tokens
from functok.corpus.splits import GROUPS, document_groups
from functok.graph.occurrences import read_occurrences
from functok.stats import log_missed

TENTHS = 10
_FIRINGS = 1 << 26
"""Held at once, more or less."""
_NEVER = -800.0
"""Log of a probability of 0."""


class Placed(NamedTuple):
    """The references of one set."""

    document: Strata
    place: Strata
    before: Pool
    after: Pool


@dataclass(frozen=True)
class _Positions:
    """Every position, in the store's order."""

    token: Int[np.ndarray, " positions"]
    group: Int[np.ndarray, " positions"]
    document: Int[np.ndarray, " positions"]
    """Number of the document."""
    place: Int[np.ndarray, " positions"]
    """Number of the document's tenth."""
    before: Int[np.ndarray, " positions"]
    """Token at the position before; −1 if there is none."""
    after: Int[np.ndarray, " positions"]

    @classmethod
    def of(cls, store: Path) -> "_Positions":
        parts = list(read_occurrences(store, ("token", "document", "position")))
        token, key, position = (
            np.concatenate([part[name] for part in parts]).astype(np.int64)
            for name in ("token", "document", "position")
        )
        keys, document = np.unique(key, return_inverse=True)
        length = np.zeros(len(keys), np.int64)
        np.maximum.at(length, document, position + 1)
        order = np.lexsort((position, document))
        adjacent = np.flatnonzero((np.diff(document[order]) == 0) & (np.diff(position[order]) == 1))
        first, second = order[adjacent], order[adjacent + 1]
        before, after = np.full((2, len(token)), -1)
        before[second], after[first] = token[first], token[second]
        place = document * TENTHS + position * TENTHS // length[document]
        return cls(token, document_groups(key), document, place, before, after)


def placed(
    store: Path, features: int, sets: Sequence[Tokens], left_out: Int[np.ndarray, " left_out"]
) -> list[Placed]:
    """The references of every set.

    Args:
        store: an occurrence store.
        features: of the SAE.
        sets: token ids of each.
        left_out: features that count as never active.
    """
    at = _Positions.of(store)
    shape = (len(sets), GROUPS, features)
    missed = np.zeros((2, *shape), np.float32)
    adjacent = np.zeros((2, *shape), np.int32)
    for groups, row, feature in _firings(store, at.group, left_out):
        inside = np.isin(at.group, groups)
        for number, stratum in enumerate((at.document, at.place)):
            key, times = np.unique(stratum[row] * features + feature, return_counts=True)
            where, which = np.divmod(key, features)
            size = np.bincount(stratum[inside], minlength=int(stratum.max()) + 1)
            group = np.zeros(len(size), np.int64)
            group[stratum[inside]] = at.group[inside]
            for index, tokens in enumerate(sets):
                mine = inside & tokens[at.token]
                drawn = np.bincount(stratum[mine], minlength=len(size))
                some = drawn[where] > 0
                here = where[some]
                chance = np.maximum(log_missed(times[some], size[here], drawn[here]), _NEVER)
                np.add.at(missed[number, index], (group[here], which[some]), chance)
        for number, neighbour in enumerate((at.after, at.before)):
            for index, tokens in enumerate(sets):
                some = _next_to(neighbour, tokens)[row]
                np.add.at(adjacent[number, index], (at.group[row[some]], feature[some]), 1)
    found = []
    for index, tokens in enumerate(sets):
        before, after = (
            Pool(
                adjacent[number, index],
                np.bincount(at.group[_next_to(neighbour, tokens)], minlength=GROUPS),
            )
            for number, neighbour in enumerate((at.after, at.before))
        )
        document, place = (Strata(missed[number, index]) for number in range(2))
        found.append(Placed(document, place, before, after))
    return found


def _next_to(neighbour: Int[np.ndarray, " positions"], tokens: Tokens) -> np.ndarray:
    return (neighbour >= 0) & tokens[neighbour]


def _firings(
    store: Path, group: Int[np.ndarray, " positions"], left_out: Int[np.ndarray, " left_out"]
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Groups of documents, and the (position, feature) of every firing in them."""
    total = sum(len(part["row"]) for part in read_occurrences(store, ("features",)))
    passes = min(-(-total // _FIRINGS), GROUPS)
    for groups in np.array_split(np.arange(GROUPS), max(passes, 1)):
        inside, rows, features, start = np.isin(group, groups), [], [], 0
        for part, size in _parts(store):
            keep = inside[start + part["row"]] & ~np.isin(part["features"], left_out)
            rows.append(start + part["row"][keep])
            features.append(part["features"][keep].astype(np.int64))
            start += size
        yield groups, np.concatenate(rows), np.concatenate(features)


def _parts(store: Path) -> Iterator[tuple[dict[str, np.ndarray], int]]:
    for part in read_occurrences(store, ("token", "features")):
        yield part, len(part["token"])

"""The best one-to-one pairing of function types with content types of equal frequency.

Of all pairings it takes one with the most pairs within the caliper, and among these the one with
the least Σ |log N_F − log N_C| (Hungarian assignment). Pairs agree exactly on form (piece of a word
or not, begins a word or not) and in length up to one character. See ``docs/methods.md#pairs``.

Only near candidates need to be considered: m function types can take at most m − 1 of one's m
nearest candidates, so a best pairing exists in which each has one of its m nearest. That limits the
problem to m² edges however many content types there are.

Several content types often have exactly the same frequency. Which of them is taken then follows
from a hash of the ids and the seed, whatever the order of the rows.
"""

from typing import NamedTuple

import numpy as np
import scipy.sparse
from jaxtyping import Float, Int
from scipy.sparse.csgraph import min_weight_full_bipartite_matching

from functok.corpus.splits import mixed
from functok.graph.contrasts import Sides

CALIPER = 0.1
"""Largest |log N_F − log N_C| of a pair."""
LENGTHS = 1
"""Largest difference of lengths, in characters."""
MOST = 1000
"""Most function types that are paired, chosen by hash: more would only cost time."""

_TIE = 1e-7


class Forms(NamedTuple):
    """What a pair must agree in."""

    kind: Int[np.ndarray, " vocabulary"]
    """Equal within a pair."""
    length: Int[np.ndarray, " vocabulary"]
    """Characters; within ``LENGTHS`` of each other."""

    @classmethod
    def of(cls, shown: list[str], subclasses: list[str]) -> "Forms":
        """From the tokens as shown: whether a piece of a word, whether it begins one."""
        piece = np.array(subclasses) == "subword"
        begins = np.array([text.startswith("␣") for text in shown], bool)
        length = np.array([len(text.removeprefix("␣")) for text in shown], np.int64)
        return cls(2 * piece.astype(np.int64) + begins, length)


class Pairs(NamedTuple):
    """Token ids, pair by pair, by rising id of the function type."""

    function: Int[np.ndarray, " pairs"]
    content: Int[np.ndarray, " pairs"]


def assign(
    sides: Sides,
    log_n: Float[np.ndarray, " vocabulary"],
    forms: Forms,
    seed: int,
    caliper: float = CALIPER,
) -> Pairs:
    """The best pairing; empty if nothing fits.

    Args:
        sides: the two classes.
        log_n: log occurrences of every type.
        forms: what must agree.
        seed: of the choice among equals.
        caliper: infinite for none.
    """
    function = np.flatnonzero(sides.function)
    if len(function) > MOST:
        function = np.sort(function[np.argsort(mixed(seed, function), kind="stable")[:MOST]])
    content = np.flatnonzero(sides.content)
    found = []
    for kind in np.unique(forms.kind[function]):
        one = function[forms.kind[function] == kind]
        two = content[forms.kind[content] == kind]
        found.append(_matched(one, two, log_n, forms.length, seed, caliper))
    pairs = np.concatenate([np.empty((0, 2), np.int64), *found])
    pairs = pairs[np.argsort(pairs[:, 0], kind="stable")]
    return Pairs(pairs[:, 0], pairs[:, 1])


def _matched(
    function: np.ndarray,
    content: np.ndarray,
    log_n: np.ndarray,
    length: np.ndarray,
    seed: int,
    caliper: float,
) -> Int[np.ndarray, "pairs 2"]:
    content = content[np.argsort(log_n[content], kind="stable")]
    ordered = log_n[content]
    rows, columns, costs = [], [], []
    for row, token in enumerate(function.tolist()):
        low = int(np.searchsorted(ordered, log_n[token] - caliper))
        high = int(np.searchsorted(ordered, log_n[token] + caliper, side="right"))
        near = np.arange(low, high)
        near = near[np.abs(length[content[near]] - length[token]) <= LENGTHS]
        cost = np.abs(ordered[near] - log_n[token])
        ids = content[near]  # the same whichever class is called function
        chance = mixed(seed, np.minimum(ids, token), np.maximum(ids, token)) / 2.0**63
        cost = cost + _TIE * chance
        kept = np.argsort(cost, kind="stable")[: len(function)]
        rows.append(np.full(len(kept), row))
        columns.append(near[kept])
        costs.append(cost[kept])
    size, others = len(function), len(content)
    cost = np.concatenate([np.empty(0), *costs])
    row = np.concatenate([np.empty(0, np.int64), *rows])
    if not len(row):
        return np.empty((0, 2), np.int64)
    # a dummy partner for each unmatched type, dearer than all pairs together; no weight may be 0
    alone = 2.0 + cost.max() * (size + 1)
    weight = np.concatenate([cost + 1.0, np.full(size, alone + 1.0)])
    place = np.concatenate([np.concatenate(columns), others + np.arange(size)])
    shape = (size, others + size)
    graph = scipy.sparse.csr_matrix((weight, (np.append(row, np.arange(size)), place)), shape)
    who, whom = min_weight_full_bipartite_matching(graph)
    paired = whom < others
    return np.column_stack([function[who[paired]], content[whom[paired]]])

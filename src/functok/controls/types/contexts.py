"""The neighbours of each token, on up to a hundred of its occurrences.

A type may be rich because much can follow it; whether that is the mechanism, or class itself, is
what the regression tests (``regression.py``). A mediator that is measured badly leaves a part of
its effect to class, so the diversity of neighbours is measured on ``EXPOSURE`` occurrences of every
type that has them, drawn by hash without replacement, and on all occurrences of a rarer one. What
depends on their number, and so on frequency, is left to the spline of frequency, which every model
has. See ``docs/methods.md#neighbours``.

Columns of ``context_table``, one row per token:

==================  ==========================================================================
column              meaning
==================  ==========================================================================
token_id
next_entropy        of the token after, nats, Miller–Madow corrected (``spread/neighbours.py``)
previous_entropy    of the token before
next_types          distinct tokens after
previous_types      distinct tokens before
burstiness          log(DF / E[DF]), all occurrences (``spread/dispersion.py``): 0 even, < 0 bursty
position            mean position in the document, all occurrences
==================  ==========================================================================
"""

from collections.abc import Sequence

import numpy as np
import polars as pl
from jaxtyping import Float

from functok.corpus.splits import mixed
from functok.encoding.tokenizer import Encoded
from functok.graph.labelled import LabelledGraph
from functok.graph.occurrences import read_occurrences
from functok.tokens.counting.counts import TokenCounts
from functok.tokens.spread.dispersion import expected_documents
from functok.tokens.spread.neighbours import EXPOSURE, Neighbours, neighbour_table

_ALL = np.uint8(0)
"""The thinning that keeps every occurrence."""


def context_table(encoded: Encoded, vocabulary: int, least: int, seed: int) -> pl.DataFrame:
    """The module's columns.

    Args:
        encoded: the documents that the graph was built from.
        vocabulary: token ids that there are.
        least: fewest occurrences of a token that has a row.
        seed: of the draw.
    """
    counts = TokenCounts.of(encoded, vocabulary)
    lengths = np.diff(encoded.offsets)
    place = np.arange(len(encoded.ids)) - np.repeat(encoded.offsets[:-1], lengths)
    key = np.repeat(encoded.keys, lengths)
    token = encoded.ids.astype(np.int64)
    every = Neighbours.of(encoded, np.full(vocabulary, _ALL))
    sample = Neighbours(every.token, every.previous, every.following, mixed(seed, key, place))
    size, times = np.unique(lengths, return_counts=True)
    table = neighbour_table(sample, EXPOSURE, least)
    ids = table["token_id"].to_numpy()
    occurrences, documents = counts.occurrences[ids], counts.documents[ids]
    positions = np.bincount(token, place, vocabulary)[ids]
    return table.with_columns(
        burstiness=np.log(documents / expected_documents(occurrences, size, times)),
        position=positions / occurrences,
    )


def by_token(
    table: pl.DataFrame, names: Sequence[str], vocabulary: int
) -> dict[str, Float[np.ndarray, " vocabulary"]]:
    """Columns of ``context_table`` by token id; NaN for the tokens that it lacks."""
    found = {name: np.full(vocabulary, np.nan) for name in names}
    for name, column in found.items():
        column[table["token_id"].to_numpy()] = table[name].to_numpy()
    return found


def mean_norms(subject: LabelledGraph) -> np.ndarray | None:
    """Mean ‖h‖ of every type's occurrences; None without an occurrence store."""
    store = subject.occurrences
    if store is None:
        return None
    total, seen = np.zeros((2, subject.graph.vocabulary))
    for some in read_occurrences(store, ("token", "norm")):
        total += np.bincount(some["token"], some["norm"], len(total))
        seen += np.bincount(some["token"], minlength=len(seen))
    with np.errstate(invalid="ignore"):
        return total / seen

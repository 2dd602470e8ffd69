"""The strongest occurrences of each feature, and the text around them.

Of all positions at which a feature is active, the ten with the largest activation are kept; of
equal ones those in the document with the lower hash, then the earlier position. That is a total
order, so the ten do not depend on how the documents were sharded.
"""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import torch
from jaxtyping import Float, Int
from torch import Tensor

from functok.graph.edges import rank_within

KEPT = 10
"""Occurrences per feature."""
AROUND = 32
"""Tokens of context on each side."""

_LOW = (1 << 32) - 1
_WINDOW = np.arange(-AROUND, AROUND + 1)


def strongest(
    feature: Int[Tensor, " firings"],
    value: Float[Tensor, " firings"],
    row: Int[Tensor, " firings"],
    document: Int[np.ndarray, " rows"],
    position: Int[np.ndarray, " rows"],
) -> pa.Table:
    """The strongest of some firings, reduced on their device.

    Args:
        feature: of each firing.
        value: its activation, > 0 (float32).
        row: its index into ``document`` and ``position``.
        document: hash of the document that a row is in.
        position: of the row in its document.

    Returns:
        Columns key (the feature), value, document, position, in the order described above.
    """
    # positive floats sort as their bits do, so feature and value sort as one integer
    bits = value.float().contiguous().view(torch.int32).to(torch.int64)
    key, order = torch.sort((feature << 32) | (_LOW - bits))
    sorted_feature = key >> 32
    _, counts = torch.unique_consecutive(sorted_feature, return_counts=True)
    starts = torch.cumsum(counts, 0) - counts
    # all that are as strong as the tenth: among equals the order needs the document
    last = key[torch.minimum(starts + KEPT, starts + counts) - 1]
    kept = order[key <= torch.repeat_interleave(last, counts)]
    rows = row[kept].cpu().numpy()
    return first(
        pa.table(
            {
                "key": feature[kept].cpu().numpy(),
                "value": value[kept].float().cpu().numpy(),
                "document": document[rows],
                "position": position[rows],
            }
        )
    )


def first(table: pa.Table) -> pa.Table:
    """The ``KEPT`` strongest rows of each feature, in order."""
    column = {name: table[name].to_numpy() for name in table.column_names}
    packed = _descending(column["key"], column["value"])
    order = np.argsort(packed)
    # among equals, which are few, by document and position
    ahead = packed[order]
    equal = np.flatnonzero(ahead[1:] == ahead[:-1])
    tied = np.union1d(equal, equal + 1)
    some = order[tied]
    order[tied] = some[
        np.lexsort((column["position"][some], column["document"][some], packed[some]))
    ]
    key = column["key"][order]
    return table.take(pa.array(order[rank_within(key) < KEPT]))


def _descending(
    key: Int[np.ndarray, " rows"], value: Float[np.ndarray, " rows"]
) -> Int[np.ndarray, " rows"]:
    """Numbers that ascend with the key, and within it as the value, > 0, falls."""
    return (key << 32) | (_LOW - value.astype(np.float32).view(np.int32).astype(np.int64))


def top(parts: list[pa.Table]) -> pa.Table:
    """The strongest of all ``parts``: a commutative monoid."""
    return first(pa.concat_tables(parts))


def contexts(
    tables: Iterator[pa.Table],
    ids: Int[np.ndarray, " tokens"],
    offsets: Int[np.ndarray, " bounds"],
    keys: Int[np.ndarray, " documents"],
) -> Iterator[pa.Table]:
    """Strongest occurrences with the tokens around them.

    Columns: feature, rank (from 1), value, document (hash), position, token, before (tokens of
    ``tokens`` that come before it), tokens (ids, at most 2 · 32 + 1).
    """
    order = np.argsort(keys, kind="stable")
    for table in tables:
        column = {name: table[name].to_numpy() for name in table.column_names}
        which = order[np.searchsorted(keys, column["document"], sorter=order)]
        at = offsets[which] + column["position"]
        around = at[:, None] + _WINDOW
        inside = (around >= offsets[which][:, None]) & (around < offsets[which + 1][:, None])
        bounds = np.concatenate([[0], np.cumsum(inside.sum(axis=1))])
        key = column["key"]
        yield pa.table(
            {
                "feature": key.astype(np.int32),
                "rank": (rank_within(key) + 1).astype(np.int16),
                "value": column["value"],
                "document": column["document"],
                "position": column["position"].astype(np.int32),
                "token": ids[at].astype(np.int32),
                "before": inside[:, :AROUND].sum(axis=1).astype(np.int16),
                "tokens": pa.ListArray.from_arrays(
                    bounds.astype(np.int32), ids[around[inside]].astype(np.int32)
                ),
            }
        )

"""The occurrence store: every position, and the features active there.

Columns: token, document (hash), position, next_token (−1 at a document's end), chosen (whether it
is the document's hash-chosen occurrence of the token), norm (of the SAE's input, ‖h‖), loss
(nats; NaN where it was not asked for), features (ascending) and activations (float32, so that
rules on strength see what the SAE computed). Rows are whole positions; files follow the shards.
Rules of activity that need the strength of each occurrence (``graph/activity.py``) and controls on
positions start here.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Float, Int

from functok.runtime.store import open_table

BYTES_PER_FIRING = 8
"""A feature's number and its activation, uncompressed."""
BYTES_PER_POSITION = 32


def occurrence_table(
    token: Int[np.ndarray, " rows"],
    document: Int[np.ndarray, " rows"],
    position: Int[np.ndarray, " rows"],
    following: Int[np.ndarray, " rows"],
    chosen: Bool[np.ndarray, " rows"],
    norm: Float[np.ndarray, " rows"],
    loss: Float[np.ndarray, " rows"],
    row: Int[np.ndarray, " firings"],
    feature: Int[np.ndarray, " firings"],
    value: Float[np.ndarray, " firings"],
) -> pa.Table:
    """One row per position; ``row`` says which each firing belongs to."""
    order = np.lexsort((position, document))
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    by = np.argsort(place[row] * (feature.max(initial=0) + 1) + feature)
    bounds = np.concatenate([[0], np.cumsum(np.bincount(place[row], minlength=len(order)))])
    offsets = pa.array(bounds.astype(np.int32))
    columns = {
        "token": token[order].astype(np.int32),
        "document": document[order],
        "position": position[order].astype(np.int32),
        "next_token": following[order].astype(np.int32),
        "chosen": chosen[order],
        "norm": norm[order].astype(np.float32),
        "loss": loss[order].astype(np.float32),
        "features": pa.ListArray.from_arrays(offsets, feature[by].astype(np.int32)),
        "activations": pa.ListArray.from_arrays(offsets, value[by].astype(np.float32)),
    }
    return pa.table(columns)


def store_size(positions: int, l0: float) -> int:
    """Bytes of an occurrence store before compression, as far as they can be foreseen."""
    return int(positions * (BYTES_PER_POSITION + l0 * BYTES_PER_FIRING))


def read_occurrences(
    place: Path,
    columns: Sequence[str] | None = None,
    documents: Int[np.ndarray, " documents"] | None = None,
) -> Iterator[dict[str, np.ndarray]]:
    """A store, or one file of it, row group by row group, lists flattened.

    Args:
        place: the store's folder, or the file.
        columns: by default all.
        documents: row groups that hold none of these are passed over; by default none is.

    Yields:
        The columns asked for by name. With ``features`` or ``activations`` also ``row``: which of
        the row group's positions each of their entries belongs to.
    """
    wanted = None if columns is None else [*columns]
    for path in sorted(place.glob("*.parquet")) if place.is_dir() else [place]:
        with open_table(path) as file:
            for number in range(file.metadata.num_row_groups):
                if documents is not None:
                    here = file.read_row_group(number, columns=["document"])["document"]
                    if not np.isin(here.to_numpy(), documents).any():
                        continue
                yield _flattened(file.read_row_group(number, columns=wanted))


def _flattened(table: pa.Table) -> dict[str, np.ndarray]:
    found: dict[str, np.ndarray] = {}
    for name in table.column_names:
        column = table[name].combine_chunks()
        if name in ("features", "activations"):
            lengths = np.diff(column.offsets.to_numpy())
            found["row"] = np.repeat(np.arange(len(lengths)), lengths)
            found[name] = column.flatten().to_numpy()
        else:
            found[name] = column.to_numpy(zero_copy_only=False)
    return found

"""The files of a graph on disk, written and read piece by piece.

=============================  ==================================================================
``edges/by-token.parquet``     token, feature, group, occurrences, documents, sum, max; sorted by
                               token, feature, group
``edges/by-feature.parquet``   the same rows sorted by feature, token, group
``tokens.parquet``             group, token, occurrences, documents: what the counts are out of
``features.parquet``           feature, group, occurrences: positions at which it is active
=============================  ==================================================================

Row groups hold at most 131,072 rows and carry the bounds of their columns, so that one token's or
one feature's edges are read without the rest.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Float, Int

from functok.corpus.splits import GROUPS
from functok.graph.construction.runs import edge_table, merge_edges, write_run
from functok.graph.edges import GRID, Edges, Packing
from functok.runtime.store import open_table, read_table
from functok.runtime.threads import BackgroundThread

ROW_GROUP = 1 << 17
"""Most rows that are read at once."""


class Columns(NamedTuple):
    """Edges as columns."""

    group: Int[np.ndarray, " edges"]
    token: Int[np.ndarray, " edges"]
    feature: Int[np.ndarray, " edges"]
    occurrences: Int[np.ndarray, " edges"]
    documents: Int[np.ndarray, " edges"]
    sum: Float[np.ndarray, " edges"]
    max: Float[np.ndarray, " edges"]

    @classmethod
    def of(cls, table: pa.Table) -> "Columns":
        """From a table with these columns (whole numbers as int64)."""
        found = {name: table[name].to_numpy() for name in cls._fields}
        whole = {name: found[name].astype(np.int64) for name in cls._fields[:5]}
        return cls(**{**found, **whole})

    def rows(self, which: np.ndarray | slice) -> "Columns":
        return Columns(*(column[which] for column in self))


def write_edges(folder: Path, pieces: Iterator[Edges], packing: Packing, rows: int) -> int:
    """Write both edge tables and ``features.parquet``.

    Args:
        folder: of the graph.
        pieces: edges under keys that sort by token, ascending from piece to piece.
        packing: of the keys.
        rows: of a piece that is merged, while the one before it is on its way to the disk.

    Returns:
        The number of edges.
    """
    (folder / "edges").mkdir()
    spill = folder / "spill"
    spill.mkdir()
    runs: list[Path] = []
    count = 0
    with (
        _edge_file(folder / "edges/by-token.parquet", "feature") as edges,
        BackgroundThread() as writing,
        BackgroundThread() as sorting,
    ):
        for piece in pieces:
            count += len(piece)
            writing.do(_add_by_token, edges, piece, packing)
            runs.append(spill / f"{len(runs):06d}.parquet")
            sorting.do(_spill_by_feature, runs[-1], piece, packing)
    align = packing.vocabulary * GROUPS
    with (
        _edge_file(folder / "edges/by-feature.parquet", "token") as edges,
        pq.ParquetWriter(folder / "features.parquet", _FEATURES, compression="zstd") as features,
        BackgroundThread() as writing,
    ):
        for piece in merge_edges(runs, rows, spill / "rounds", align):
            writing.do(_add_by_feature, edges, features, piece, packing)
    for left in sorted(spill.rglob("*"), reverse=True):
        left.rmdir() if left.is_dir() else left.unlink()
    spill.rmdir()
    return count


def write_tokens(
    folder: Path,
    occurrences: Int[np.ndarray, "groups vocabulary"],
    documents: Int[np.ndarray, "groups vocabulary"],
) -> None:
    """Write ``tokens.parquet``."""
    group, token = np.nonzero(occurrences)
    table = pa.table(
        {
            "group": group.astype(np.int16),
            "token": token.astype(np.int32),
            "occurrences": occurrences[group, token],
            "documents": documents[group, token],
        }
    )
    pq.write_table(table, folder / "tokens.parquet", compression="zstd")


def read_counts(
    path: Path, by: str, size: int, counts: tuple[str, ...]
) -> list[Int[np.ndarray, "groups size"]]:
    """Columns ``counts`` of a table with one row per group and ``by`` (token or feature)."""
    table = read_table(path)
    where = (table["group"].to_numpy(), table[by].to_numpy())
    found = [np.zeros((GROUPS, size), np.int64) for _ in counts]
    for count, into in zip(counts, found, strict=True):
        np.add.at(into, where, table[count].to_numpy())
    return found


class SortedTable:
    """A table sorted by one of its columns, of which only the row groups needed are read."""

    def __init__(self, path: Path, column: str) -> None:
        self._path, self._column = path, column
        with open_table(path) as file:
            place = file.schema_arrow.get_field_index(column)
            bounds = [
                file.metadata.row_group(number).column(place).statistics
                for number in range(file.metadata.num_row_groups)
            ]
            self._low = np.array([bound.min for bound in bounds], np.int64)
            self._high = np.array([bound.max for bound in bounds], np.int64)

    def at(self, value: int) -> Columns:
        """The edges in which the column is ``value``."""
        return Columns.of(self.rows(value))

    def rows(self, value: int) -> pa.Table:
        """The rows in which the column is ``value``, with all their columns."""
        groups = np.flatnonzero((self._low <= value) & (self._high >= value))
        with open_table(self._path) as file:
            if len(groups) == 0:
                return file.schema_arrow.empty_table()
            table = file.read_row_groups(groups.tolist())
        start, stop = np.searchsorted(table[self._column].to_numpy(), [value, value + 1])
        return table.slice(int(start), int(stop - start))

    def blocks(self) -> Iterator[Columns]:
        """All rows in order; rows with one value in the column are never torn apart."""
        held: pa.Table | None = None
        with open_table(self._path) as file:
            for number in range(file.metadata.num_row_groups):
                table = file.read_row_group(number)
                if held is not None:
                    table = pa.concat_tables([held, table]).combine_chunks()
                column = table[self._column].to_numpy()
                cut = int(np.searchsorted(column, column[-1]))
                if cut:
                    yield Columns.of(table.slice(0, cut))
                held = table.slice(cut)
        if held is not None and len(held):
            yield Columns.of(held)


_SCHEMA = pa.schema(
    {
        "token": pa.int32(),
        "feature": pa.int32(),
        "group": pa.int16(),
        "occurrences": pa.int32(),
        "documents": pa.int32(),
        "sum": pa.float64(),
        "max": pa.float32(),
    }
)
_FEATURES = pa.schema({"feature": pa.int32(), "group": pa.int16(), "occurrences": pa.int64()})


def _edge_file(path: Path, ascending: str) -> pq.ParquetWriter:
    """Within one token's edges (or one feature's) the other ascends, so its steps are kept; of a
    float the bytes of equal weight stand together, which compresses them."""
    floats = {"sum": "BYTE_STREAM_SPLIT", "max": "BYTE_STREAM_SPLIT"}
    encoding = {ascending: "DELTA_BINARY_PACKED", **floats}
    repeating = [name for name in _SCHEMA.names if name not in encoding]
    return pq.ParquetWriter(
        path,
        _SCHEMA,
        compression="zstd",
        use_dictionary=repeating,  # type: ignore[arg-type]
        column_encoding=encoding,
    )


def _add_by_token(edges: pq.ParquetWriter, piece: Edges, packing: Packing) -> None:
    edges.write_table(_public(piece, *packing.unpacked(piece.key)), ROW_GROUP)


def _spill_by_feature(run: Path, piece: Edges, packing: Packing) -> None:
    write_run(run, [edge_table(packing.by_feature(piece))])


def _add_by_feature(
    edges: pq.ParquetWriter, features: pq.ParquetWriter, piece: Edges, packing: Packing
) -> None:
    token, feature, group = packing.unpacked_by_feature(piece.key)
    edges.write_table(_public(piece, token, feature, group), ROW_GROUP)
    features.write_table(_activity(feature, group, piece.occurrences), ROW_GROUP)


def _public(edges: Edges, token: np.ndarray, feature: np.ndarray, group: np.ndarray) -> pa.Table:
    return pa.table(
        {
            "token": token.astype(np.int32),
            "feature": feature.astype(np.int32),
            "group": group.astype(np.int16),
            "occurrences": edges.occurrences.astype(np.int32),
            "documents": edges.documents.astype(np.int32),
            "sum": edges.units / GRID,
            "max": edges.max.astype(np.float32),
        },
        schema=_SCHEMA,
    )


def _activity(feature: np.ndarray, group: np.ndarray, occurrences: np.ndarray) -> pa.Table:
    cell, where = np.unique(feature * GROUPS + group, return_inverse=True)
    total = np.zeros(len(cell), np.int64)
    np.add.at(total, where, occurrences)
    return pa.table(
        {
            "feature": (cell // GROUPS).astype(np.int32),
            "group": (cell % GROUPS).astype(np.int16),
            "occurrences": total,
        },
        schema=_FEATURES,
    )

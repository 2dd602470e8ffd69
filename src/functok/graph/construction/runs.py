"""Sorted runs on the disk, and their merge in bounded memory.

A run is a Parquet file of rows in ascending order of ``key``, in small row groups. To merge runs,
the row groups' bounds (which Parquet keeps) cut the range of keys into pieces that hold a bounded
number of rows; each piece is read from every run and reduced by itself. Many runs are merged in
rounds, since every run may lend each piece one row group that lies across its border.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from functok.graph.edges import Edges, merged

ROW_GROUP = 1 << 14
"""Rows of a run that are read at once."""
FAN_IN = 64
"""Runs merged in one round: files that are open at once."""


def write_run(path: Path, tables: Iterator[pa.Table] | Sequence[pa.Table]) -> None:
    """Write tables whose ``key`` ascends from row to row and from table to table."""
    writer: pq.ParquetWriter | None = None
    try:
        for table in tables:
            if writer is None:
                # read once and gone: quick to write matters more than small
                writer = pq.ParquetWriter(
                    path,
                    table.schema,
                    compression="none",
                    use_dictionary=False,
                    write_statistics=["key"],  # type: ignore[arg-type]
                    column_encoding={"key": "DELTA_BINARY_PACKED"},
                )
            writer.write_table(table, row_group_size=ROW_GROUP)
    finally:
        if writer is not None:
            writer.close()


def edge_table(edges: Edges) -> pa.Table:
    """Edges as a run keeps them."""
    return pa.table(
        {
            "key": edges.key,
            "occurrences": edges.occurrences.astype(np.int32),
            "documents": edges.documents.astype(np.int32),
            "units": edges.units,
            "max": edges.max,
        }
    )


def edges_of(table: pa.Table) -> Edges:
    """Edges from a run's table."""
    column = {name: table[name].to_numpy() for name in table.column_names}
    return Edges(
        column["key"],
        column["occurrences"].astype(np.int64),
        column["documents"].astype(np.int64),
        column["units"],
        column["max"],
    )


@dataclass(frozen=True)
class _Group:
    """One row group of one run."""

    run: int
    number: int
    low: int
    high: int
    rows: int


def merge_edges(runs: Sequence[Path], rows: int, spill: Path, align: int = 1) -> Iterator[Edges]:
    """The merged edges of ``runs``, in pieces of ascending keys of about ``rows`` rows.

    Args:
        runs: written by ``write_run`` from ``edge_table``.
        rows: of a piece; a piece is larger where one stretch of ``align`` keys is.
        spill: a folder for the runs of earlier rounds.
        align: pieces begin at multiples of it.
    """

    def reduced(parts: list[pa.Table]) -> pa.Table:
        return edge_table(merged([edges_of(part) for part in parts]))

    for table in merge_runs(runs, rows, spill, reduced, align):
        yield edges_of(table)


def merge_runs(
    runs: Sequence[Path],
    rows: int,
    spill: Path,
    reduce: Callable[[list[pa.Table]], pa.Table],
    align: int = 1,
) -> Iterator[pa.Table]:
    """As ``merge_edges``, for rows of any kind that ``reduce`` brings together by ``key``."""
    runs = list(runs)
    while len(runs) > FAN_IN:
        some, runs = runs[:FAN_IN], runs[FAN_IN:]
        spill.mkdir(parents=True, exist_ok=True)
        path = spill / f"round-{len(list(spill.iterdir())):06d}.parquet"
        write_run(path, _one_round(some, rows, reduce, align))
        runs.append(path)
    yield from _one_round(runs, rows, reduce, align)


def _one_round(
    runs: Sequence[Path],
    rows: int,
    reduce: Callable[[list[pa.Table]], pa.Table],
    align: int,
) -> Iterator[pa.Table]:
    with ExitStack() as stack:
        files = [stack.enter_context(pq.ParquetFile(run)) for run in runs]
        groups = [group for number, file in enumerate(files) for group in _groups(file, number)]
        groups.sort(key=lambda group: group.low)
        bounds = [*_cuts(groups, rows, align), np.iinfo(np.int64).max]
        for low, high in pairwise([np.iinfo(np.int64).min, *bounds]):
            here = [group for group in groups if group.low < high and group.high >= low]
            parts = [_read(files[group.run], group.number, low, high) for group in here]
            parts = [part for part in parts if len(part)]
            if parts:
                yield reduce(parts)
            groups = [group for group in groups if group.high >= high]


def _cuts(groups: list[_Group], rows: int, align: int) -> list[int]:
    """Keys between which the row groups that begin there hold about ``rows`` rows."""
    cuts: list[int] = []
    held = 0
    for group in groups:
        cut = group.low // align * align
        if held and held + group.rows > rows and (not cuts or cut > cuts[-1]):
            cuts.append(cut)
            held = 0
        held += group.rows
    return cuts


def _groups(file: pq.ParquetFile, run: int) -> list[_Group]:
    column = file.schema_arrow.get_field_index("key")
    found = []
    for index in range(file.metadata.num_row_groups):
        group = file.metadata.row_group(index)
        if group.num_rows:
            bounds = group.column(column).statistics
            found.append(_Group(run, index, bounds.min, bounds.max, group.num_rows))
    return found


def _read(file: pq.ParquetFile, group: int, low: int, high: int) -> pa.Table:
    table = file.read_row_group(group, use_threads=False)
    key = table["key"].to_numpy()
    start, stop = np.searchsorted(key, [low, high])
    return table.slice(int(start), int(stop - start))

"""Partial results → one graph folder: runs merged out of core, contexts filled in, store linked."""

import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from functok.corpus.splits import GROUPS
from functok.encoding.tokenizer import Encoded
from functok.graph.construction.runs import merge_edges, merge_runs
from functok.graph.construction.shards import Parts
from functok.graph.construction.spill import BYTES_PER_FIRING
from functok.graph.construction.strongest import AROUND, KEPT, contexts, top
from functok.graph.edges import Edges, Packing
from functok.graph.folder import ROW_GROUP, write_edges, write_tokens
from functok.models.dictionaries import Disagreement
from functok.runtime.progress import Progress, Silent
from functok.runtime.store import read_json, read_table, write_json, writing_folder

DENSE = 0.1
"""Share of positions above which a feature is listed as dense."""


def assemble(
    parts: Parts,
    number: int,
    place: Path,
    packing: Packing,
    memory: int,
    encoded: Encoded,
    meta: dict[str, Any],
    progress: Progress | None = None,
    name: str = "graph",
) -> None:
    """Write the graph of SAE ``number`` to ``place``, whole or not at all.

    Args:
        parts: every shard's partial result.
        number: which of the job's readings.
        place: the graph's folder (``graph/folder.py``), with contexts.parquet, occurrences/ and
            meta.json.
        packing: of the edges' keys.
        memory: bytes that may be held.
        encoded: the documents, for contexts.
        meta: what is recorded with the graph.
        progress: who is told.
        name: what the work is called there.
    """
    folders = [folder / str(number) for folder in parts.folders]
    rows = max(memory // 4 // BYTES_PER_FIRING, 1)  # for each of the two that run in parallel
    with (
        writing_folder(place) as folder,
        (progress or Silent()).task(name, 3, "steps") as task,
        ThreadPoolExecutor(1) as background,
    ):
        written = background.submit(_write_contexts, folder, folders, rows, encoded)
        runs = _found(folders, "edges-*.parquet")
        pieces = merge_edges(runs, rows, folder / "rounds-edges", align=GROUPS)
        edges = write_edges(folder, _not_none(pieces), packing, rows)
        task.advance(note=f"{edges:,} edges")
        written.result()
        task.advance(note="contexts")
        _link_store(folder, folders)
        for left in folder.glob("rounds-*"):
            shutil.rmtree(left)
        totals = _write_totals(folder, folders, packing.vocabulary)
        write_json(
            folder / "meta.json", {**meta, **_recorded(folder, folders, packing, totals, meta)}
        )
        task.advance()


def _found(folders: list[Path], pattern: str) -> list[Path]:
    return [path for folder in folders for path in sorted(folder.glob(pattern))]


def _not_none(pieces: Iterator[Edges]) -> Iterator[Edges]:
    return (piece for piece in pieces if len(piece))


def _write_contexts(folder: Path, folders: list[Path], rows: int, encoded: Encoded) -> None:
    runs = _found(folders, "strongest-*.parquet")
    # a row of contexts carries its tokens
    pieces = merge_runs(runs, max(rows // 8, 1), folder / "rounds-strongest", top)
    tables = contexts(pieces, encoded.ids, encoded.offsets, encoded.keys)
    writer: pq.ParquetWriter | None = None
    for table in tables:
        writer = writer or pq.ParquetWriter(
            folder / "contexts.parquet",
            table.schema,
            compression="zstd",
            use_dictionary=["feature", "rank", "token", "before"],  # type: ignore[arg-type]
        )
        writer.write_table(table, ROW_GROUP // 8)
    if writer is not None:
        writer.close()


def _link_store(folder: Path, folders: list[Path]) -> None:
    """The store's files, under names in the order of the shards; linked where the disk can."""
    for shard, source in enumerate(folders):
        for file in sorted(source.glob("occurrences-*.parquet")):
            target = folder / "occurrences" / f"{shard:06d}-{file.stem.split('-')[1]}.parquet"
            target.parent.mkdir(exist_ok=True)
            try:
                os.link(file, target)
            except OSError:  # another file system, or one that knows no links
                shutil.copyfile(file, target)


def _write_totals(folder: Path, folders: list[Path], vocabulary: int) -> int:
    occurrences = np.zeros(GROUPS * vocabulary, np.int64)
    documents = np.zeros(GROUPS * vocabulary, np.int64)
    for source in folders:
        table = read_table(source / "tokens.parquet")
        cell = table["cell"].to_numpy()
        occurrences[cell] += table["occurrences"].to_numpy()
        documents[cell] += table["documents"].to_numpy()
    shape = (GROUPS, vocabulary)
    write_tokens(folder, occurrences.reshape(shape), documents.reshape(shape))
    return int(occurrences.sum())


def _recorded(
    folder: Path, folders: list[Path], packing: Packing, positions: int, meta: dict[str, Any]
) -> dict[str, Any]:
    statistics = [read_json(source / "statistics.json") for source in folders]
    names = ("checked", "changed", "active")
    found = sum(
        (Disagreement(**{name: each[name] for name in names}) for each in statistics),
        Disagreement(),
    )
    table: pa.Table = pq.read_table(folder / "features.parquet", columns=["feature", "occurrences"])
    active_at = np.bincount(
        table["feature"].to_numpy(),
        weights=table["occurrences"].to_numpy(),
        minlength=packing.features,
    )
    share = active_at / max(positions, 1)
    limit = meta["excluded"]["density_above"]
    return {
        "vocabulary": packing.vocabulary,
        "features": packing.features,
        "positions": positions,
        "groups": GROUPS,
        "active": "activation > 0",
        "l0": found.active / positions if positions else 0.0,
        "features_active": int(np.count_nonzero(active_at)),
        "features_dead": int(np.count_nonzero(active_at == 0)),
        "features_dense": np.flatnonzero(share > DENSE).tolist(),
        "features_left_out": [] if limit is None else np.flatnonzero(share > limit).tolist(),
        "dense_means": f"active at more than {DENSE:.0%} of the positions",
        "massive_positions_left_out": sum(each["massive"] for each in statistics),
        "activations_recomputed": found.checked,
        "activations_changed": found.changed,
        "contexts": f"{KEPT} strongest occurrences per feature, {AROUND} tokens on each side",
        "occurrence_store": (folder / "occurrences").is_dir(),
    }

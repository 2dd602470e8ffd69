"""What one shard writes for one SAE: sorted runs, totals, its part of the occurrence store.

Firings are collected on the SAE's device until a budget is reached; then they are reduced there to
edges and to the strongest occurrences, and written as sorted runs while the model continues. So a
shard may have any size and an SAE any density, in the same memory.
"""

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor

from functok.corpus.splits import GROUPS
from functok.graph.construction.runs import edge_table, write_run
from functok.graph.construction.strongest import strongest
from functok.graph.edges import Edges, Packing, counted
from functok.graph.occurrences import occurrence_table
from functok.models.dictionaries import Activations, Disagreement
from functok.runtime.threads import BackgroundThread

BYTES_PER_FIRING = 160
"""Held per firing while a run is made, temporaries of the sorts included."""


class Positions(NamedTuple):
    """Positions of one batch at which features are looked for."""

    token: np.ndarray
    document: np.ndarray
    """Hash of the document."""
    group: np.ndarray
    position: np.ndarray
    following: np.ndarray
    """Next token in the document, −1 at its end."""
    chosen: np.ndarray
    """Whether this is the document's hash-chosen occurrence of the token."""
    norm: np.ndarray
    """Of the SAE's input."""
    loss: np.ndarray
    """Of the next token's prediction, nats; NaN where there is none or none was asked for."""

    def at(self, kept: np.ndarray) -> "Positions":
        """Some of them."""
        return Positions(*(part[kept] for part in self))


class Spill:
    """One shard's firings of one SAE on their way to the disk."""

    def __init__(self, folder: Path, packing: Packing, memory: int, keeps_store: bool) -> None:
        folder.mkdir()
        self._folder, self._packing, self._keeps = folder, packing, keeps_store
        self._most = max(memory // 2 // BYTES_PER_FIRING, 1)  # one run fills while one is written
        self._writing = BackgroundThread()
        self._batches: list[tuple[Positions, Activations]] = []
        self._firings = self._runs = 0
        self._cells: list[np.ndarray] = []
        self._massive = 0
        self._disagreement = Disagreement()

    def add(
        self, at: Positions, active: Activations, massive: int, disagreement: Disagreement
    ) -> None:
        """Take in one batch.

        Args:
            at: its positions.
            active: the features active there; rows index ``at``.
            massive: positions that were left out for their norm.
            disagreement: of the low-precision product.
        """
        cell = at.group * self._packing.vocabulary + at.token
        self._cells.append(np.stack([cell, at.chosen.astype(np.int64)]))
        self._massive += massive
        self._disagreement += disagreement
        self._batches.append((at, active))
        self._firings += len(active.values)
        if self._firings >= self._most:
            self._flush()

    def close(self) -> None:
        """Write what is left, the totals and the statistics."""
        with self._writing:
            self._flush()
        cell, chosen = np.concatenate([np.empty((2, 0), np.int64), *self._cells], axis=1)
        distinct, where = np.unique(cell, return_inverse=True)
        table = {
            "cell": distinct,
            "occurrences": np.bincount(where, minlength=len(distinct)),
            "documents": np.bincount(where[chosen == 1], minlength=len(distinct)),
        }
        pq.write_table(pa.table(table), self._folder / "tokens.parquet", compression="zstd")
        statistics = {"massive": self._massive, **vars(self._disagreement)}
        (self._folder / "statistics.json").write_text(json.dumps(statistics))

    def _flush(self) -> None:
        if not self._batches:
            return
        at, active = _joined(self._batches)
        self._batches, self._firings = [], 0
        runs: dict[str, pa.Table] = {}
        if len(active.values):
            runs["edges"] = edge_table(self._edges(at, active))
            found = (active.features, active.values, active.rows)
            runs["strongest"] = strongest(*found, at.document, at.position)
        self._writing.do(self._write, at, active, runs, self._runs)
        self._runs += 1

    def _write(
        self, at: Positions, active: Activations, runs: dict[str, pa.Table], number: int
    ) -> None:
        """In another thread: no torch here, whose thread pools would fight over the cores."""
        for name, table in runs.items():
            write_run(self._folder / f"{name}-{number:04d}.parquet", [table])
        if self._keeps:
            row, feature, value = (part.cpu().numpy() for part in active)
            columns = {name: part for name, part in at._asdict().items() if name != "group"}
            store = occurrence_table(**columns, row=row, feature=feature, value=value)
            pq.write_table(
                store,
                self._folder / f"occurrences-{number:04d}.parquet",
                row_group_size=1 << 14,
                compression="zstd",
                use_dictionary=["token", "document", "next_token"],  # type: ignore[arg-type]
            )

    def _edges(self, at: Positions, active: Activations) -> Edges:
        device = active.values.device
        token, group, chosen = (
            torch.from_numpy(part).to(device)[active.rows]
            for part in (at.token, at.group, at.chosen)
        )
        key = (token * self._packing.features + active.features) * GROUPS + group
        return counted(key, chosen, active.values)


def _joined(batches: list[tuple[Positions, Activations]]) -> tuple[Positions, Activations]:
    places, found = zip(*batches, strict=True)
    joined = Positions(*(np.concatenate(parts) for parts in zip(*places, strict=True)))
    rows: list[Tensor] = []
    before = 0
    for at, active in batches:
        rows.append(active.rows + before)
        before += len(at.token)
    features = torch.cat([active.features for active in found])
    return joined, Activations(torch.cat(rows), features, torch.cat([a.values for a in found]))

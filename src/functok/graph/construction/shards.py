"""Documents → graph, shard by shard: one forward pass, sparse encoding, sorted runs.

A shard is a run of whole documents. Its partial result is a folder of runs per SAE (``spill.py``);
merging partial results is putting their lists of runs together, and ``assemble.py`` merges the runs
themselves. Model and SAEs may sit on different devices; activations travel in the model's own
precision.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from functok.corpus.splits import document_groups
from functok.encoding.contexts import RowFormat, uncounted
from functok.encoding.tokenizer import Encoded
from functok.graph.construction.observations import chosen_occurrences
from functok.graph.construction.spill import Positions, Spill
from functok.graph.edges import Packing
from functok.models.dictionaries import Dictionary, Precision, open_sae
from functok.models.forward import Batch, forward
from functok.models.language.hooks import HookPoint
from functok.models.language.model import Model, load_model, vocabulary_of

MEMORY = 2 << 30
"""Bytes that may be held beyond the weights, by default."""
BATCH = 4096
"""Positions per forward pass."""


@dataclass(frozen=True)
class Reading:
    """One SAE at one place of the model."""

    sae: str
    """See ``models/dictionaries/sources.py``."""
    hook: HookPoint
    massive: float = float("inf")
    """Positions with a larger norm are left out."""
    dense: float = 1.0
    """Features active at a larger share of the positions count as never active."""
    keeps_store: bool = True
    """Whether its occurrence store is written."""
    norm_factor: float | None = None
    """What its inputs are multiplied by; None: what its files say."""


@dataclass(frozen=True, kw_only=True)
class GraphJob:
    """What is done with the documents ``start`` to ``stop`` (see ``engine.Job``)."""

    key: str
    """Fingerprint of model, SAEs, documents and settings."""
    model: str
    """Model folder or hub name."""
    revision: str | None = None
    readings: tuple[Reading, ...]
    encoded: Path
    row_format: RowFormat
    special: tuple[int, ...]
    """Token ids that are excluded."""
    memory: int = MEMORY
    with_loss: bool = False
    dtype: str = "auto"
    """Of the model."""
    device: str = "cpu"
    sae_device: str = "cpu"
    precision: Precision = "fp32"
    """Of the SAE's products."""

    def shard_key(self, shard: tuple[int, int]) -> str:
        return f"{shard[0]}-{shard[1]}"

    def run(self, shard: tuple[int, int]) -> "Parts":
        model = loaded_model(self.model, self.revision, self.device, self.dtype, self.key)
        dictionaries = [
            loaded_dictionary(reading.sae, self.sae_device, self.key, reading.norm_factor)
            for reading in self.readings
        ]
        encoded = Encoded.load(self.encoded).slice(*shard)
        return Parts((), lambda folder: self._write(folder, model, dictionaries, encoded))

    def load(self, folder: Path) -> "Parts":
        return Parts((folder,))

    def _write(
        self, folder: Path, model: Model, dictionaries: list[Dictionary], encoded: Encoded
    ) -> None:
        vocabulary = vocabulary_of(model)
        share = self.memory // 4
        spills = [
            Spill(
                folder / str(number),
                Packing(vocabulary, dictionary.features),
                share // len(dictionaries),
                reading.keeps_store,
            )
            for number, (reading, dictionary) in enumerate(
                zip(self.readings, dictionaries, strict=True)
            )
        ]
        special = np.isin(np.arange(vocabulary), self.special)
        chosen = _chosen(encoded, special, self.row_format)
        groups = document_groups(encoded.keys)
        points = list(dict.fromkeys(reading.hook for reading in self.readings))
        for batch in forward(
            model,
            encoded,
            self.row_format,
            points,
            excluded=special,
            rows=max(BATCH // self.row_format.context, 1),
            with_losses=self.with_loss,
            memory=share,
        ):
            at = _positions(batch, encoded, groups, chosen)
            kept = {
                point: hidden.to(self.sae_device)
                for point, hidden in zip(points, batch.hidden, strict=True)
            }
            for reading, dictionary, spill in zip(self.readings, dictionaries, spills, strict=True):
                _observe(self, reading, dictionary, spill, at, kept[reading.hook])
        for spill in spills:
            spill.close()

    def tile(self) -> int:
        """Most elements of a dense block of pre-activations, by the memory given."""
        return max(min(self.memory // 4 // 8, 1 << 25), 1)


@dataclass(frozen=True)
class Parts:
    """Partial results: folders with as many sorted runs as it took (see ``engine.Partial``)."""

    folders: tuple[Path, ...]
    write: Callable[[Path], None] | None = None
    """Makes a partial result while it is saved, so that it is never held whole."""

    def merge(self, other: "Parts") -> "Parts":
        """The runs of both."""
        return Parts(self.folders + other.folders)

    def save(self, folder: Path) -> None:
        assert self.write is not None
        self.write(folder)


@lru_cache(maxsize=1)
def loaded_model(name: str, revision: str | None, device: str, dtype: str, key: str) -> Model:
    """One model per process; ``key`` stands for its content."""
    return load_model(name, revision, device, dtype)


@lru_cache(maxsize=8)
def loaded_dictionary(spec: str, device: str, key: str, norm_factor: float | None) -> Dictionary:
    """The encoder of an SAE, once per process; ``key`` stands for its content."""
    return open_sae(spec, device, norm_factor=norm_factor).dictionary


def document_shards(encoded: Encoded, tokens: int | None = None) -> list[tuple[int, int]]:
    """Runs of whole documents of about ``tokens`` tokens; by default more in a longer text."""
    tokens = tokens or max(min(len(encoded.ids) // 64, 65_536), 16_384)
    shard_of = encoded.offsets[:-1] // tokens
    bounds = np.flatnonzero(np.diff(shard_of, prepend=-1, append=-1))
    return [(int(start), int(stop)) for start, stop in pairwise(bounds)]


def _observe(
    job: GraphJob,
    reading: Reading,
    dictionary: Dictionary,
    spill: Spill,
    at: Positions,
    hidden: Tensor,
) -> None:
    norm = hidden.float().norm(dim=1).cpu().numpy()
    usual = norm <= reading.massive
    at = at._replace(norm=norm)
    massive = int(np.count_nonzero(~usual))
    if massive:
        at, hidden = at.at(usual), hidden[torch.from_numpy(usual).to(hidden.device)]
    active, disagreement = dictionary.encode_counted(hidden, job.tile(), job.precision)
    spill.add(at, active, massive, disagreement)


def _chosen(encoded: Encoded, special: np.ndarray, row_format: RowFormat) -> np.ndarray:
    """For every token: whether it is its document's hash-chosen occurrence.

    It is chosen before anything is computed, so where it is a massive position the document does
    not count for the token at all.
    """
    document = encoded.document_of()
    position = np.arange(len(encoded.ids)) - encoded.offsets[document]
    left = ~special[encoded.ids]
    left[uncounted(encoded, row_format)] = False
    kept = np.flatnonzero(left)
    mask = np.zeros(len(encoded.ids), bool)
    keys, ids = encoded.keys[document[kept]], encoded.ids[kept].astype(np.int64)
    mask[kept] = chosen_occurrences(keys, ids, position[kept])
    return mask


def _positions(batch: Batch, encoded: Encoded, groups: np.ndarray, chosen: np.ndarray) -> Positions:
    rows, counted = batch.rows, batch.counted
    document, position = rows.document[counted], rows.position[counted]
    loss = np.float32(np.nan) if batch.losses is None else batch.losses.cpu().numpy()
    targets = rows.targets[counted]
    return Positions(
        token=rows.ids[counted],
        document=encoded.keys[document],
        group=groups[document],
        position=position,
        following=np.where(targets >= 0, targets, -1),
        chosen=chosen[encoded.offsets[document] + position],
        norm=np.zeros(len(document), np.float32),
        loss=np.where(targets >= 0, loss, np.float32(np.nan)),
    )

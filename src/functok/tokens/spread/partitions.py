"""Occurrences of every token in every part of a corpus: what all dispersion measures start from.

Dispersion asks how evenly a token spreads over *parts* of a corpus: a fixed number (100) of about
equal ones into which documents fall by a hash of their tokens, or the documents themselves. The
table is sparse: most tokens are in few parts.

``Spread`` is what one pass over a corpus must keep so that every measure follows afterwards. It
holds whole numbers only and is a commutative monoid: shards are measured apart and merged in any
order, with the same result to the last bit.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import cast

import numpy as np
import polars as pl
from jaxtyping import Int, Integer
from safetensors.numpy import save_file
from scipy import sparse

from functok.corpus.splits import splitmix64
from functok.encoding.backend.bulk import Ids
from functok.encoding.tokenizer import Encoded
from functok.runtime.store import read_tensors
from functok.tokens.counting.frequencies import document_frequencies

PARTS = 100
"""More parts make Juilland's D tend to 1 whatever the token (Biber et al. 2016)."""


def content_keys(
    ids: Integer[np.ndarray, " tokens"], offsets: Integer[np.ndarray, " bounds"], vocabulary: int
) -> Integer[np.ndarray, " documents"]:
    """64 bits per document from its tokens (in any order): the same in every shard and run."""
    sums = np.zeros(len(ids) + 1, np.uint64)
    np.cumsum(_marks(vocabulary)[ids], out=sums[1:])  # wraps around, and so does the difference
    return splitmix64(sums[offsets[1:]] - sums[offsets[:-1]])


@cache
def _marks(vocabulary: int) -> np.ndarray:
    return splitmix64(np.arange(1, vocabulary + 1, dtype=np.uint64))


@dataclass(frozen=True)
class PartCounts:
    """Occurrences per (part, token)."""

    counts: sparse.csr_array
    """Sparse [parts, vocabulary], whole numbers."""

    @property
    def shape(self) -> tuple[int, int]:
        """Parts, vocabulary."""
        return cast(tuple[int, int], self.counts.shape)

    @property
    def sizes(self) -> Int[np.ndarray, " parts"]:
        """Tokens per part."""
        return np.asarray(self.counts.sum(axis=1)).ravel().astype(np.int64)

    @property
    def occurrences(self) -> Int[np.ndarray, " vocabulary"]:
        """Occurrences per token id."""
        return np.asarray(self.counts.sum(axis=0)).ravel().astype(np.int64)

    @classmethod
    def of(
        cls,
        documents: Encoded | Ids,
        part_of: Integer[np.ndarray, " documents"],
        parts: int,
        vocabulary: int,
    ) -> "PartCounts":
        """The counts of some documents, the d-th in part ``part_of[d]`` of ``parts``."""
        wide = np.uint64 if parts * vocabulary >= 1 << 32 else np.uint32
        cells = np.repeat(part_of.astype(wide) * wide(vocabulary), np.diff(documents.offsets))
        cells += documents.ids.astype(wide, copy=False)
        cells.sort()
        first = np.flatnonzero(np.append(True, cells[1:] != cells[:-1])[: len(cells)])
        counts = np.diff(np.append(first, len(cells)))
        part, token = np.divmod(cells[first].astype(np.int64), vocabulary)
        bounds = np.searchsorted(part, np.arange(parts + 1))
        return cls(sparse.csr_array((counts, token, bounds), shape=(parts, vocabulary)))

    @classmethod
    def zero(cls, vocabulary: int, parts: int = PARTS) -> "PartCounts":
        """The identity of ``merge``."""
        return cls(sparse.csr_array((parts, vocabulary), dtype=np.int64))

    def grouped(self, part_of: Int[np.ndarray, " parts"], parts: int) -> "PartCounts":
        """Coarser parts: row r goes into part ``part_of[r]`` of ``parts``."""
        rows = len(part_of)
        into = sparse.csr_array(
            (np.ones(rows, np.int64), (part_of, np.arange(rows))), shape=(parts, rows)
        )
        return PartCounts(sparse.csr_array(into @ self.counts))

    def without(self, tokens: Sequence[int]) -> "PartCounts":
        """The same corpus as if ``tokens`` (special ones) did not occur in it."""
        kept = np.ones(self.shape[1], np.int64)
        kept[list(tokens)] = 0
        table = sparse.csr_array(self.counts * kept[None, :])
        table.eliminate_zeros()
        return PartCounts(table)

    def weighted(self, weights: Int[np.ndarray, " parts"]) -> Int[np.ndarray, " vocabulary"]:
        """Occurrences per token with part d taken ``weights[d]`` times (a bootstrap draw)."""
        return np.asarray(weights @ self.counts).ravel()

    def merge(self, other: "PartCounts") -> "PartCounts":
        """The counts of both; the parts must be defined alike."""
        assert self.shape == other.shape, "parts or vocabularies differ"
        return PartCounts(sparse.csr_array(self.counts + other.counts))


@dataclass(frozen=True)
class Spread:
    """What dispersion needs of a corpus besides its counts, from one pass, mergeable."""

    parts: PartCounts
    """Occurrences per (hash part, token)."""
    lengths: Int[np.ndarray, " lengths"]
    """Distinct document lengths in tokens, ascending."""
    documents_of_length: Int[np.ndarray, " lengths"]
    """Documents of each length."""
    repeats: Int[np.ndarray, " vocabulary"]
    """Documents that contain the token twice or more."""

    @classmethod
    def zero(cls, vocabulary: int, parts: int = PARTS) -> "Spread":
        """The identity of ``merge``."""
        none, repeats = np.zeros(0, np.int64), np.zeros(vocabulary, np.int64)
        return cls(PartCounts.zero(vocabulary, parts), none, none, repeats)

    @classmethod
    def of(cls, documents: Encoded | Ids, vocabulary: int, parts: int = PARTS) -> "Spread":
        """The spread of some documents."""
        keys = content_keys(documents.ids, documents.offsets, vocabulary)
        part_of = keys % np.uint64(parts)
        lengths, how_many = np.unique(np.diff(documents.offsets), return_counts=True)
        return cls(
            PartCounts.of(documents, part_of, parts, vocabulary),
            lengths.astype(np.int64),
            how_many.astype(np.int64),
            document_frequencies(documents.ids, documents.offsets, vocabulary, again=True),
        )

    def merge(self, other: "Spread") -> "Spread":
        """The spread of both; documents must not be shared between the two."""
        lengths, where = np.unique(
            np.concatenate([self.lengths, other.lengths]), return_inverse=True
        )
        how_many = np.zeros(len(lengths), np.int64)
        np.add.at(
            how_many, where, np.concatenate([self.documents_of_length, other.documents_of_length])
        )
        parts, repeats = self.parts.merge(other.parts), self.repeats + other.repeats
        return Spread(parts, lengths, how_many, repeats)

    def save(self, folder: Path) -> None:
        table = self.parts.counts
        columns = {
            "data": table.data,
            "indices": table.indices,
            "indptr": table.indptr,
            "shape": np.array(table.shape),
            "lengths": self.lengths,
            "documents_of_length": self.documents_of_length,
            "repeats": self.repeats,
        }
        save_file(columns, folder / "spread.safetensors")

    @classmethod
    def load(cls, folder: Path) -> "Spread":
        columns = read_tensors(folder / "spread.safetensors")
        table = sparse.csr_array(
            (columns["data"], columns["indices"], columns["indptr"]),
            shape=tuple(int(side) for side in columns["shape"]),
        )
        rest = (columns[name] for name in ("lengths", "documents_of_length", "repeats"))
        return cls(PartCounts(table), *rest)


def bins_table(parts: PartCounts, tokens: Sequence[int], shown: Sequence[str]) -> pl.DataFrame:
    """Occurrences of ``tokens`` over the parts of a corpus: the paper's Figure 3a, b.

    Columns: token_id, token (as shown), bin (the part, from 0), positions (tokens in it),
    occurrences, per_thousand (of the bin's positions; 0 in an empty bin).
    """
    columns = sparse.csc_array(parts.counts)
    found = {token: columns[:, [token]].toarray().ravel().astype(np.int64) for token in tokens}
    return bins_of(parts.sizes, found, shown)


def bins_of(
    positions: Int[np.ndarray, " bins"],
    occurrences: Mapping[int, Int[np.ndarray, " bins"]],
    shown: Sequence[str],
) -> pl.DataFrame:
    """The table of ``bins_table``, from the tokens in each bin and the occurrences of each."""
    tables = []
    for token, found in occurrences.items():
        tables.append(
            pl.DataFrame(
                {
                    "token_id": np.full(len(positions), token, np.int64),
                    "token": [shown[token]] * len(positions),
                    "bin": np.arange(len(positions)),
                    "positions": positions,
                    "occurrences": found,
                    "per_thousand": 1000 * found / np.maximum(positions, 1),
                }
            )
        )
    return pl.concat(tables)

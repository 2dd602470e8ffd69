"""Occurrences of every token in every part of a corpus: what all dispersion measures start from.

Dispersion asks how evenly a token spreads over *parts* of a corpus. Parts are documents, or a
fixed number (at most 100) of equal ones into which documents fall by their hash. The table is
sparse: most tokens are in few parts.

``Spread`` is what one pass over a corpus must keep so that every measure follows afterwards. It
holds whole numbers only and is a commutative monoid: shards are measured apart and merged in any
order, with the same result to the last bit.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import polars as pl
from jaxtyping import Bool, Int
from safetensors.numpy import load_file, save_file
from scipy import sparse

from functok.tokens.counts import TokenCounts
from functok.tokens.encode import Encoded

PARTS = 100
"""More parts make Juilland's D tend to 1 whatever the token (Biber et al. 2016)."""


def hash_parts(
    keys: Int[np.ndarray, " documents"], parts: int = PARTS
) -> Int[np.ndarray, " documents"]:
    """The part of each document, by its hash: the same in every shard, whatever the order."""
    return (keys % parts).astype(np.int64)


def equal_bins(documents: int, bins: int) -> Int[np.ndarray, " documents"]:
    """Consecutive documents in ``bins`` bins whose sizes differ by one document at most."""
    return np.arange(documents, dtype=np.int64) * bins // max(documents, 1)


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

    @property
    def presence(self) -> Int[np.ndarray, " vocabulary"]:
        """Parts that contain the token; its document frequency where parts are documents."""
        return np.bincount(self.counts.indices, minlength=self.shape[1])

    @classmethod
    def by_document(cls, encoded: Encoded, vocabulary: int) -> "PartCounts":
        """Every document is a part."""
        table = sparse.csr_array(
            (np.ones(len(encoded.ids), np.int64), encoded.ids, encoded.offsets),
            shape=(len(encoded), vocabulary),
            copy=True,  # what follows sorts in place
        )
        table.sum_duplicates()
        return cls(table)

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

    def without(self, tokens: list[int]) -> "PartCounts":
        """The same corpus as if ``tokens`` (special ones) did not occur in it."""
        kept = np.ones(self.shape[1], np.int64)
        kept[tokens] = 0
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
    """All that dispersion needs of a corpus, from one pass, mergeable."""

    counts: TokenCounts
    """Occurrences and documents per token."""
    parts: PartCounts
    """Occurrences per (hash part, token)."""
    lengths: Int[np.ndarray, " lengths"]
    """Distinct document lengths in tokens, ascending."""
    documents_of_length: Int[np.ndarray, " lengths"]
    """Documents of each length."""

    @classmethod
    def zero(cls, vocabulary: int, parts: int = PARTS) -> "Spread":
        """The identity of ``merge``."""
        nothing = np.zeros(0, np.int64)
        counts, table = TokenCounts.zero(vocabulary), PartCounts.zero(vocabulary, parts)
        return cls(counts, table, nothing, nothing)

    @classmethod
    def of(cls, encoded: Encoded, vocabulary: int, parts: int = PARTS) -> "Spread":
        """The spread of some documents."""
        by_document = PartCounts.by_document(encoded, vocabulary)
        lengths, how_many = np.unique(by_document.sizes, return_counts=True)
        return cls(
            TokenCounts(by_document.occurrences, by_document.presence, len(encoded)),
            by_document.grouped(hash_parts(encoded.keys, parts), parts),
            lengths,
            how_many.astype(np.int64),
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
        return Spread(
            self.counts.merge(other.counts), self.parts.merge(other.parts), lengths, how_many
        )

    def save(self, folder: Path) -> None:
        self.counts.save(folder)
        table = self.parts.counts
        columns = {
            "data": table.data,
            "indices": table.indices,
            "indptr": table.indptr,
            "shape": np.array(table.shape),
            "lengths": self.lengths,
            "documents_of_length": self.documents_of_length,
        }
        save_file(columns, folder / "spread.safetensors")

    @classmethod
    def load(cls, folder: Path) -> "Spread":
        columns = load_file(folder / "spread.safetensors")
        table = sparse.csr_array(
            (columns["data"], columns["indices"], columns["indptr"]),
            shape=tuple(int(side) for side in columns["shape"]),
        )
        return cls(
            TokenCounts.load(folder),
            PartCounts(table),
            columns["lengths"],
            columns["documents_of_length"],
        )


def bins_table(
    encoded: Encoded, tokens: list[int], shown: list[str], bins: int = 100
) -> pl.DataFrame:
    """Occurrences of ``tokens`` over equal bins of consecutive documents: the paper's Figure 3a, b.

    Columns: token_id, token (as shown), bin (from 0), documents (in the bin), positions (tokens
    in the bin), occurrences, per_thousand (of the bin's positions; 0 in an empty bin).
    """
    part_of = equal_bins(len(encoded), bins)
    bin_of = np.repeat(part_of, np.diff(encoded.offsets))
    positions = np.bincount(bin_of, minlength=bins)
    tables = []
    for token in tokens:
        here: Bool[np.ndarray, " tokens"] = encoded.ids == token
        occurrences = np.bincount(bin_of[here], minlength=bins)
        tables.append(
            pl.DataFrame(
                {
                    "token_id": np.full(bins, token, np.int64),
                    "token": [shown[token]] * bins,
                    "bin": np.arange(bins),
                    "documents": np.bincount(part_of, minlength=bins),
                    "positions": positions,
                    "occurrences": occurrences,
                    "per_thousand": 1000 * occurrences / np.maximum(positions, 1),
                }
            )
        )
    return pl.concat(tables)

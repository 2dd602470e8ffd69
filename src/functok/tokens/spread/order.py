"""Where in a corpus some tokens occur, part after part in the corpus's own order: Figure 3a, b.

Parts by hash (``partitions``) answer how evenly a token is dispersed. Only in the order of the
corpus is a burst of one source or one topic seen. What is kept is whole numbers by *stretch*, some
consecutive documents: one document each in a small corpus, and never more than ``MOST`` stretches.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from jaxtyping import Int
from safetensors.numpy import save_file

from functok.encoding.backend.bulk import Ids
from functok.encoding.tokenizer import Encoded
from functok.runtime.store import read_tensors
from functok.tokens.spread.partitions import PARTS, bins_of

MOST = 20_000
"""Stretches that are kept: a part of a hundred then begins at most half a percent off its place."""


@dataclass(frozen=True)
class InOrder:
    """Occurrences of some tokens along a corpus; merged in the corpus's order."""

    documents: Int[np.ndarray, " stretches"]
    positions: Int[np.ndarray, " stretches"]
    """Tokens in each stretch."""
    counts: Int[np.ndarray, "stretches tokens"]

    @classmethod
    def zero(cls, tokens: int) -> "InOrder":
        """The identity of ``merge``."""
        none = np.zeros(0, np.int64)
        return cls(none, none, np.zeros((0, tokens), np.int64))

    @classmethod
    def of(cls, documents: Encoded | Ids, tokens: Sequence[int]) -> "InOrder":
        """Along some consecutive documents; nothing where no tokens are named."""
        if not tokens:
            return cls.zero(0)
        lengths = np.diff(documents.offsets).astype(np.int64)
        counts = np.zeros((len(lengths), len(tokens)), np.int64)
        for place, token in enumerate(tokens):
            found = np.flatnonzero(documents.ids == token)
            document = np.searchsorted(documents.offsets, found, side="right") - 1
            counts[:, place] = np.bincount(document, minlength=len(lengths))
        return cls(np.ones(len(lengths), np.int64), lengths, counts)._shortened()

    def merge(self, other: "InOrder") -> "InOrder":
        """Both, the documents of ``other`` after these."""
        return InOrder(
            np.concatenate([self.documents, other.documents]),
            np.concatenate([self.positions, other.positions]),
            np.concatenate([self.counts, other.counts]),
        )._shortened()

    def _shortened(self) -> "InOrder":
        """With neighbours put together until no more than ``MOST`` are left."""
        found = self
        while len(found.documents) > MOST:
            first = np.arange(0, len(found.documents), 2)
            parts = (found.documents, found.positions, found.counts)
            found = InOrder(*(np.add.reduceat(part, first, axis=0) for part in parts))
        return found

    def save(self, folder: Path) -> None:
        save_file(vars(self), folder / "order.safetensors")

    @classmethod
    def load(cls, folder: Path) -> "InOrder":
        return cls(**read_tensors(folder / "order.safetensors"))


def ordered_bins(found: InOrder, tokens: Sequence[int], shown: Sequence[str]) -> pl.DataFrame:
    """Occurrences of ``tokens`` over equal partitions of the documents, in the corpus's order.

    Args:
        found: of these tokens.
        tokens: their ids.
        shown: the text of every token id.

    Columns: those of ``bins_table``; as many bins as there are documents, at most ``PARTS``.
    """
    total = int(found.documents.sum())
    bins = min(PARTS, total)
    middle = found.documents.cumsum() - found.documents / 2
    part = np.minimum(bins * middle / max(total, 1), bins - 1).astype(np.int64)
    first = np.searchsorted(part, np.arange(bins))
    positions = np.bincount(part, found.positions, bins).astype(np.int64)
    assert (np.diff(first) > 0).all(), "no bin is empty"
    counts = np.add.reduceat(found.counts, first, axis=0)
    return bins_of(positions, dict(zip(tokens, counts.T, strict=True)), shown)

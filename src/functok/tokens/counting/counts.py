"""How often each token occurs, and in how many documents: paper §2.2.

``TokenCounts`` is a commutative monoid: shards are counted apart and merged in any order.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Integer
from safetensors.numpy import save_file

from functok.encoding.backend.bulk import Ids
from functok.encoding.tokenizer import Encoded
from functok.runtime.store import read_tensors
from functok.tokens.counting.frequencies import document_frequencies


@dataclass(frozen=True)
class TokenCounts:
    """Counts over a vocabulary; special tokens are counted like any other until a set is made."""

    occurrences: Integer[np.ndarray, " vocabulary"]
    """Occurrences per token id."""
    documents: Integer[np.ndarray, " vocabulary"]
    """Documents that contain the token, per token id."""
    corpus_documents: int
    """Documents counted, empty ones too."""

    @classmethod
    def zero(cls, vocabulary: int) -> "TokenCounts":
        """The identity of ``merge``."""
        return cls(np.zeros(vocabulary, np.int64), np.zeros(vocabulary, np.int64), 0)

    @classmethod
    def of(cls, encoded: Encoded | Ids, vocabulary: int) -> "TokenCounts":
        """The counts of some documents."""
        occurrences = np.bincount(encoded.ids, minlength=vocabulary)
        documents = document_frequencies(encoded.ids, encoded.offsets, vocabulary)
        return cls(occurrences, documents, len(encoded.offsets) - 1)

    def merge(self, other: "TokenCounts") -> "TokenCounts":
        """The counts of both; documents must not be shared between the two."""
        return TokenCounts(
            self.occurrences + other.occurrences,
            self.documents + other.documents,
            self.corpus_documents + other.corpus_documents,
        )

    def save(self, folder: Path) -> None:
        columns = {
            "occurrences": self.occurrences,
            "documents": self.documents,
            "corpus_documents": np.array([self.corpus_documents]),
        }
        save_file(columns, folder / "counts.safetensors")

    @classmethod
    def load(cls, folder: Path) -> "TokenCounts":
        columns = read_tensors(folder / "counts.safetensors")
        return cls(
            columns["occurrences"], columns["documents"], int(columns["corpus_documents"][0])
        )

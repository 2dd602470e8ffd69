"""The token–feature graph: which token types switch on which SAE features, and how often.

For each (token, feature) pair, by hash group of documents: occurrences of the token at which the
feature was active; documents in which it was active at *one hash-chosen occurrence of the token*
(counting a document when any of its occurrences fires would let frequency back in); sum and
maximum of the activation. Beside it, for each token, its occurrences and documents. Every control
that is computed from counts alone follows from these.

``TokenFeatureGraph`` is a commutative monoid to the last bit: activations are rounded to a grid of
2⁻²⁰ before they are summed in float64, where such sums are exact below 2³³.
"""

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Bool, Float, Int

from functok.corpus.splits import GROUPS, mixed
from functok.errors import UserError
from functok.store import read_json

GRID = 2.0**20
"""Activations are summed as multiples of 1 / GRID."""


@dataclass(frozen=True)
class Observations:
    """Some positions and the features active there; documents must be whole."""

    token: Int[np.ndarray, " positions"]
    document: Int[np.ndarray, " positions"]
    """Hash of the document that the position is in."""
    position: Int[np.ndarray, " positions"]
    """Position in the document."""
    group: Int[np.ndarray, " positions"]
    """Hash group of the document."""
    row: Int[np.ndarray, " active"]
    """Index of the position at which the feature is active."""
    feature: Int[np.ndarray, " active"]
    value: Float[np.ndarray, " active"]
    """Activation, > 0."""

    def chosen(self) -> Bool[np.ndarray, " positions"]:
        """One occurrence of each token in each document, picked by hash."""
        order = np.lexsort(
            (mixed(self.document, self.token, self.position), self.token, self.document)
        )
        document, token = self.document[order], self.token[order]
        first = np.ones(len(order), dtype=bool)
        first[1:] = (document[1:] != document[:-1]) | (token[1:] != token[:-1])
        mask = np.zeros(len(order), dtype=bool)
        mask[order[first]] = True
        return mask


@dataclass(frozen=True)
class TokenFeatureGraph:
    """Incidence counts, sorted by (group, token, feature)."""

    vocabulary: int
    features: int
    key: Int[np.ndarray, " edges"]
    """(group · vocabulary + token) · features + feature."""
    occurrences: Int[np.ndarray, " edges"]
    """Occurrences of the token at which the feature was active."""
    documents: Int[np.ndarray, " edges"]
    """Documents in which it was active at the token's hash-chosen occurrence."""
    sum: Float[np.ndarray, " edges"]
    """Σ activation."""
    max: Float[np.ndarray, " edges"]
    """Largest activation."""
    token_occurrences: Int[np.ndarray, "groups vocabulary"]
    token_documents: Int[np.ndarray, "groups vocabulary"]

    @classmethod
    def zero(cls, vocabulary: int, features: int) -> "TokenFeatureGraph":
        """The identity of ``merge``."""
        none, nothing = np.empty(0, np.int64), np.empty(0, np.float64)
        tokens = np.zeros((GROUPS, vocabulary), np.int64)
        return cls(vocabulary, features, none, none, none, nothing, nothing, tokens, tokens.copy())

    @classmethod
    def of(cls, seen: Observations, vocabulary: int, features: int) -> "TokenFeatureGraph":
        """The graph of some whole documents."""
        cell = seen.group * vocabulary + seen.token
        chosen = seen.chosen()
        size = GROUPS * vocabulary
        value = np.round(seen.value.astype(np.float64) * GRID) / GRID
        return cls(
            vocabulary,
            features,
            *_reduce(
                cell[seen.row] * features + seen.feature,
                np.ones(len(seen.row), np.int64),
                chosen[seen.row].astype(np.int64),
                value,
                value,
            ),
            np.bincount(cell, minlength=size).reshape(GROUPS, vocabulary),
            np.bincount(cell[chosen], minlength=size).reshape(GROUPS, vocabulary),
        )

    def merge(self, other: "TokenFeatureGraph") -> "TokenFeatureGraph":
        """The graph of both; no document may be in the two."""
        assert (self.vocabulary, self.features) == (other.vocabulary, other.features)
        key, occurrences, documents, total, largest = (
            np.concatenate([getattr(self, name), getattr(other, name)])
            for name in ("key", "occurrences", "documents", "sum", "max")
        )
        return TokenFeatureGraph(
            self.vocabulary,
            self.features,
            *_reduce(key, occurrences, documents, total, largest),
            self.token_occurrences + other.token_occurrences,
            self.token_documents + other.token_documents,
        )

    @cached_property
    def group(self) -> Int[np.ndarray, " edges"]:
        return self.key // (self.vocabulary * self.features)

    @cached_property
    def token(self) -> Int[np.ndarray, " edges"]:
        return self.key // self.features % self.vocabulary

    @cached_property
    def feature(self) -> Int[np.ndarray, " edges"]:
        return self.key % self.features

    @property
    def positions(self) -> int:
        """Positions counted."""
        return int(self.token_occurrences.sum())

    def save(self, folder: Path) -> None:
        """Write ``edges.parquet``, ``tokens.parquet`` and ``meta.json``."""
        edges = pa.table(
            {
                "group": self.group.astype(np.int16),
                "token": self.token.astype(np.int32),
                "feature": self.feature.astype(np.int32),
                "occurrences": self.occurrences,
                "documents": self.documents,
                "sum": self.sum,
                "max": self.max,
            }
        )
        pq.write_table(edges, folder / "edges.parquet", compression="zstd")
        group, token = np.nonzero(self.token_occurrences)
        tokens = pa.table(
            {
                "group": group.astype(np.int16),
                "token": token.astype(np.int32),
                "occurrences": self.token_occurrences[group, token],
                "documents": self.token_documents[group, token],
            }
        )
        pq.write_table(tokens, folder / "tokens.parquet", compression="zstd")
        meta = {
            "vocabulary": self.vocabulary,
            "features": self.features,
            "positions": self.positions,
            "groups": GROUPS,
            "active": "activation > 0",
        }
        (folder / "meta.json").write_text(json.dumps(meta, indent=2) + "\n")

    @classmethod
    def load(cls, folder: Path) -> "TokenFeatureGraph":
        """Read what ``save`` wrote.

        Raises:
            UserError: if there is no graph.
        """
        if not (folder / "meta.json").exists():
            raise UserError(f"There is no graph in {folder}; build it first (functok graph RUN).")
        meta = read_json(folder / "meta.json")
        vocabulary, features = meta["vocabulary"], meta["features"]
        edges = pq.read_table(folder / "edges.parquet")
        column = {name: edges[name].to_numpy() for name in edges.column_names}
        cell = column["group"].astype(np.int64) * vocabulary + column["token"]
        tokens = pq.read_table(folder / "tokens.parquet")
        where = (tokens["group"].to_numpy(), tokens["token"].to_numpy())
        occurrences = np.zeros((GROUPS, vocabulary), np.int64)
        documents = np.zeros((GROUPS, vocabulary), np.int64)
        occurrences[where] = tokens["occurrences"].to_numpy()
        documents[where] = tokens["documents"].to_numpy()
        return cls(
            vocabulary,
            features,
            cell * features + column["feature"],
            column["occurrences"],
            column["documents"],
            column["sum"],
            column["max"],
            occurrences,
            documents,
        )


def _reduce(
    key: np.ndarray,
    occurrences: np.ndarray,
    documents: np.ndarray,
    total: np.ndarray,
    largest: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Add up the rows that share a key; keys come out ascending and distinct."""
    if len(key) == 0:
        return key, occurrences, documents, total, largest
    order = np.argsort(key, kind="stable")
    key = key[order]
    start = np.flatnonzero(np.concatenate([[True], key[1:] != key[:-1]]))
    return (
        key[start],
        np.add.reduceat(occurrences[order], start),
        np.add.reduceat(documents[order], start),
        np.add.reduceat(total[order], start),
        np.maximum.reduceat(largest[order], start),
    )

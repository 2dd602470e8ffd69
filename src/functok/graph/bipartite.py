"""The token–feature graph: which token types activate which SAE features, and how often.

For each (token, feature) pair, by hash group of documents: occurrences of the token at which the
feature was active; documents in which it was active at *one hash-chosen occurrence of the token*
(counting a document when any of its occurrences fires would let frequency back in); sum and
maximum of the activation. For each token, also its occurrences and documents. Every control that
is computed from counts alone follows from these.

``TokenFeatureGraph`` is a commutative monoid to the last bit: activations are rounded to a grid of
2⁻²⁰ before they are summed. A loaded graph reads from disk only what is asked for.
"""

from collections.abc import Iterator
from copy import copy
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from functok.corpus.splits import GROUPS
from functok.graph.construction.observations import Observations
from functok.graph.edges import GRID, Edges, Packing, counted_here, merged
from functok.graph.folder import (
    Columns,
    SortedTable,
    read_counts,
    write_edges,
    write_tokens,
)
from functok.runtime.errors import UserError
from functok.runtime.store import read_json, read_table, write_json

__all__ = ["Observations", "TokenFeatureGraph"]

_ROWS = 1 << 22


class TokenFeatureGraph:
    """Incidence counts, in memory or in a folder."""

    vocabulary: int
    """Token ids that the model can read."""
    features: int
    """Features of the SAE."""
    token_occurrences: Int[np.ndarray, "groups vocabulary"]
    token_documents: Int[np.ndarray, "groups vocabulary"]
    meta: dict[str, Any]
    """What was read, and what was excluded (``meta.json``); empty in memory."""
    left_out: Int[np.ndarray, " left_out"]
    """Features that count as never active, ascending."""

    def __init__(
        self,
        vocabulary: int,
        features: int,
        key: Int[np.ndarray, " edges"],
        occurrences: Int[np.ndarray, " edges"],
        documents: Int[np.ndarray, " edges"],
        sum: Float[np.ndarray, " edges"],
        max: Float[np.ndarray, " edges"],
        token_occurrences: Int[np.ndarray, "groups vocabulary"],
        token_documents: Int[np.ndarray, "groups vocabulary"],
    ) -> None:
        """A graph in memory.

        Args:
            vocabulary: token ids that the model can read.
            features: of the SAE.
            key: (group · vocabulary + token) · features + feature; distinct.
            occurrences: of the token at which the feature was active.
            documents: in which it was active at the token's hash-chosen occurrence.
            sum: Σ activation.
            max: largest activation.
            token_occurrences: of each token, by group.
            token_documents: that hold the token, by group.
        """
        self.vocabulary, self.features = vocabulary, features
        self.token_occurrences, self.token_documents = token_occurrences, token_documents
        self.meta, self.folder, self.left_out = {}, None, np.zeros(0, np.int64)
        cell, feature = np.divmod(key, features)
        group, token = np.divmod(cell, vocabulary)
        self.columns = Columns(group, token, feature, occurrences, documents, sum, max)

    @classmethod
    def zero(cls, vocabulary: int, features: int) -> "TokenFeatureGraph":
        """The identity of ``merge``."""
        tokens = np.zeros((GROUPS, vocabulary), np.int64)
        return cls.of_edges(Edges.empty(), vocabulary, features, tokens, tokens.copy())

    @classmethod
    def of(cls, seen: Observations, vocabulary: int, features: int) -> "TokenFeatureGraph":
        """The graph of some whole documents."""
        cell, size = seen.group * vocabulary + seen.token, GROUPS * vocabulary
        chosen = seen.chosen()
        token, group = seen.token[seen.row], seen.group[seen.row]
        key = Packing(vocabulary, features).by_token(token, seen.feature, group)
        return cls.of_edges(
            counted_here(key, chosen[seen.row], seen.value.astype(np.float32)),
            vocabulary,
            features,
            np.bincount(cell, minlength=size).reshape(GROUPS, vocabulary),
            np.bincount(cell[chosen], minlength=size).reshape(GROUPS, vocabulary),
        )

    def merge(self, other: "TokenFeatureGraph") -> "TokenFeatureGraph":
        """The graph of both; no document may be in the two."""
        assert (self.vocabulary, self.features) == (other.vocabulary, other.features)
        return self.of_edges(
            merged([self._edges(), other._edges()]),
            self.vocabulary,
            self.features,
            self.token_occurrences + other.token_occurrences,
            self.token_documents + other.token_documents,
        )

    @classmethod
    def of_edges(
        cls, edges: Edges, vocabulary: int, features: int, occurrences: Any, documents: Any
    ) -> "TokenFeatureGraph":
        """A graph in memory from edges whose keys sort by token, and the tokens' counts."""
        token, feature, group = Packing(vocabulary, features).unpacked(edges.key)
        return cls(
            vocabulary,
            features,
            (group * vocabulary + token) * features + feature,
            edges.occurrences,
            edges.documents,
            edges.units / GRID,
            edges.max,
            occurrences,
            documents,
        )

    def _edges(self) -> Edges:
        """Sorted by token, feature, group."""
        at = self.columns
        key = Packing(self.vocabulary, self.features).by_token(at.token, at.feature, at.group)
        order = np.argsort(key, kind="stable")
        units = np.round(at.sum * GRID).astype(np.int64)
        whole = Edges(key, at.occurrences, at.documents, units, at.max.astype(np.float32))
        return whole.rows(order)

    @cached_property
    def columns(self) -> Columns:
        """Every edge; of a loaded graph they are all read now, and kept."""
        assert self.folder is not None
        return self._usual(Columns.of(read_table(self.folder / "edges/by-token.parquet")))

    @property
    def positions(self) -> int:
        """Positions counted."""
        return int(self.token_occurrences.sum())

    def save(self, folder: Path) -> None:
        """Write the tables of ``graph/folder.py`` and ``meta.json``."""
        write_edges(folder, iter([self._edges()]), Packing(self.vocabulary, self.features), _ROWS)
        write_tokens(folder, self.token_occurrences, self.token_documents)
        sizes = {name: getattr(self, name) for name in ("vocabulary", "features", "positions")}
        meta = {**self.meta, **sizes, "groups": GROUPS, "active": "activation > 0"}
        write_json(folder / "meta.json", meta)

    @classmethod
    def load(cls, folder: Path) -> "TokenFeatureGraph":
        """Open what ``save`` wrote; edges are read when they are asked for.

        Raises:
            UserError: if there is no graph.
        """
        if not (folder / "meta.json").exists():
            raise UserError(f"There is no graph in {folder}; build it first (functok graph RUN).")
        graph = cls.__new__(cls)
        graph.folder, graph.meta = folder, read_json(folder / "meta.json")
        graph.vocabulary, graph.features = graph.meta["vocabulary"], graph.meta["features"]
        graph.token_occurrences, graph.token_documents = read_counts(
            folder / "tokens.parquet", "token", graph.vocabulary, ("occurrences", "documents")
        )
        graph.left_out = np.array(graph.meta.get("features_left_out", []), np.int64)
        return graph

    def without(self, features: Int[np.ndarray, " features"]) -> "TokenFeatureGraph":
        """The graph as if ``features`` were never active; positions stay as they are."""
        graph = copy(self)
        graph.left_out = np.union1d(self.left_out, features).astype(np.int64)
        for kept in ("activity", "columns") if self.folder else ("activity",):
            vars(graph).pop(kept, None)
        if self.folder is None:
            graph.columns = graph._usual(self.columns)
        return graph

    def _usual(self, columns: Columns) -> Columns:
        if not len(self.left_out):
            return columns
        return columns.rows(~np.isin(columns.feature, self.left_out))

    # What analyses read, so that none needs every edge at once.

    @cached_property
    def activity(self) -> Int[np.ndarray, "groups features"]:
        """Positions at which each feature is active, by group."""
        if self.folder is None:
            found = np.zeros((GROUPS, self.features), np.int64)
            at = self.columns
            np.add.at(found, (at.group, at.feature), at.occurrences)
            return found
        path = self.folder / "features.parquet"
        (found,) = read_counts(path, "feature", self.features, ("occurrences",))
        found[:, self.left_out] = 0
        return found

    def activity_of(self, tokens: Int[np.ndarray, " tokens"]) -> Int[np.ndarray, "groups features"]:
        """Positions at which each feature is active at one of ``tokens``, by group."""
        found = np.zeros((GROUPS, self.features), np.int64)
        parts = (self.of_token(int(token)) for token in tokens)
        if self.folder is None:
            parts = iter([self.columns.rows(np.isin(self.columns.token, tokens))])
        for part in parts:
            np.add.at(found, (part.group, part.feature), part.occurrences)
        return found

    def of_token(self, token: int) -> Columns:
        """The edges of one token; of a folder, only their row groups are read."""
        if self.folder is None:
            return self.columns.rows(self.columns.token == token)
        return self._usual(self._by_token.at(token))

    def of_feature(self, feature: int) -> Columns:
        """The edges of one feature; of a folder, only their row groups are read."""
        if self.folder is None:
            return self.columns.rows(self.columns.feature == feature)
        return self._usual(self._by_feature.at(feature))

    def by_token(self) -> Iterator[Columns]:
        """Every edge, block by block, sorted by token; a token's edges are in one block."""
        if self.folder is not None:
            yield from map(self._usual, self._by_token.blocks())
        elif len((at := self.columns).token):
            yield at.rows(np.lexsort((at.group, at.feature, at.token)))

    def by_feature(self) -> Iterator[Columns]:
        """Every edge, block by block, sorted by feature; a feature's edges are in one block."""
        if self.folder is not None:
            yield from map(self._usual, self._by_feature.blocks())
        elif len((at := self.columns).token):
            yield at.rows(np.lexsort((at.group, at.token, at.feature)))

    @cached_property
    def _by_token(self) -> SortedTable:
        assert self.folder is not None
        return SortedTable(self.folder / "edges/by-token.parquet", "token")

    @cached_property
    def _by_feature(self) -> SortedTable:
        assert self.folder is not None
        return SortedTable(self.folder / "edges/by-feature.parquet", "feature")

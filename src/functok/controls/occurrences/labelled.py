"""Occurrences of a token by a label of each occurrence, from the occurrence store.

The graph adds up everything that a token id does. Whether "to" is rich as a particle or as a
preposition, or whether a token is rich before a noun, can be seen only in single occurrences.
Labels come from outside (a treebank's tags, the tiny world's grammar, the next token); an
occurrence is matched with its label by document and position, and one without a label is ignored.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int

from functok.corpus import Document
from functok.corpus.splits import mixed
from functok.encoding.tokenizer import Encoded, Tokenizer
from functok.graph.occurrences import read_occurrences
from functok.richness.incidence import Incidence
from functok.tokens.grammar.alignment import align
from functok.tokens.grammar.treebanks import Treebank

Rows = dict[str, np.ndarray]
"""Columns of an occurrence store, one row group."""
LabelOf = Callable[[Rows], Int[np.ndarray, " rows"]]
"""The label of each row, from 0; −1 for none."""


@dataclass(frozen=True)
class Labels:
    """A label for some occurrences of some documents."""

    names: tuple[str, ...]
    """Of each label."""
    where: Int[np.ndarray, " occurrences"]
    """Hash of document and position, ascending."""
    code: Int[np.ndarray, " occurrences"]
    """Index into ``names``."""

    @classmethod
    def of(cls, encoded: Encoded, labels: Sequence[str] | np.ndarray) -> "Labels":
        """A label for every token of some documents; an empty one is none."""
        named, code = np.unique(np.asarray(labels, dtype=str), return_inverse=True)
        lengths = np.diff(encoded.offsets)
        place = np.arange(len(encoded.ids)) - np.repeat(encoded.offsets[:-1], lengths)
        where = mixed(np.repeat(encoded.keys, lengths), place)
        kept = named[code] != "" if len(code) else np.zeros(0, bool)
        order = np.argsort(where[kept], kind="stable")
        return cls(tuple(named.tolist()), where[kept][order], code[kept][order])

    @classmethod
    def of_treebank(cls, treebank: Treebank, tokenizer: Tokenizer) -> "Labels":
        """The part of speech of every token that begins a word (``tokens/grammar/alignment.py``).

        They match the occurrences of a graph that was built from the treebank's own text.
        """
        aligned = align(treebank, tokenizer)
        keys = np.array([Document("", text).key for text in treebank.texts], np.int64)
        sizes = np.bincount(aligned["document"].to_numpy(), minlength=len(keys))
        bounds = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        ids = aligned["token_id"].to_numpy().astype(np.int32)
        return cls.of(Encoded(ids, bounds, keys), aligned["klass"].to_list())

    def __call__(self, rows: Rows) -> Int[np.ndarray, " rows"]:
        """The label of each row (see ``LabelOf``)."""
        if not len(self.where):
            return np.full(len(rows["document"]), -1)
        where = mixed(rows["document"], rows["position"])
        place = np.minimum(np.searchsorted(self.where, where), len(self.where) - 1)
        return np.where(self.where[place] == where, self.code[place], -1)

    def occur_in(self, store: Path) -> bool:
        """Whether any occurrence in ``store`` has a label."""
        return any((self(rows) >= 0).any() for rows in read_occurrences(store, _PLACE))


_PLACE = ("document", "position")


class Use(NamedTuple):
    """The occurrences of one token under one label."""

    token: int
    label: int
    incidence: Incidence


def uses(
    store: Path,
    features: int,
    label_of: LabelOf,
    chosen: Callable[
        [Int[np.ndarray, " u"], Int[np.ndarray, " u"], Int[np.ndarray, " u"]],
        Bool[np.ndarray, " u"],
    ],
) -> list[Use]:
    """Every (token, label) that is ``chosen``, with its features; by token, then label.

    Args:
        store: an occurrence store.
        features: of the SAE.
        label_of: the label of each row.
        chosen: of the (token, label) pairs there are, given tokens, labels and exposures: which are
            wanted. The activations of the others are not kept.
    """  # fmt: skip
    columns = ("token", "document", "position", "next_token")

    def packed(rows: Rows) -> Int[np.ndarray, " rows"]:
        label = label_of(rows).astype(np.int64)
        return np.where(label >= 0, rows["token"].astype(np.int64) << 32 | label, -1)

    pair, exposure = _summed(
        np.unique(packed(rows), return_counts=True) for rows in read_occurrences(store, columns)
    )
    pair, exposure = pair[pair >= 0], exposure[pair >= 0]
    wanted = chosen(pair >> 32, pair & 0xFFFFFFFF, exposure)
    pair, exposure = pair[wanted], exposure[wanted]
    if not len(pair):
        return []

    def firings(rows: Rows) -> tuple[np.ndarray, np.ndarray]:
        own = packed(rows)
        place = np.minimum(np.searchsorted(pair, own), len(pair) - 1)
        place = np.where(pair[place] == own, place, -1)[rows["row"]]
        kept = place >= 0
        key = place[kept] * features + rows["features"].astype(np.int64)[kept]
        return np.unique(key, return_counts=True)

    key, counts = _summed(map(firings, read_occurrences(store, (*columns, "features"))))
    bounds = np.searchsorted(key // features, np.arange(len(pair) + 1))
    return [
        Use(int(own >> 32), int(own & 0xFFFFFFFF), Incidence(counts[one:two], int(size)))
        for own, size, one, two in zip(pair, exposure, bounds[:-1], bounds[1:], strict=True)
    ]


def _summed(parts: object) -> tuple[np.ndarray, np.ndarray]:
    """Counts of equal keys added up, keys ascending."""
    held: list[tuple[np.ndarray, np.ndarray]] = [(np.empty(0, np.int64), np.empty(0, np.int64))]
    for part in parts:  # type: ignore[attr-defined]
        held.append(part)
        if sum(len(key) for key, _ in held[1:]) > max(len(held[0][0]), 1 << 20):
            held = [_merged(held)]
    return _merged(held)


def _merged(parts: list[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    key, where = np.unique(np.concatenate([key for key, _ in parts]), return_inverse=True)
    counts = np.zeros(len(key), np.int64)
    np.add.at(counts, where, np.concatenate([count for _, count in parts]))
    return key, counts

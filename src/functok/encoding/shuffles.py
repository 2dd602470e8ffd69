"""The same tokens in another order, or under other names.

Documents keep their lengths and keys, special tokens their places.

=============  ==================================================================================
text           what is changed
=============  ==================================================================================
``document``   tokens shuffled within each document: no order, the document's words
``corpus``     shuffled over all documents: unigram frequencies alone
``nearby``     shuffled within windows of five: no grammar, nearly the same context
``renamed``    every token type replaces another of about equal frequency: the order and
               its statistics are kept, the names (and what the model knows of them) are not
=============  ==================================================================================
"""

from typing import Literal

import numpy as np
from jaxtyping import Bool, Int

from functok.encoding.tokenizer import Encoded

Text = Literal["natural", "document", "corpus", "nearby", "renamed"]

WINDOW = 5
"""Tokens that are shuffled among themselves (``nearby``)."""
NEIGHBOURS = 8
"""Types next in frequency that exchange their places (``renamed``)."""


def altered(encoded: Encoded, text: Text, special: tuple[int, ...], seed: int) -> Encoded:
    """``encoded`` as that text."""
    if text == "natural":
        return encoded
    chance = np.random.default_rng(seed)
    free = ~np.isin(encoded.ids, special)
    if text == "renamed":
        return Encoded(_renamed(encoded.ids, free, chance), encoded.offsets, encoded.keys)
    document = encoded.document_of()
    cell = document if text != "corpus" else np.zeros_like(document)
    if text == "nearby":  # where the window starts
        start = encoded.offsets[document]
        cell = start + (np.arange(len(encoded.ids)) - start) // WINDOW * WINDOW
    cell = cell[free]
    ids = encoded.ids.copy()
    # positions of a cell in their order, against the same positions in a random one
    order = np.argsort(cell, kind="stable")
    mine = encoded.ids[free]
    shuffled = np.empty_like(mine)
    shuffled[order] = mine[np.lexsort((chance.random(len(cell)), cell))]
    ids[free] = shuffled
    return Encoded(ids, encoded.offsets, encoded.keys)


def _renamed(
    ids: Int[np.ndarray, " tokens"],
    free: Bool[np.ndarray, " tokens"],
    chance: np.random.Generator,
) -> Int[np.ndarray, " tokens"]:
    types, count = np.unique(ids[free], return_counts=True)
    by_rank = types[np.argsort(-count, kind="stable")]
    name = np.arange(int(ids.max(initial=0)) + 1, dtype=ids.dtype)
    for start in range(0, len(by_rank), NEIGHBOURS):
        near = by_rank[start : start + NEIGHBOURS]
        name[near] = near[chance.permutation(len(near))]
    return np.where(free, name[ids], ids)

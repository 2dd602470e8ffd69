"""A text of word pairs whose law is known, with classes assigned at random."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from functok.consolidation.losses import Losses
from functok.corpus.splits import mixed
from functok.encoding.contexts import RowFormat, context_rows
from functok.encoding.tokenizer import Encoded
from functok.tokens.counting.function_tokens import class_array
from functok.tokens.vocabulary import Vocabulary

TYPES, DOCUMENTS, LENGTH = 121, 128, 80
"""Type 0 is special: it begins every row, and stands nowhere in the text."""
FORMAT = RowFormat(LENGTH + 1, 0)
PAIRS = 3
"""Successors of a token, one of which follows it half of the time."""


class Text(NamedTuple):
    """Drawn documents."""

    encoded: Encoded
    vocabulary: Vocabulary
    law: Float[np.ndarray, "types types"]
    """P(next | current)."""

    @property
    def nothing(self) -> Bool[np.ndarray, " tokens"]:
        """The tokens that are left out: none."""
        return np.zeros(len(self.encoded.ids), bool)

    def part(self, start: int, stop: int) -> "Text":
        """Some of the documents."""
        return self._replace(encoded=self.encoded.slice(start, stop))

    def known(self) -> Losses:
        """−log P of what follows, by the law."""
        found = []
        for rows in context_rows(self.encoded, FORMAT):
            within = rows.document >= 0
            targets = rows.targets[within]
            chance = self.law[rows.ids[within], np.maximum(targets, 1)]
            found.append((rows, np.where(targets > 0, -np.log(chance), 0.0)))
        return found


def drawn_text(seed: int, before_rare: bool = False) -> Text:
    """Documents of word pairs.

    Args:
        before_rare: whether function tokens stand before rarer tokens than content tokens do.
    """
    chance = np.random.default_rng((seed, 1))
    types = np.arange(1, TYPES)
    function = np.isin(types, chance.permutation(types)[: TYPES // 2])
    unigram = np.arange(1.0, TYPES) ** -0.9
    likely = np.where(function[:, None] & before_rare, unigram[::-1], unigram)
    law = np.tile(0.5 * unigram / unigram.sum(), (TYPES - 1, 1))
    for row, own in zip(law, likely, strict=True):
        row[chance.choice(TYPES - 1, PAIRS, replace=False, p=own / own.sum())] += 0.5 / PAIRS
    reach = np.cumsum(law, axis=1)
    reach[:, -1] = 1.0
    ids = np.empty((DOCUMENTS, LENGTH), np.int64)
    ids[:, 0] = chance.choice(TYPES - 1, DOCUMENTS)
    for place in range(1, LENGTH):
        ids[:, place] = (reach[ids[:, place - 1]] < chance.random((DOCUMENTS, 1))).sum(1)
    keys = mixed(np.arange(DOCUMENTS), seed, 7)
    encoded = Encoded((ids + 1).ravel().astype(np.int32), LENGTH * np.arange(DOCUMENTS + 1), keys)
    classes = class_array(types[function], [0], TYPES)
    names = ["special", *("DET" if one else "content" for one in function)]
    shown = [f"␣w{number}" for number in range(TYPES)]
    return Text(encoded, Vocabulary(shown, classes, names), np.pad(law, ((1, 0), (1, 0))))

"""A floor for the loss: the interpolated Kneser–Ney bigram, and which floors are admitted
(``docs/methods.md#floors``).

If a group's loss is also high under a bigram, the text itself is hard to predict; what a model has
learned beyond word pairs is the *excess*, loss − floor (negative: the model is better).

    P(w|u)  = max(c(uw) − D, 0)/c(u) + D·N₁₊(u·)/c(u) · P_c(w)
    P_c(w)  = max(N₁₊(·w) − D, 0)/N₁₊(··) + D·|{w: N₁₊(·w) > 0}|/N₁₊(··) · 1/V
    D       = n₁/(n₁ + 2n₂)

c counts adjacent pairs inside documents, N₁₊ distinct neighbours, n₁ and n₂ the pairs seen once
and twice, V the vocabulary without special tokens. Sources: Kneser & Ney (1995); Chen & Goodman
(1999), §2.7, for the interpolated form.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, Num

from functok.consolidation.losses import GroupedLoss
from functok.encoding.contexts import ContextRows, RowFormat, context_rows
from functok.encoding.tokenizer import Encoded
from functok.stats import jackknife_ratio
from functok.tokens.counting.function_tokens import ARROWS, SPECIAL, TRANSITIONS

_TOKENS = 1 << 23
"""Tokens whose pairs are held together, about."""


@dataclass(frozen=True)
class KneserNeyBigram:
    """A bigram model fitted to some documents."""

    pairs: Int[np.ndarray, " pairs"]
    """u · vocabulary + w of every pair seen, ascending."""
    counts: Int[np.ndarray, " pairs"]
    context: Int[np.ndarray, " vocabulary"]
    """c(u)."""
    followers: Int[np.ndarray, " vocabulary"]
    """N₁₊(u·)."""
    continuation: Float[np.ndarray, " vocabulary"]
    """P_c(w)."""
    discount: float
    """D."""

    @classmethod
    def fit(cls, encoded: Encoded, classes: Int[np.ndarray, " vocabulary"]) -> "KneserNeyBigram":
        """Fit to the adjacent pairs of ``encoded``; pairs with a special token are left out."""
        vocabulary = len(classes)
        pairs = counts = np.zeros(0, np.int64)
        for some in encoded.blocks(_TOKENS):
            found, times = np.unique(_pairs(some, classes), return_counts=True)
            both, times = np.concatenate([pairs, found]), np.concatenate([counts, times])
            pairs, which = np.unique(both, return_inverse=True)
            counts = np.bincount(which, weights=times).astype(np.int64)
        current, following = pairs // vocabulary, pairs % vocabulary
        once, twice = np.count_nonzero(counts == 1), np.count_nonzero(counts == 2)
        discount = once / (once + 2 * twice) if once else 0.5
        preceders = np.bincount(following, minlength=vocabulary)
        types = max(len(pairs), 1)
        left = discount * np.count_nonzero(preceders) / types if len(pairs) else 1.0
        uniform = (classes != SPECIAL) / np.count_nonzero(classes != SPECIAL)
        return cls(
            pairs,
            counts,
            np.bincount(current, weights=counts, minlength=vocabulary).astype(np.int64),
            np.bincount(current, minlength=vocabulary),
            np.maximum(preceders - discount, 0) / types + left * uniform,
            discount,
        )

    def probabilities(
        self, current: Int[np.ndarray, "*shape"], following: Int[np.ndarray, "*shape"]
    ) -> Float[np.ndarray, "*shape"]:
        """P(following | current); after an unseen token, the continuation probability."""
        wanted = current * len(self.context) + following
        place = np.minimum(np.searchsorted(self.pairs, wanted), max(len(self.pairs) - 1, 0))
        seen = np.zeros(wanted.shape, np.int64)
        if len(self.pairs):
            seen = np.where(self.pairs[place] == wanted, self.counts[place], 0)
        total = self.context[current]
        known = np.maximum(total, 1)
        share = np.where(total > 0, self.discount * self.followers[current] / known, 1.0)
        return np.maximum(seen - self.discount, 0) / known + share * self.continuation[following]

    def losses(
        self, encoded: Encoded, row_format: RowFormat
    ) -> Iterator[tuple[ContextRows, Float[np.ndarray, " tokens"]]]:
        """Each batch of rows with −log P of the next token at its tokens, in nats.

        The loss is 0 where no token follows, and where the one that follows has probability 0.
        """
        for rows in context_rows(encoded, row_format):
            within = rows.document >= 0
            ids, targets = rows.ids[within], rows.targets[within]
            found = self.probabilities(ids, np.maximum(targets, 0))
            yield rows, -np.log(np.where((found > 0) & (targets >= 0), found, 1.0))


MOVES = 0.05
"""Nats by which fitting to half the text may move the mean loss of no group."""

BIGRAM, ORDER_5, REFERENCE = "kneser-ney-bigram", "kneser-ney-5", "reference-model"
TITLES = {
    BIGRAM: "Kneser–Ney bigram",
    ORDER_5: "Kneser–Ney model of order 5",
    REFERENCE: "reference model",
}
"""What tables call each floor, and sentences."""


class Floor(NamedTuple):
    """A floor of some losses."""

    name: str
    loss: GroupedLoss
    refused: str | None
    """Why it is not admitted (``refusal``)."""

    @property
    def title(self) -> str:
        return TITLES[self.name]

    @property
    def mean(self) -> float:
        """Of its losses, in nats."""
        return self.loss.mean().value


def refusal(floor: GroupedLoss, halved: GroupedLoss, model: GroupedLoss) -> str | None:
    """Why a floor cannot stand for what is left to learn; None where it is admitted.

    It has to lie below the model's own loss in every transition group, or the model has learned
    more than it knows; and not to depend on how much text it was fitted to
    (``docs/methods.md#floors``).

    Args:
        floor: its losses.
        halved: those of the same floor fitted to half the text.
        model: the model's losses, on the same tokens.
    """
    for group in TRANSITIONS:
        if math.isnan(model.mean(group).value):
            continue  # no token of this group
        one, half, loss = (found.mean(group).value for found in (floor, halved, model))
        if not one < loss:
            return f"at {ARROWS[group]} its loss is not below the model's own"
        if not abs(half - one) < MOVES:
            moved = f"at {ARROWS[group]} its loss moves by {MOVES} nats or more"
            return f"{moved} when it is fitted to half the text"
    return None


def unlearned(model: GroupedLoss, unigram: GroupedLoss) -> str | None:
    """Why nothing follows from how hard a model finds its groups; None where it predicts better
    than token frequencies, by the 95 % interval of the difference over documents.

    Args:
        model: its losses.
        unigram: those of token frequencies, on the same tokens.
    """
    return unlearned_sums(model.sums - unigram.sums, model.counts)


def unlearned_sums(
    excess: Float[np.ndarray, "transitions groups"], counts: Num[np.ndarray, "transitions groups"]
) -> str | None:
    """The same from sums: the model's loss less that of token frequencies, and tokens."""
    mean = jackknife_ratio(excess.sum(0), counts.sum(0))
    return None if mean.high < 0 else "the model predicts no better than token frequencies"


def _pairs(encoded: Encoded, classes: Int[np.ndarray, " vocabulary"]) -> Int[np.ndarray, " pairs"]:
    """u · vocabulary + w of adjacent tokens in one document, neither of which is special."""
    ids = encoded.ids.astype(np.int64)
    inside = np.ones(max(len(ids) - 1, 0), dtype=bool)
    bounds = encoded.offsets[1:-1]
    inside[bounds[(bounds > 0) & (bounds < len(ids))] - 1] = False
    regular = classes[ids] != SPECIAL
    inside &= regular[:-1] & regular[1:]
    return ids[:-1][inside] * len(classes) + ids[1:][inside]

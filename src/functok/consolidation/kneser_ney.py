"""Interpolated modified Kneser–Ney of any order: order 1 is a unigram, 5 a strong simple floor.

    P_k(w|h) = max(c(hw) − D(c(hw)), 0)/Σ_v c(hv) + γ(h) · P_{k−1}(w|h′),     P_0(w) = 1/V
    γ(h)     = (D₁·N₁(h·) + D₂·N₂(h·) + D₃·N₃₊(h·)) / Σ_v c(hv)
    D_r      = r − (r + 1)·Y·n_{r+1}/n_r for r = 1, 2, 3 (and more),     Y = n₁/(n₁ + 2n₂)

h is the k − 1 tokens before w, h′ all but the first of them. At the highest order c counts the
n-gram, below it the distinct tokens seen before it, N₁₊(·hw). N_r(h·) are the words w, n_r the
n-grams of this order, whose c is r. After an h never seen before a word, P_k = P_{k−1}. n-grams lie
inside one document and hold no special token; where fewer than k − 1 such tokens stand before w,
the order is as much lower. V is the vocabulary without special tokens. Source: Chen & Goodman
(1999), §3 (``docs/methods.md#floors``).

An n-gram is one integer: the rank of its first k − 1 tokens among the n-grams of the order below,
then its last token. So each order is one sorted array, whatever k is, and is made in blocks of
positions: memory grows with the distinct n-grams and a few numbers per token.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from functok.encoding.contexts import ContextRows, RowFormat, context_rows
from functok.encoding.tokenizer import Encoded
from functok.runtime.errors import require
from functok.tokens.counting.function_tokens import SPECIAL

ORDER = 5
BLOCK = 1 << 20
"""Positions whose n-grams are sorted at once."""
UNKNOWN = (0.5, 1.0, 1.5)
"""D₁, D₂, D₃ of an order with too few n-grams to tell them (what KenLM falls back to)."""


class Level(NamedTuple):
    """The n-grams of one order, k."""

    grams: Int[np.ndarray, " grams"]
    """Rank of the first k − 1 tokens · vocabulary + the last token, ascending."""
    own: Float[np.ndarray, " grams+1"]
    """max(c − D(c), 0)/Σ c: what each n-gram has without the order below; last, at index −1, the 0
    of one never seen."""
    left: Float[np.ndarray, " contexts+1"]
    """γ of every n-gram of the order below; 1 where no word was counted after it, and last."""


@dataclass(frozen=True)
class KneserNey:
    """A model fitted to some documents."""

    levels: tuple[Level, ...]
    """From order 1 up."""
    uniform: Float[np.ndarray, " vocabulary"]
    """P_0; 0 for special tokens."""

    @classmethod
    def fit(
        cls,
        encoded: Encoded,
        classes: Int[np.ndarray, " vocabulary"],
        order: int = ORDER,
        block: int = BLOCK,
    ) -> "KneserNey":
        """Fit to the documents of ``encoded``.

        Args:
            classes: of every token id; special tokens are in no n-gram.
            order: tokens in the longest n-gram.
            block: positions at a time; it changes time and memory alone.

        Raises:
            UserError: if the order is below 1.
        """
        require(
            order >= 1, f"A Kneser–Ney model of order {order} predicts nothing; give 1 or more."
        )
        regular = classes != SPECIAL
        found: list[_Counted] = []
        contexts, ranks = [1], np.zeros(len(encoded.ids), np.int64)
        length = _lengths(encoded, regular, order)
        for size in range(1, order + 1):
            counted, suffix, ranks = _n_grams(encoded.ids, ranks, length >= size, regular, block)
            if found:  # how many n-grams end with each of the order below
                preceders = np.bincount(suffix, minlength=len(found[-1].grams))
                found[-1] = _Counted(found[-1].grams, preceders)
            found.append(counted)
            contexts.append(len(counted.grams))
        below = zip(found, contexts[:-1], strict=True)
        levels = tuple(_level(*one, many, len(classes)) for one, many in below)
        return cls(levels, regular / np.count_nonzero(regular))

    def probabilities(self, encoded: Encoded, block: int = BLOCK) -> Float[np.ndarray, " tokens"]:
        """P of every token given those before it in its document; 0 at a special token."""
        length = _lengths(encoded, self.uniform > 0, len(self.levels))
        found, ranks = self.uniform[encoded.ids], np.zeros(len(encoded.ids), np.int64)
        for size, level in enumerate(self.levels, 1):
            following = np.full(len(ranks), -1)
            for ends in _blocks(length >= size, block):
                context = ranks[ends - 1]
                place = _places(level.grams, context * len(self.uniform) + encoded.ids[ends])
                found[ends] = level.own[place] + level.left[context] * found[ends]
                following[ends] = place
            ranks = following
        return found

    def losses(
        self, encoded: Encoded, row_format: RowFormat
    ) -> Iterator[tuple[ContextRows, Float[np.ndarray, " tokens"]]]:
        """Each batch of rows with −log P of the next token at its tokens, in nats.

        Where a row begins, it knows the tokens of the document before. The loss is 0 where no token
        follows, or a special one.
        """
        found = np.append(self.probabilities(encoded), 1.0)
        for rows in context_rows(encoded, row_format):
            within = rows.document >= 0
            place = encoded.offsets[rows.document[within]] + rows.position[within]
            following = np.where(rows.targets[within] >= 0, found[place + 1], 1.0)
            yield rows, -np.log(np.where(following > 0, following, 1.0))


class _Counted(NamedTuple):
    """Distinct n-grams, ascending, with a count of each."""

    grams: Int[np.ndarray, " grams"]
    counts: Int[np.ndarray, " grams"]


def _lengths(encoded: Encoded, regular: np.ndarray, most: int) -> Int[np.ndarray, " tokens"]:
    """Tokens up to and with each one since its document or a special token; 0 at a special one."""
    place = np.arange(len(encoded.ids))
    first = np.where(regular[encoded.ids], 0, place + 1)
    starts = encoded.offsets[:-1][encoded.offsets[:-1] < len(place)]
    first[starts] = np.maximum(first[starts], starts)
    return np.minimum(place + 1 - np.maximum.accumulate(first), most).astype(np.int8)


def _blocks(chosen: np.ndarray, block: int) -> Iterator[Int[np.ndarray, " ends"]]:
    """The positions at which an n-gram ends, some at a time."""
    for start in range(0, len(chosen), block):
        yield start + np.flatnonzero(chosen[start : start + block])


def _n_grams(
    ids: np.ndarray, ranks: np.ndarray, ending: np.ndarray, regular: np.ndarray, block: int
) -> tuple[_Counted, Int[np.ndarray, " grams"], Int[np.ndarray, " tokens"]]:
    """The n-grams of one order, from the ``ranks`` of those of the order below by where they end.

    Returns:
        them; of each, the rank of what follows its first token; and by position, the rank of the
        one that ends there.
    """

    def grams(ends: np.ndarray) -> np.ndarray:
        return ranks[ends - 1] * len(regular) + ids[ends]

    parts = (np.unique(grams(ends), return_counts=True) for ends in _blocks(ending, block))
    found = _merged(_Counted(*part) for part in parts)
    suffix, following = np.zeros(len(found.grams), np.int64), np.full(len(ids), -1)
    for ends in _blocks(ending, block):
        following[ends] = place = _places(found.grams, grams(ends))
        suffix[place] = ranks[ends]
    return found, suffix, following


def _merged(parts: Iterable[_Counted]) -> _Counted:
    """The counts of all ``parts``, each n-gram moved no more than log(parts) times."""
    kept = [_Counted(np.zeros(0, np.int64), np.zeros(0, np.int64))]
    for part in parts:
        kept.append(part)
        while len(kept) > 1 and len(kept[-2].grams) <= 2 * len(kept[-1].grams):
            kept.append(_sum(kept.pop(), kept.pop()))
    while len(kept) > 1:
        kept.append(_sum(kept.pop(), kept.pop()))
    return kept[0]


def _sum(one: _Counted, two: _Counted) -> _Counted:
    grams = np.concatenate([one.grams, two.grams])
    order = np.argsort(grams, kind="stable")  # timsort: quick on runs that are sorted already
    grams = grams[order]
    start = np.flatnonzero(np.diff(grams, prepend=-1))
    if len(start) == 0:
        return one
    counts = np.concatenate([one.counts, two.counts])[order]
    return _Counted(grams[start], np.add.reduceat(counts, start))


def _places(grams: np.ndarray, wanted: np.ndarray) -> Int[np.ndarray, " wanted"]:
    """The index of each of ``wanted`` in ``grams``; −1 where it is not there."""
    each, back = np.unique(wanted, return_inverse=True)  # ascending, so that caches keep up
    place = np.searchsorted(grams, each)
    place[place == len(grams)] = -1
    there = place >= 0
    place[there] = np.where(grams[place[there]] == each[there], place[there], -1)
    return place[back]


def discounts(counts: Int[np.ndarray, " grams"]) -> tuple[float, float, float]:
    """D₁, D₂ and D₃ from the counts of one order; ``UNKNOWN`` where any were not above 0."""
    n1, n2, n3, n4 = np.bincount(np.minimum(counts, 5), minlength=6)[1:5].tolist()
    if not n1 * n2 * n3:
        return UNKNOWN
    y = n1 / (n1 + 2 * n2)
    found = (1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3)
    return found if min(found) > 0 else UNKNOWN


def _level(grams: np.ndarray, counts: np.ndarray, contexts: int, vocabulary: int) -> Level:
    context = grams // vocabulary
    discount = np.array([0.0, *discounts(counts)])[np.minimum(counts, 3)]
    total = np.bincount(context, weights=counts, minlength=contexts + 1)
    left = np.bincount(context, weights=discount, minlength=contexts + 1)
    known = np.maximum(total, 1)
    own = np.append((counts - discount) / known[context], 0.0)
    return Level(grams, own, np.where(total > 0, left / known, 1.0))

"""How often one token follows another in the same document, for the tokens that matter.

The shares of the four transition groups need the function tokens, which are known only after the
corpus is counted. A second pass would double the cost. So the first pass counts the pairs among
*candidates*, the tokens most frequent in a sample, and merges all other tokens: if the function
tokens are among the candidates, the shares follow exactly, at any coverage. If they are not, a
second pass counts pairs by class.

A *code* represents a candidate (its index among them), the rest, or special tokens.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Integer

from functok.tokens.counting.function_tokens import CONTENT, FUNCTION, SPECIAL, TRANSITIONS

CANDIDATES = 254
"""Most candidates: with the rest and the special tokens, a code is one byte."""
CODES = 256
REST, SPECIALS = 254, 255


def candidate_codes(
    candidates: Integer[np.ndarray, " candidates"], special: list[int], vocabulary: int
) -> Integer[np.ndarray, " vocabulary"]:
    """The code of every token id."""
    assert len(candidates) <= CANDIDATES
    codes = np.full(vocabulary, REST, np.uint8)
    codes[candidates] = np.arange(len(candidates))
    codes[special] = SPECIALS
    return codes


def class_codes(classes: Integer[np.ndarray, " vocabulary"]) -> Integer[np.ndarray, " vocabulary"]:
    """Codes that distinguish classes only."""
    of_class = np.zeros(3, np.uint8)
    of_class[[FUNCTION, CONTENT, SPECIAL]] = 0, REST, SPECIALS
    return of_class[classes]


def pair_counts(
    ids: Integer[np.ndarray, " tokens"],
    offsets: Integer[np.ndarray, " bounds"],
    codes: Integer[np.ndarray, " vocabulary"],
) -> Integer[np.ndarray, "codes codes"]:
    """Occurrences of each pair of codes, current then next, within documents."""
    # Every id has a code, so nothing is clipped: this only spares the check of every id.
    of = codes.take(ids.astype(np.intp), mode="clip")
    counts = _neighbours(of) + _neighbours(of[1:])
    last = np.unique(offsets[(offsets > 0) & (offsets < len(ids))]) - 1
    np.subtract.at(counts, (of[last], of[last + 1]), 1)
    return counts


def _neighbours(of: Integer[np.ndarray, " tokens"]) -> Integer[np.ndarray, "codes codes"]:
    """Pairs of the first code and the second, of the third and the fourth, and so on.

    Two adjacent one-byte codes already are a two-byte number: no pair needs to be built.
    """
    pairs = of[: len(of) // 2 * 2].view("<u2")  # current + 256 · next
    counts = np.bincount(pairs, minlength=CODES * CODES).reshape(CODES, CODES)
    return np.ascontiguousarray(counts.T)


class TransitionShares(NamedTuple):
    """Shares of the four transition groups among pairs without a special token."""

    ff: float
    fc: float
    cf: float
    cc: float
    pairs: int
    """Pairs counted."""


def transition_shares(
    counts: Integer[np.ndarray, "codes codes"],
    codes: Integer[np.ndarray, " vocabulary"],
    classes: Integer[np.ndarray, " vocabulary"],
) -> TransitionShares | None:
    """The shares under ``classes``, or ``None`` where a code mixes classes."""
    class_of = np.full(CODES, SPECIAL)
    for kind in (CONTENT, FUNCTION, SPECIAL):
        class_of[codes[classes == kind]] = kind
    if not np.array_equal(class_of[codes], classes):
        return None
    groups = np.zeros(3 * 3, np.int64)
    np.add.at(groups, (class_of[:, None] * 3 + class_of).ravel(), counts.ravel())
    ff, fc, cf, cc = (int(groups[3 * _CLASS[one] + _CLASS[two]]) for one, two in TRANSITIONS)
    total = ff + fc + cf + cc
    every = max(total, 1)
    return TransitionShares(ff / every, fc / every, cf / every, cc / every, total)


_CLASS = {"f": FUNCTION, "c": CONTENT}

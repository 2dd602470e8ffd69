"""What re-activation is compared at: columns of weights, and the contrasts between them.

================  ==============================================================================
contrast          function against content tokens
================  ==============================================================================
``by feature``    of the study's own classes, every place alike
``held equal``    of the reading by which the declared tests go (``graph/contrasts.py``), with the
                  token's log frequency and next-token entropy held equal
``matched pairs`` of the same reading, types of equal frequency and form, pair by pair
a sub-class       its function tokens against all content tokens, of the study's own classes
================  ==============================================================================
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int

from functok.controls.types.assignment import Forms
from functok.encoding.tokenizer import Encoded
from functok.graph.contrasts import Sides
from functok.retrieval.reactivation.balance import covariates, held, paired
from functok.retrieval.reactivation.counting import Columns
from functok.retrieval.reactivation.odds import Trains
from functok.tokens.counting.function_tokens import CONTENT, FUNCTION, SPECIAL
from functok.tokens.vocabulary import Vocabulary

BY_FEATURE, HELD, PAIRED = "by feature", "held equal", "matched pairs"
CONTRASTS = (BY_FEATURE, HELD, PAIRED)
FEWEST = 200
"""Positions of a sub-class below which it is not compared."""


@dataclass(frozen=True)
class Design:
    """Columns and contrasts, as ``effects.effects`` takes them."""

    columns: Columns
    contrasts: dict[str, tuple[str, str]]
    """Without those that the classes do not overlap enough for."""
    positions: dict[str, int]
    """Of each sub-class that is compared."""


def designed(
    trains: Trains,
    encoded: Encoded,
    estimating: Bool[np.ndarray, " documents"],
    vocabulary: Vocabulary,
    sides: Sides,
    seed: int,
) -> Design:
    """The module's contrasts.

    Args:
        trains: of ``encoded``.
        estimating: the documents in which they are estimated.
        sides: the reading of those with weights.
        seed: of the pairs.
    """
    ids, seen = encoded.ids, trains.classes != SPECIAL
    function = trains.classes == FUNCTION
    columns = {"function": 1.0 * function, "content": 1.0 * (trains.classes == CONTENT)}
    contrasts = {BY_FEATURE: ("function", "content")}
    known = covariates(encoded, len(vocabulary))
    forms = Forms.of(vocabulary.shown, vocabulary.subclasses)
    weighed = {HELD: held(sides, known), PAIRED: paired(sides, known, forms, seed)}
    for name, weights in weighed.items():
        if weights is not None:
            contrasts[name] = (f"{name}, function", f"{name}, content")
            for which, side in zip(contrasts[name], (sides.function, sides.content), strict=True):
                columns[which] = seen * (weights * side)[ids]
    here = function & estimating[encoded.document_of()]
    sizes = _sizes(vocabulary.subclasses, ids[here])
    for name in sizes:
        mine = np.array([one == name for one in vocabulary.subclasses])
        columns[f"sub-class {name}"] = 1.0 * (function & mine[ids])
        contrasts[name] = (f"sub-class {name}", "content")
    return Design(columns, contrasts, sizes)


def following(
    trains: Trains, encoded: Encoded, classes: Int[np.ndarray, " vocabulary"]
) -> Int[np.ndarray, " places"]:
    """The next token at each place; −1 where there is none, or either does not count."""
    after = np.append(encoded.ids[1:], 0).astype(np.int64)
    uncounted = (trains.classes == SPECIAL) | (classes[after] == SPECIAL)
    uncounted[encoded.offsets[1:][np.diff(encoded.offsets) > 0] - 1] = True
    return np.where(uncounted, -1, after)


def _sizes(subclasses: Sequence[str], ids: Int[np.ndarray, " positions"]) -> dict[str, int]:
    """Positions of each sub-class that has enough of them, the most frequent first."""
    sizes: dict[str, int] = {}
    tokens, counts = np.unique(ids, return_counts=True)
    for token, count in zip(tokens.tolist(), counts.tolist(), strict=True):
        name = subclasses[int(token)]
        sizes[name] = sizes.get(name, 0) + count
    ordered = sorted(sizes.items(), key=lambda item: (-item[1], item[0]))
    return {name: size for name, size in ordered if size >= FEWEST}

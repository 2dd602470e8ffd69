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

The first three are repeated under other definitions; ``Design.called`` says what each is called.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from functok.controls.types.assignment import Forms
from functok.encoding.tokenizer import Encoded
from functok.graph.contrasts import STUDIED, Sides
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
    reading: str
    """Of the contrasts with weights."""

    def called(self, contrast: str, definition: str) -> str:
        """What one of ``CONTRASTS`` is called under a definition."""
        own = STUDIED if contrast == BY_FEATURE else self.reading
        return contrast if definition == own else f"{contrast} ({definition})"


def designed(
    trains: Trains,
    encoded: Encoded,
    estimating: Bool[np.ndarray, " documents"],
    vocabulary: Vocabulary,
    sides: Sides,
    seed: int,
    others: Sequence[Sides] = (),
) -> Design:
    """The module's contrasts.

    Args:
        trains: of ``encoded``.
        estimating: the documents in which they are estimated.
        sides: the reading of those with weights.
        seed: of the pairs.
        others: definitions under which they are repeated.
    """
    ids, seen = encoded.ids, trains.classes != SPECIAL
    function = trains.classes == FUNCTION
    columns = {"function": 1.0 * function, "content": 1.0 * (trains.classes == CONTENT)}
    sizes = _sizes(vocabulary.subclasses, ids[function & estimating[encoded.document_of()]])
    design = Design(columns, {BY_FEATURE: ("function", "content")}, sizes, sides.reading)
    known = covariates(encoded, len(vocabulary))
    forms = Forms.of(vocabulary.shown, vocabulary.subclasses)
    for one in (sides, *others):
        classes, two = one.as_classes(vocabulary.classes), (one.function, one.content)
        plain = [1.0 * (classes == side) for side in (FUNCTION, CONTENT)]
        kinds = {
            BY_FEATURE: plain if all(side[ids].any() for side in plain) else None,
            HELD: _weighed(held(one, known), *two),
            PAIRED: _weighed(paired(one, known, forms, seed), *two),
        }
        for contrast, weights in kinds.items():
            name = design.called(contrast, one.reading)
            if weights is not None and name not in design.contrasts:
                design.contrasts[name] = (f"{name}, function", f"{name}, content")
                for column, of_types in zip(design.contrasts[name], weights, strict=True):
                    columns[column] = seen * of_types[ids]
    for name in sizes:
        mine = np.array([one == name for one in vocabulary.subclasses])
        columns[f"sub-class {name}"] = 1.0 * (function & mine[ids])
        design.contrasts[name] = (f"sub-class {name}", "content")
    return design


def _weighed(
    weights: Float[np.ndarray, " vocabulary"] | None, *sides: Bool[np.ndarray, " vocabulary"]
) -> list[np.ndarray] | None:
    return None if weights is None else [weights * side for side in sides]


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

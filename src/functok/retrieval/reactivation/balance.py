"""Weights that make function and content tokens alike in frequency and in what can follow them.

A frequent token has more features that it could re-activate, and one before which anything may
stand has others than one that has a fixed successor. Two designs hold that equal, type by type:

=========  =====================================================================================
``held``   overlap weights: with e_t the probability that a type is function, by logistic
           regression on log frequency and next-token entropy over positions, function types weigh
           1 − e_t and content types e_t; then both covariates have the same mean in either class
``paired`` function types and content types of equal frequency and form, one to one
           (``controls/types/assignment.py``); the others weigh 0
=========  =====================================================================================

Where the classes do not overlap (by the paper's definition a function token *is* a frequent one)
there are no such weights. See ``docs/methods.md#reactivation``.

Source: overlap weights, Li, Morgan & Zaslavsky (2018).
"""

import numpy as np
from jaxtyping import Bool, Float
from scipy.special import expit

from functok.controls.types.assignment import Forms, assign
from functok.encoding.tokenizer import Encoded
from functok.graph.contrasts import Sides
from functok.tokens.spread.neighbours import Neighbours, neighbour_table

FEWEST = 6
"""Types on either side below which nothing is held equal; of weights, as many as they are worth."""
EXPOSURE = 20
"""Occurrences of a type on which its next-token entropy is measured."""
_STEPS = 50


def covariates(encoded: Encoded, vocabulary: int) -> Float[np.ndarray, "vocabulary 2"]:
    """Log occurrences and next-token entropy (nats) of every type; NaN where it is too rare."""
    found = np.full((vocabulary, 2), np.nan)
    every = Neighbours.of(encoded, np.zeros(vocabulary, np.uint8))
    table = neighbour_table(every, EXPOSURE)
    ids = table["token_id"].to_numpy()
    found[ids, 0] = np.log(np.bincount(encoded.ids, minlength=vocabulary)[ids])
    found[ids, 1] = table["next_entropy"].to_numpy()
    return found


def held(
    sides: Sides, known: Float[np.ndarray, "vocabulary covariates"]
) -> Float[np.ndarray, " vocabulary"] | None:
    """Overlap weights of every type; None where the classes do not overlap.

    Args:
        known: ``covariates``, the first of them log occurrences.
    """
    used = np.flatnonzero((sides.function | sides.content) & np.isfinite(known).all(1))
    function, positions = sides.function[used], np.exp(known[used, 0])
    chance = _propensity(function, known[used], positions)
    if chance is None:
        return None
    weights = np.zeros(len(known))
    weights[used] = np.where(function, 1 - chance, chance)
    for side in (sides.function, sides.content):
        if _worth((weights * np.exp(np.nan_to_num(known[:, 0])))[side]) < FEWEST:
            return None
    return weights


def paired(
    sides: Sides, known: Float[np.ndarray, "vocabulary covariates"], forms: Forms, seed: int
) -> Float[np.ndarray, " vocabulary"] | None:
    """1 at the types of a pair, 0 at others; None with too few pairs.

    Args:
        known: ``covariates``, the first of them log occurrences.
        forms: what a pair must agree in.
        seed: of the choice among equals.
    """
    pairs = assign(sides.among(np.isfinite(known[:, 0])), known[:, 0], forms, seed)
    if len(pairs.function) < FEWEST:
        return None
    weights = np.zeros(len(known))
    weights[np.concatenate(pairs)] = 1.0
    return weights


def _worth(sizes: Float[np.ndarray, " types"]) -> float:
    """How many equal types the unequal ones are worth (Kish)."""
    return float(sizes.sum() ** 2 / max(np.square(sizes).sum(), 1e-300))


def _propensity(
    function: Bool[np.ndarray, " types"],
    known: Float[np.ndarray, "types covariates"],
    positions: Float[np.ndarray, " types"],
) -> Float[np.ndarray, " types"] | None:
    """P(function) by weighted logistic regression, by Newton's method; None where it diverges."""
    if min(function.sum(), (~function).sum()) < FEWEST:
        return None
    spread = known.std(0)
    x = (known - known.mean(0)) / np.where(spread > 0, spread, 1)
    x = np.column_stack([np.ones(len(x)), x[:, spread > 0]])
    beta = np.zeros(x.shape[1])
    for _ in range(_STEPS):
        chance = expit(x @ beta)
        curvature = (x * (positions * chance * (1 - chance))[:, None]).T @ x
        try:
            step = np.linalg.solve(curvature, x.T @ (positions * (function - chance)))
        except np.linalg.LinAlgError:
            return None
        beta += step
        if np.abs(step).max() < 1e-10:
            return chance
    return None

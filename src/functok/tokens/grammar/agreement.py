"""How well do two definitions of "function token" agree? (``docs/methods.md#agreement``.)

Compared are a prediction (function by frequency, or by any other set of token ids) and a truth
(closed class by grammar). From the 2×2 table of TP, FP, FN, TN, here as shares of n:

=============  ===========================================================================
measure        formula
=============  ===========================================================================
``jaccard``    TP / (TP + FP + FN)
``precision``  TP / (TP + FP)
``recall``     TP / (TP + FN)
``kappa``      (p_o − p_e) / (1 − p_e), p_o = TP + TN, p_e from the margins (Cohen 1960)
``mcc``        (TP·TN − FP·FN) / √((TP+FP)(TP+FN)(TN+FP)(TN+FN)) (Matthews 1975)
=============  ===========================================================================

Two weights. *Token-weighted*: each occurrence counts once, against the tag of that occurrence.
*Type-weighted*: each token id counts once, against its majority class. They answer different
questions, and a definition can do well by one and badly by the other: a frequent set recalls most
function *occurrences* and few function *types*.

Intervals are 95 % percentile bootstraps over units: documents where occurrences are counted,
types where types are.
"""

from collections.abc import Mapping

import numpy as np
import polars as pl
from jaxtyping import Bool, Float, Int

BOOTSTRAPS = 1000


def confusion(
    predicted: Bool[np.ndarray, " items"],
    true: Bool[np.ndarray, " items"],
    unit: Int[np.ndarray, " items"] | None = None,
) -> Int[np.ndarray, "units 4"]:
    """TP, FP, FN, TN per unit (document); each item is a unit of its own by default."""
    unit = np.arange(len(true)) if unit is None else unit
    cell = np.where(predicted, np.where(true, 0, 1), np.where(true, 2, 3))
    units = int(unit.max(initial=-1)) + 1
    return np.bincount(unit * 4 + cell, minlength=4 * units).reshape(units, 4)


def measures(cells: np.ndarray) -> dict[str, np.ndarray]:
    """The module's measures of one or many tables [..., 4]; NaN where undefined (0 / 0)."""
    tp, fp, fn, tn = np.moveaxis(np.asarray(cells, float), -1, 0)
    n = tp + fp + fn + tn
    with np.errstate(invalid="ignore", divide="ignore"):
        chance = ((tp + fp) * (tp + fn) + (tn + fp) * (tn + fn)) / n**2
        product = (tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)
        found = {
            "jaccard": tp / (tp + fp + fn),
            "precision": tp / (tp + fp),
            "recall": tp / (tp + fn),
            "kappa": ((tp + tn) / n - chance) / (1 - chance),
            "mcc": (tp * tn - fp * fn) / np.sqrt(product),
        }
    return {name: np.asarray(value) for name, value in found.items()}


def agreement_table(
    cells: Int[np.ndarray, "units 4"], bootstraps: int = BOOTSTRAPS, seed: int = 0
) -> pl.DataFrame:
    """Every measure with its interval.

    Columns: measure, value, low, high (95 %), items (in the 2×2 table), units (resampled).
    """
    units = len(cells)
    draws = _resampled(cells, bootstraps, seed)
    spread = measures(draws)
    return pl.DataFrame(
        [
            {
                "measure": name,
                "value": float(value),
                **_interval(spread[name]),
                "items": int(cells.sum()),
                "units": units,
            }
            for name, value in measures(cells.sum(0)).items()
        ]
    )


def ranking(
    score: Float[np.ndarray, " types"],
    positive: np.ndarray,
    negative: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """AUROC and average precision of ``score`` for the positive class, with weights.

    Args:
        score: high means positive.
        positive, negative: weight of each type's positive and negative items, [types] or
            [draws, types]: 1 and 0 when types count, occurrences when those count.

    AUROC = P(score of a positive item > that of a negative) + ½ P(equal). Average precision sums
    precision over the steps of recall, equal scores in one step, as scikit-learn does.
    """
    order = np.argsort(-score, kind="stable")
    ranked = score[order]
    last = np.append(np.flatnonzero(ranked[1:] != ranked[:-1]), len(order) - 1)  # ends of ties
    hits = np.cumsum(positive[..., order], axis=-1)[..., last].astype(float)
    misses = np.cumsum(negative[..., order], axis=-1)[..., last].astype(float)
    hit_step = np.diff(hits, prepend=0.0)
    miss_step = np.diff(misses, prepend=0.0)
    before = misses - miss_step
    with np.errstate(invalid="ignore", divide="ignore"):
        below = misses[..., -1:] - before - miss_step / 2  # negatives that rank lower
        auroc = (hit_step * below).sum(-1) / (hits[..., -1] * misses[..., -1])
        precision = np.where(hits + misses > 0, hits / (hits + misses), 0.0)
        average = (hit_step * precision).sum(-1) / hits[..., -1]
    return np.asarray(auroc), np.asarray(average)


def ranking_table(
    scores: Mapping[str, Float[np.ndarray, " types"]],
    true: Bool[np.ndarray, " items"],
    item_type: Int[np.ndarray, " items"],
    document: Int[np.ndarray, " items"],
    majority: Bool[np.ndarray, " types"],
    bootstraps: int = 200,
    seed: int = 0,
) -> pl.DataFrame:
    """How well each score finds the closed class.

    Args:
        scores: name → score of each type, high for function.
        true: whether each occurrence is function.
        item_type: the type (place in the scores) of each occurrence.
        document: of each occurrence; resampled for the token-weighted intervals.
        majority: whether each type is function; types are resampled for the type-weighted ones.

    Columns: score, weight (``tokens`` or ``types``), measure (``auroc`` or ``ap``), value, low,
    high, base (share of function items: the AP of a useless score).
    """
    types, documents = len(majority), int(document.max(initial=-1)) + 1
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(documents, np.full(documents, 1 / documents), bootstraps)
    by_type = rng.multinomial(types, np.full(types, 1 / types), bootstraps)

    def weights(chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        kinds, units = item_type[chosen], document[chosen]
        every = np.bincount(kinds, minlength=types)
        return every, np.stack([np.bincount(kinds, row[units], types) for row in drawn])

    positive, negative = weights(true), weights(~true)
    cases: dict[str, tuple] = {
        "tokens": (positive, negative, float(true.mean())),
        "types": (
            (majority.astype(int), by_type * majority),
            ((~majority).astype(int), by_type * ~majority),
            float(majority.mean()),
        ),
    }
    rows = []
    for score, value in scores.items():
        for weight, (hits, misses, base) in cases.items():
            found = ranking(value, hits[0], misses[0])
            spread = ranking(value, hits[1], misses[1])
            for measure, one, many in zip(("auroc", "ap"), found, spread, strict=True):
                rows.append(
                    {
                        "score": score,
                        "weight": weight,
                        "measure": measure,
                        "value": float(one),
                        **_interval(many),
                        "base": base,
                    }
                )
    return pl.DataFrame(rows)


def _resampled(cells: np.ndarray, bootstraps: int, seed: int) -> Int[np.ndarray, "draws 4"]:
    """Sums over units drawn with replacement; units with equal cells are drawn as one kind."""
    rng = np.random.default_rng(seed)
    kinds, how_many = np.unique(cells, axis=0, return_counts=True)
    return rng.multinomial(len(cells), how_many / len(cells), bootstraps) @ kinds


def _interval(draws: np.ndarray) -> dict[str, float]:
    """The 95 % percentile interval; NaN where some draw is undefined."""
    low, high = np.quantile(draws, [0.025, 0.975])
    return {"low": float(low), "high": float(high)}

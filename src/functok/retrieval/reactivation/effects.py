"""Re-activation feature by feature: log odds ratios, their mean over features, and its interval.

For each feature, with a, b the re-activations and the other places at risk at function tokens and
c, d at content tokens,

    θ_j = log (a + ½)/(b + ½) − log (c + ½)/(d + ½)                      (Haldane 1956, Anscombe)

The effect is the mean over features, less the same of shifted activity, averaged over ``SHIFTS``
shifts: these keep a feature's rate and runs, and share the correction's bias. Other features and
other documents could have been drawn, so the interval adds the jackknife's variance over either
(``stats.two_way.crossed``). See ``docs/methods.md#reactivation``.
"""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import polars as pl
from jaxtyping import Float, Int

from functok.claims.evidence import as_columns
from functok.corpus.splits import mixed
from functok.retrieval.reactivation.counting import Columns, Counted, counted
from functok.retrieval.reactivation.odds import Trains, shifted
from functok.stats import Estimate, cochran_q
from functok.stats.two_way import Crossed, crossed, left_out_means, unknown

SHIFTS = 20
"""Shifts over which the control is averaged."""
Left = Float[np.ndarray, "left features"]
"""θ of each feature; row 0 of all documents, the others without each group."""


class Effect(NamedTuple):
    """The mean over features of one contrast."""

    observed: Crossed
    shifted: Crossed
    beyond: Crossed
    """Observed less shifted."""
    by_feature: Float[np.ndarray, "2 features"]
    """θ, observed and shifted."""


_NOTHING = unknown(math.nan)
UNKNOWN = Effect(_NOTHING, _NOTHING, _NOTHING, np.empty((2, 0)))
"""Of classes that cannot be compared."""
TRAINS = ("observed", "shifted", "difference")
"""Whose odds ratios a table holds; the last is the ratio of the others."""
_ROWS = {
    "subclass": pl.String,
    "positions": pl.Int64,
    **dict.fromkeys(("log_odds_ratio", "low", "high", "q", "q_p_value", "i_squared"), pl.Float64),
}


def effects(
    trains: Trains,
    columns: Columns,
    contrasts: Mapping[str, tuple[str, str]],
    features: Int[np.ndarray, " features"],
    groups: Int[np.ndarray, " documents"],
    window: int,
    seed: int,
) -> dict[str, Effect]:
    """Each contrast of two columns, on the same features, documents and shifts.

    Args:
        columns: weights of the places; they are scaled to what they are worth in places (Kish).
        contrasts: by name, the column of function tokens and that of content tokens.
        features: over which the mean is taken, ascending.
        groups: hash groups of the documents.
        seed: of the shifts.
    """
    columns = {name: _scaled(weights) for name, weights in columns.items()}
    _, groups = np.unique(groups, return_inverse=True)
    kept = np.isin(trains.feature, features)
    trains = replace(trains, row=trains.row[kept], feature=trains.feature[kept])

    def thetas(one: Trains) -> dict[str, Left]:
        sums = counted(one, columns, features, groups, window)
        odds = {name: _log_odds(part) for name, part in sums.items()}
        return {name: odds[a] - odds[b] for name, (a, b) in contrasts.items()}

    observed = thetas(trains)
    control = {name: np.zeros_like(theta) for name, theta in observed.items()}
    for number in mixed(seed, np.arange(SHIFTS)).tolist():
        for name, theta in thetas(shifted(trains, number)).items():
            control[name] += theta / SHIFTS
    return {name: _effect(observed[name], control[name]) for name in contrasts}


def of_both(one: Effect, two: Effect) -> Effect:
    """A comparison that has to hold under both of two designs.

    It is the one with the larger p, with an interval over both of theirs: so it lies above 0, below
    0 or within a margin only where both do. Without an interval where either has none.
    """
    pair = (one.beyond, two.beyond)
    weaker = one if one.beyond.p_value >= two.beyond.p_value else two
    value = weaker.beyond.estimate.value
    ends = [(each.estimate.low, each.estimate.high) for each in pair]
    if not np.isfinite(ends).all():
        return weaker._replace(beyond=unknown(value))
    low, high = min(low for low, _ in ends), max(high for _, high in ends)
    return weaker._replace(beyond=weaker.beyond._replace(estimate=Estimate(value, low, high)))


def agreement(parts: Mapping[str, Effect], positions: Mapping[str, int]) -> pl.DataFrame:
    """One contrast for each sub-class of tokens, and whether these agree (Cochran's Q).

    The sub-classes share the content tokens that they are compared with, and the documents, so the
    test errs on the side of agreement.

    Args:
        positions: of each sub-class.

    Returns:
        Columns subclass, positions, log_odds_ratio (beyond shifted activity), low, high, q,
        q_p_value, i_squared (of all rows together).
    """
    beyond = {name: part.beyond.estimate for name, part in parts.items()}
    errors = np.array([part.beyond.error for part in parts.values()])
    agree = cochran_q(np.array([one.value for one in beyond.values()]), errors)
    return pl.DataFrame(
        [
            {
                "subclass": name,
                "positions": positions[name],
                "log_odds_ratio": one.value,
                "low": one.low,
                "high": one.high,
                "q": agree.q,
                "q_p_value": agree.p_value,
                "i_squared": agree.i_squared,
            }
            for name, one in beyond.items()
        ],
        _ROWS,
    )


def odds_table(found: Mapping[str, Effect]) -> pl.DataFrame:
    """Columns trains (of ``TRAINS``), estimate (the contrast), odds_ratio, odds_ratio_low,
    odds_ratio_high (exp of the means over features)."""
    rows = []
    for name, effect in found.items():
        for which, one in zip(TRAINS, effect[:3], strict=True):
            ends = np.exp([one.estimate.value, one.estimate.low, one.estimate.high]).tolist()
            ratio = as_columns("odds_ratio", Estimate(*ends))
            rows.append({"trains": which, "estimate": name, **ratio})
    return pl.DataFrame(rows)


def _scaled(weights: Float[np.ndarray, " places"]) -> Float[np.ndarray, " places"]:
    squares = float(np.square(weights).sum())
    return weights * (weights.sum() / squares) if squares else weights


def _log_odds(sums: Counted) -> Left:
    """log (again + ½)/(not again + ½), of all documents and without each group."""
    again = _without_groups(sums.again)
    missed = _without_groups(sums.at_risk - sums.again)
    return np.log((again + 0.5) / (missed + 0.5))


def _without_groups(part: Float[np.ndarray, "features groups"]) -> Left:
    whole = part.sum(1, keepdims=True)
    found = np.concatenate([whole, whole - part], 1).T
    return np.maximum(found, 0)  # a difference of sums may end a rounding below 0


def _effect(observed: Left, control: Left) -> Effect:
    beyond, by_feature = _mean(observed - control), np.stack([observed[0], control[0]])
    return Effect(_mean(observed), _mean(control), beyond, by_feature)


def _mean(theta: Left) -> Crossed:
    """The mean over features with its interval over features × documents."""
    if theta.shape[1] == 0:
        return _NOTHING
    return crossed(float(theta[0].mean()), left_out_means(theta[0]), theta[1:].mean(1))

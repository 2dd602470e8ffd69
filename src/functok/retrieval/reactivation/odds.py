"""Are features re-activated more at function tokens than at others: paper §3.2 as a statistic.

The paper shows three features on two prompts. Here, over a whole corpus: feature j is
*established* at position i of a document if it was active somewhere in i − W … i − 2 and is not
at i − 1; it is *re-activated* if it is active again at i. So every gap between two runs of a
feature's activity, ended at e and begun again at s, puts positions e + 2 … min(s, e + W) at risk,
and s is the event.

The rates at function and at content positions are compared as an odds ratio: raw, and from a
logistic regression with the time since the feature was last active, the position in the document,
the feature's overall rate and the number of other active features as covariates; standard errors
are clustered by document. The control shifts each feature's activity in a document circularly by a
random step: rates and runs are kept, the link to the tokens is cut. Where an SAE always has
the same number of features active, what one gains another loses, and a pooled odds ratio is near 1
whatever they do: the claim goes by the odds of each feature (``effects.py``). See
``docs/methods.md#reactivation``.

Sources: circular shift, Harris (2020), "Nonsense correlations in neuroscience"; clustered logistic
regression, Liang & Zeger (1986).
"""

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from jaxtyping import Bool, Float, Int

from functok.runtime.errors import require
from functok.stats import Estimate, jackknife
from functok.tokens.counting.function_tokens import CLASS_NAMES, CONTENT, FUNCTION, SPECIAL

_PIECE = 1 << 22
"""Places at risk that are counted at a time."""


@dataclass(frozen=True)
class Trains:
    """Which features are active where, in documents laid end to end."""

    row: Int[np.ndarray, " active"]
    """Place of each activation, counted through all documents."""
    feature: Int[np.ndarray, " active"]
    offsets: Int[np.ndarray, " bounds"]
    """Place at which each document starts; the last is the number of places."""
    classes: Int[np.ndarray, " places"]
    """Class of the token at each place."""


@dataclass(frozen=True)
class AtRisk:
    """Positions at which a previously active feature might be active again, one row each."""

    row: Int[np.ndarray, " risks"]
    feature: Int[np.ndarray, " risks"]
    lag: Int[np.ndarray, " risks"]
    """Positions since the feature was last active, from 2 to the window."""
    again: Int[np.ndarray, " risks"]
    """1 where it is."""


class Gaps(NamedTuple):
    """What follows each activation, by document, feature and place."""

    row: Int[np.ndarray, " active"]
    feature: Int[np.ndarray, " active"]
    document: Int[np.ndarray, " active"]
    last: Int[np.ndarray, " active"]
    """Last place at risk after it, beginning with ``row`` + 2; before that if there is none."""
    again: Bool[np.ndarray, " active"]
    """Whether the feature is re-activated there."""


def gaps(trains: Trains, window: int) -> Gaps:
    """Every activation with the places at risk after it.

    Raises:
        UserError: for a window that contains no gap.
    """
    require(window >= 2, f"A window of {window} contains no gap; use at least 2.")
    document = np.searchsorted(trains.offsets, trains.row, side="right") - 1
    order = np.lexsort([trains.row, trains.feature, document])
    # several rows for each activation: half the bytes, wherever they suffice
    small = np.int32 if len(order) * window < 2**31 else np.int64
    row, feature = trains.row[order].astype(small), trains.feature[order].astype(small)
    document = document[order]
    same = np.zeros(len(row), bool)
    same[:-1] = (feature[1:] == feature[:-1]) & (document[1:] == document[:-1])
    end = trains.offsets[document + 1].astype(small)
    begun_again = np.where(same, np.append(row[1:], row[:1]), end)  # the document's end: never
    last = np.minimum(np.minimum(begun_again, row + window), end - 1)
    again = same & (last == begun_again) & (last >= row + 2)
    return Gaps(row, feature, document, last, again)


def at_risk(trains: Trains, window: int) -> AtRisk:
    """Every place and feature at risk, by document, feature and place."""
    found = gaps(trains, window)
    count = np.maximum(found.last - found.row - 1, 0)
    small = count.dtype
    run = np.repeat(np.arange(len(count), dtype=small), count)
    before = (np.cumsum(count) - count).astype(small)
    lag = np.arange(2, count.sum() + 2, dtype=small)
    lag -= before[run]
    place = found.row[run] + lag
    again = found.again[run] & (place == found.last[run])
    return AtRisk(place, found.feature[run], lag, again.astype(np.int8))


def among(trains: Trains, documents: Bool[np.ndarray, " documents"]) -> Trains:
    """The activity in some documents alone; places keep their numbers."""
    document = np.searchsorted(trains.offsets, trains.row, side="right") - 1
    kept = documents[document]
    return replace(trains, row=trains.row[kept], feature=trains.feature[kept])


def capped(active: Int[np.ndarray, " places"]) -> bool:
    """Whether most places have the largest number of active features, as under a TopK SAE."""
    return bool(len(active)) and 2 * int((active == active.max()).sum()) > len(active)


def no_pooled_answer(trains: Trains) -> str | None:
    """Why an odds ratio pooled over features says nothing, one clause; None where it does."""
    seen = trains.classes != SPECIAL
    active = np.bincount(trains.row, minlength=len(seen))[seen]
    if not capped(active):
        return None
    return (
        f"{active.max()} features are active at {(active == active.max()).mean():.0%} of the "
        "positions, so pooled over features there is nothing to find"
    )


def shifted(trains: Trains, seed: int) -> Trains:
    """Each feature's activity in each document, shifted circularly by its own random step."""
    random = np.random.default_rng(seed)
    document = np.searchsorted(trains.offsets, trains.row, side="right") - 1
    whose = document * (trains.feature.max(initial=0) + 1) + trains.feature
    _, train = np.unique(whose, return_inverse=True)
    draw = random.random(train.max(initial=-1) + 1)[train]
    start, length = trains.offsets[document], np.diff(trains.offsets)[document]
    row = start + (trains.row - start + (draw * length).astype(np.int64)) % length
    return replace(trains, row=row)


def by_feature(
    trains: Trains, risks: AtRisk, groups: Int[np.ndarray, " documents"]
) -> pl.DataFrame:
    """Places at risk and re-activations of every feature, by class and group of documents.

    Returns:
        Columns feature, group, class, at_risk, again.
    """
    parts = []
    for start in range(0, max(len(risks.row), 1), _PIECE):
        here = slice(start, start + _PIECE)
        row = risks.row[here]
        document = np.searchsorted(trains.offsets, row, side="right") - 1
        part = pl.DataFrame(
            {
                "feature": risks.feature[here].astype(np.int64),
                "group": groups[document],
                "class": trains.classes[row],
                "at_risk": np.ones(len(row), np.int64),
                "again": risks.again[here].astype(np.int64),
            }
        )
        parts.append(_summed(part.filter(pl.col("class").is_in([FUNCTION, CONTENT]))))
    return (
        _summed(pl.concat(parts))
        .with_columns(pl.col("class").replace_strict(dict(enumerate(CLASS_NAMES))))
        .sort("feature", "group", "class")
    )


def _summed(table: pl.DataFrame) -> pl.DataFrame:
    return table.group_by("feature", "group", "class").agg(pl.col("at_risk", "again").sum())


def odds_ratio(table: pl.DataFrame, events: int = 50) -> Estimate:
    """Pooled odds ratio of re-activation at function against content positions.

    Features are strata: the Mantel–Haenszel estimate, so that frequent features do not dominate;
    with a jackknife interval over groups of documents, taken on the logarithm. Features with fewer
    than ``events`` re-activations are left out.

        OR = Σ_j a_j d_j / n_j  ÷  Σ_j b_j c_j / n_j

    Source: Mantel & Haenszel (1959).
    """
    kept = _frequent(table, events)
    if kept.is_empty():
        return Estimate(float("nan"), float("nan"), float("nan"))
    counts = _counts(kept, kept["group"].unique().sort().to_list())
    found = jackknife(lambda groups: _log_ratio(counts, groups), counts.shape[-1])
    return Estimate(*np.exp([found.value, found.low, found.high]).tolist())


def _frequent(table: pl.DataFrame, events: int) -> pl.DataFrame:
    """The features with enough re-activations."""
    enough = table.group_by("feature").agg(pl.col("again").sum()).filter(pl.col("again") >= events)
    return table.join(enough.select("feature"), on="feature", how="semi")


def _counts(table: pl.DataFrame, groups: list[int]) -> Float[np.ndarray, "2 2 features groups"]:
    """Places at risk by class (content, function), outcome (not, again), feature and group."""
    feature = table["feature"].rank("dense").to_numpy().astype(np.int64) - 1
    group = np.searchsorted(groups, table["group"].to_numpy())
    function = (table["class"] == CLASS_NAMES[FUNCTION]).to_numpy().astype(np.int64)
    again = table["again"].to_numpy()
    counts = np.zeros((2, 2, feature.max() + 1, len(groups)))
    np.add.at(counts[:, 1], (function, feature, group), again)
    np.add.at(counts[:, 0], (function, feature, group), table["at_risk"].to_numpy() - again)
    return counts


def _log_ratio(
    counts: Float[np.ndarray, "2 2 features groups"],
    kept: Bool[np.ndarray, " groups"],
) -> float:
    (d, c), (b, a) = counts[..., kept].sum(-1)
    every = np.maximum(a + b + c + d, 1)
    return float(np.log((a * d / every).sum() / (b * c / every).sum()))


def adjusted_odds_ratio(
    trains: Trains, risks: AtRisk, events: int = 50, most: int = 200_000, seed: int = 0
) -> Estimate:
    """Odds ratio of function against content positions with the covariates held equal.

    Logistic regression of re-activation on class, the logarithms of the lag, of the position in
    the document and of the feature's odds of being active, and the number of other features
    active (see ``_others``); at most ``most`` places at risk, drawn at random; standard errors
    clustered by document (GEE with independent working correlation).
    """
    import statsmodels.api as sm

    total = np.bincount(
        risks.feature, weights=risks.again, minlength=risks.feature.max(initial=-1) + 1
    )
    classes = trains.classes[risks.row]
    usable = np.flatnonzero(
        (total[risks.feature] >= events) & np.isin(classes, [FUNCTION, CONTENT])
    )
    random = np.random.default_rng(seed)
    chosen = np.sort(random.choice(usable, min(most, len(usable)), replace=False))
    row, feature = risks.row[chosen], risks.feature[chosen]
    document = np.searchsorted(trains.offsets, row, side="right") - 1
    function = (classes[chosen] == FUNCTION).astype(float)
    again = risks.again[chosen]
    if len(np.unique(document)) < 3 or len(np.unique(function)) < 2 or len(np.unique(again)) < 2:
        return Estimate(float("nan"), float("nan"), float("nan"))
    places = trains.offsets[-1]
    share = np.bincount(trains.feature, minlength=total.size)[feature] / places
    others = _others(np.bincount(trains.row, minlength=places)[row], again)
    covariates = np.stack(
        [
            function,
            np.log(risks.lag[chosen]),
            np.log1p(row - trains.offsets[document]),
            np.log(share / np.maximum(1 - share, 1 / places)),
            others,
        ],
        axis=1,
    )
    covariates[:, 1:] -= covariates[:, 1:].mean(0)
    scale = covariates[:, 1:].std(0)
    covariates = np.delete(covariates, 1 + np.flatnonzero(scale == 0), axis=1)
    covariates[:, 1:] /= scale[scale > 0]
    fit: Any = sm.GEE(
        again,
        sm.add_constant(covariates, has_constant="add"),
        document,
        family=sm.families.Binomial(),
    ).fit()
    low, high = fit.conf_int()[1]
    return Estimate(*np.exp([fit.params[1], low, high]).tolist())


def _others(
    active: Int[np.ndarray, " risks"], again: Int[np.ndarray, " risks"]
) -> Int[np.ndarray, " risks"]:
    """How many other features are active: the response must not predict itself.

    With a TopK SAE the same number of features is active nearly everywhere, so the number without
    the feature would reveal whether the feature is active; it is set to 0 if most positions have
    the largest number.
    """
    return np.zeros_like(active) if capped(active) else active - again

"""Is a feature about a token, about a class, or about neither? (``docs/methods.md#feature-kinds``.)

Of feature j, with p_j(t) = Y_tj / Y_j the share of its firings at token t and q the unigram:

====================  ========================================================================
evenness              H(p_j) / log(tokens it fires at)
divergence            KL(p_j ‖ q): 0 where it is indifferent to the token
excess                divergence minus that of as many random positions (``indifference.py``)
gini                  of p_j over all tokens that occur
top share             the largest p_j(t)
lift                  φ_j / π: share of its firings, and of the positions, at function tokens
====================  ========================================================================

Kinds, the first that holds: ``rare`` (fewer than 20 firings: undetermined), ``token`` (top
share at least .9: the token's identity), ``function`` or ``content`` (at least .95 of its firings
at one class), ``indifferent`` (excess at most 0.05 nat), ``context`` (at most 0.5 nat), else
``selective``.

Token-identity features are many in most SAEs (a third and more of GPT-2's, arXiv 2502.17332), and
every token type has its own. ``context_only`` leaves them out, so that every control can be
repeated on the rest.

What would surprise: a feature that fires twice has a divergence of several nats even if it fires
at random; without the subtraction, all rare features look like token features.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
import polars as pl
from jaxtyping import Bool, Float, Int
from scipy.special import stdtr, stdtrit

from functok.claims.evidence import as_columns
from functok.controls.features.concentration import Concentration
from functok.controls.features.indifference import chance_divergence
from functok.graph.bipartite import TokenFeatureGraph
from functok.graph.contrasts import Sides, readings
from functok.graph.labelled import LabelledGraph
from functok.stats import benjamini_hochberg, mean_interval, wilson

LEAST = 20
"""Firings below which a feature is ``rare``."""
IDENTITY, ONE_CLASS = 0.9, 0.95
"""Shares of the firings that make a feature one token's, or one class's."""
INDIFFERENT, CONTEXT = 0.05, 0.5
"""Most excess divergence of these kinds, nats."""
KINDS = ("token", "function", "content", "indifferent", "context", "selective", "rare")


@dataclass(frozen=True)
class FeatureSide:
    """What each feature is about."""

    features: pl.DataFrame
    """Features that fire. Columns: feature, kind, occurrences (firings), tokens (that it fires at),
    top_id, top (token with most firings), top_share, evenness, divergence, excess (nats), gini,
    function_share (φ), lift with lift_low and lift_high (95 %, jackknife over documents), p_value
    (of a lift of 1), q_value (Benjamini–Hochberg; the rare take no part)."""
    kinds: pl.DataFrame
    """Columns: kind, features, share (of those that fire) with share_low and share_high (95 %,
    Wilson), firings (share of all)."""
    sides: pl.DataFrame
    """Columns: reading, positions (π, share at its function tokens), lift (mean over features of
    φ_j / π, the rare left out) with lift_low and lift_high (95 %, over features), median_lift,
    only (features with at least .95 of their firings there), features (that take part)."""


def features(subject: LabelledGraph) -> FeatureSide:
    """Concentration, kind and lift of every feature, by class and sub-class."""
    graph = subject.graph
    occurrences = graph.token_occurrences.sum(0)
    sides = readings(subject)
    seen = Concentration.of(graph, sides)
    excess = seen.divergence - chance_divergence(occurrences, seen.firings)
    function = seen.at_sides[:, 0] / seen.firings
    kind = _kinds(seen, excess, function)
    lift = _lifts(graph, seen, sides[0])
    rare = kind == "rare"
    q = np.full(len(rare), math.nan)
    q[~rare] = benjamini_hochberg(lift["p_value"][~rare])
    table = pl.DataFrame(
        {
            "feature": seen.feature,
            "kind": kind,
            "occurrences": seen.firings,
            "tokens": seen.tokens,
            "top_id": seen.top,
            "top": [subject.vocabulary.shown[token] for token in seen.top],
            "top_share": seen.top_share,
            "evenness": seen.evenness,
            "divergence": seen.divergence,
            "excess": excess,
            "gini": seen.gini,
            "function_share": function,
            **lift,
            "q_value": q,
        },
        schema_overrides={"kind": pl.String, "top": pl.String},
    )
    return FeatureSide(
        table, _kind_table(kind, seen.firings), _side_table(occurrences, seen, sides, ~rare)
    )


def context_only(subject: LabelledGraph, found: FeatureSide) -> LabelledGraph:
    """The subject as if its token-identity features were never active.

    Any other control of it is then about the features that need a context.
    """
    identity = found.features.filter(pl.col("kind") == "token")["feature"].to_numpy()
    return replace(subject, graph=subject.graph.without(identity))


def _kinds(
    seen: Concentration,
    excess: Float[np.ndarray, " active"],
    function: Float[np.ndarray, " active"],
) -> np.ndarray:
    conditions = [
        seen.firings < LEAST,
        seen.top_share >= IDENTITY,
        function >= ONE_CLASS,
        seen.at_content / seen.firings >= ONE_CLASS,
        excess <= INDIFFERENT,
        excess <= CONTEXT,
    ]
    names = ["rare", "token", "function", "content", "indifferent", "context"]
    return np.select(conditions, names, "selective")


def _lifts(
    graph: TokenFeatureGraph, seen: Concentration, sides: Sides
) -> dict[str, Float[np.ndarray, " active"]]:
    """φ_j / π of every feature, with the delete-one-group jackknife of ``stats/jackknife.py``."""
    positions = graph.token_occurrences.sum(1)
    used = np.flatnonzero(positions)
    if not len(used):
        return {name: np.zeros(0) for name in ("lift", "lift_low", "lift_high", "p_value")}
    at_function = graph.token_occurrences[:, sides.function].sum(1)

    with np.errstate(divide="ignore", invalid="ignore"):  # a feature of one group, no function
        value = seen.at_sides[:, 0] / seen.firings / (at_function.sum() / positions.sum())
        mine = (seen.at_sides[:, :1] - seen.function_by_group)[:, used]
        every = (seen.firings[:, None] - seen.by_group)[:, used]
        share = (at_function.sum() - at_function) / (positions.sum() - positions)
        without = mine / every / share[used]
        groups = len(used)
        apart = without - without.mean(axis=1, keepdims=True)
        error = np.sqrt((groups - 1) / max(groups, 1) * np.square(apart).sum(1))
        freedom = max(groups - 1, 1)
        p_value = 2 * stdtr(freedom, -np.abs(value - 1) / error)
    half = stdtrit(freedom, 0.975) * error
    return {
        "lift": value,
        "lift_low": value - half,
        "lift_high": value + half,
        "p_value": np.where(seen.firings < LEAST, math.nan, p_value),
    }


def _kind_table(kind: np.ndarray, firings: Int[np.ndarray, " active"]) -> pl.DataFrame:
    rows, total = [], max(len(kind), 1)
    counts = np.array([np.count_nonzero(kind == name) for name in KINDS])
    ends = zip(*wilson(counts, np.full(len(counts), total)), strict=True)
    for name, count, (low, high) in zip(KINDS, counts.tolist(), ends, strict=True):
        rows.append(
            {
                "kind": name,
                "features": count,
                "share": count / total,
                "share_low": float(low),
                "share_high": float(high),
                "firings": float(firings[kind == name].sum() / max(int(firings.sum()), 1)),
            }
        )
    return pl.DataFrame(rows)


def _side_table(
    occurrences: Int[np.ndarray, " vocabulary"],
    seen: Concentration,
    sides: list[Sides],
    often: Bool[np.ndarray, " active"],
) -> pl.DataFrame:
    rows = []
    for number, one in enumerate(sides):
        share = seen.at_sides[often, number] / seen.firings[often]
        here = float(occurrences[one.function].sum() / max(int(occurrences.sum()), 1))
        lift = share / here if here else np.full(len(share), math.nan)
        rows.append(
            {
                "reading": one.reading,
                "positions": here,
                **as_columns("lift", mean_interval(lift)),
                "median_lift": float(np.median(lift)) if len(lift) else math.nan,
                "only": int(np.count_nonzero(share >= ONE_CLASS)),
                "features": len(share),
            }
        )
    return pl.DataFrame(rows)

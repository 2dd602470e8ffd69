"""The stratified difference between function and content tokens of equal frequency.

Tokens are sorted into strata of equal width in log N; within each the means of the two classes are
compared, and the strata's differences averaged with weights n₁n₀/(n₁ + n₀), as in a regression with
one intercept each. A stratum without both classes takes no part, and the table says how many did.

The interval is over documents and token types (``two_way.py``; types by Welch's variance within
strata); p permutes the labels within strata. See ``docs/methods.md#stratified``.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from jaxtyping import Bool, Float, Int

from functok.graph.contrasts import Sides
from functok.stats import Estimate, permute_labels
from functok.stats.two_way import two_way

BINS = 10
"""Strata of log N."""
DRAWS = 4999
FEWER_DRAWS = 999
"""For all readings but the primary one."""


@dataclass(frozen=True)
class Gap:
    """Function minus content, at equal frequency."""

    effect: Estimate
    """In the values' own unit, with its 95 % interval."""
    p_value: float
    """Two-sided permutation of the labels within strata."""
    function: int
    """Function types that take part."""
    content: int
    """Content types that take part."""
    strata: int
    """Strata in which both occur."""


NO_GAP = Gap(Estimate(math.nan, math.nan, math.nan), math.nan, 0, 0, 0)
"""If no stratum contains both classes."""


def frequency_strata(
    occurrences: Int[np.ndarray, " tokens"], bins: int = BINS
) -> Int[np.ndarray, " tokens"]:
    """The stratum of each token: equal widths in log N, from the least to the greatest."""
    if len(occurrences) == 0:
        return np.zeros(0, np.int64)
    height = np.log(np.maximum(occurrences, 1))
    width = float(np.ptp(height)) / bins or 1.0
    return np.minimum(((height - height.min()) / width).astype(np.int64), bins - 1)


def gap(
    values: Float[np.ndarray, " tokens"],
    labelled: Bool[np.ndarray, " tokens"],
    strata: Int[np.ndarray, " tokens"],
    seed: int = 0,
    left_out: Float[np.ndarray, "groups tokens"] | None = None,
    draws: int = DRAWS,
) -> Gap:
    """Mean of the labelled tokens minus that of the others, within strata.

    Args:
        values: finite.
        labelled: which tokens are of the class in question.
        strata: of each token.
        seed: of the permutations.
        left_out: the values with one group of documents left out, for each group; without it the
            interval is over types alone.
        draws: permutations.
    """
    both = np.zeros(len(values), bool)
    for stratum in np.unique(strata):
        inside = strata == stratum
        both |= inside & (0 < labelled[inside].sum() < inside.sum())
    if not both.any():
        return NO_GAP
    values, labelled, strata = values[both], labelled[both], strata[both]
    weights, variance, freedom = _weights(values, labelled, strata)
    without = None if left_out is None else left_out[:, both]
    value = float(weights @ values)
    return Gap(
        effect=two_way(value, variance, freedom, weights, values, without),
        p_value=permute_labels(values, labelled, strata, seed, draws).p_value,
        function=int(labelled.sum()),
        content=int((~labelled).sum()),
        strata=len(np.unique(strata)),
    )


def _weights(
    values: Float[np.ndarray, " tokens"],
    labelled: Bool[np.ndarray, " tokens"],
    strata: Int[np.ndarray, " tokens"],
) -> tuple[Float[np.ndarray, " tokens"], float, float]:
    """Of each value in the gap; the gap's variance over types; its degrees of freedom."""
    weights, total = np.zeros(len(values)), 0.0
    parts: list[tuple[float, int]] = []
    for stratum in np.unique(strata):
        inside = strata == stratum
        sides = [np.flatnonzero(inside & labelled), np.flatnonzero(inside & ~labelled)]
        share = len(sides[0]) * len(sides[1]) / inside.sum()
        total += share
        for sign, side in zip((1, -1), sides, strict=True):
            weights[side] = sign * share / len(side)
            # one token has no variance: take the stratum's
            among = values[side] if len(side) > 1 else values[inside]
            parts.append((share**2 * float(among.var(ddof=1)) / len(side), len(among) - 1))
    variance = sum(part for part, _ in parts)
    freedom = variance**2 / sum(part**2 / free for part, free in parts) if variance else 1.0
    return weights / total, variance / total**2, freedom


def gap_table(
    sides: Sequence[Sides],
    primary: str,
    tokens: Int[np.ndarray, " tokens"],
    values: Float[np.ndarray, " tokens"],
    occurrences: Int[np.ndarray, " tokens"],
    seed: int,
    left_out: Float[np.ndarray, "groups tokens"] | None = None,
) -> tuple[pl.DataFrame, Gap]:
    """The gap under every reading, and that under the ``primary`` one.

    Columns: reading, value, low, high (95 %, documents × types), p_value, function, content (types
    that take part), function_mean, content_mean (of all of either side, whatever their frequency),
    strata, note (why there is no value; else null).

    Args:
        sides: of ``readings``.
        primary: the reading of the declared tests.
        tokens: ids of the tokens that have a value.
        values: of these.
        occurrences: of these.
        seed: of the permutations.
        left_out: see ``gap``.
    """
    strata = frequency_strata(occurrences)
    rows, headline = [], NO_GAP
    for one in sides:
        function, content = one.function[tokens], one.content[tokens]
        some = function | content
        without = None if left_out is None else left_out[:, some]
        draws = DRAWS if one.reading == primary else FEWER_DRAWS
        found = gap(values[some], function[some], strata[some], seed, without, draws)
        if one.reading == primary:
            headline = found
        note = f"no stratum of frequency holds both {function.sum()} function and {content.sum()}"
        rows.append(
            {
                "reading": one.reading,
                **vars(found.effect),
                "p_value": found.p_value,
                "function": found.function,
                "content": found.content,
                "function_mean": float(values[function].mean()) if function.any() else math.nan,
                "content_mean": float(values[content].mean()) if content.any() else math.nan,
                "strata": found.strata,
                "note": None if found.strata else f"{note} content types",
            }
        )
    return pl.DataFrame(rows, _GAPS), headline


_GAPS = {
    "reading": pl.String, "value": pl.Float64, "low": pl.Float64, "high": pl.Float64,
    "p_value": pl.Float64, "function": pl.Int64, "content": pl.Int64,
    "function_mean": pl.Float64, "content_mean": pl.Float64, "strata": pl.Int64,
    "note": pl.String,
}  # fmt: skip

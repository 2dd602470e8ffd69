"""Function types and content types of the same frequency, pair by pair.

Three designs (``docs/methods.md#pairs``); each pair's difference is log S_F(n) − log S_C(n):

===========  =====================================================================================
design       pairs
===========  =====================================================================================
``matched``  of equal frequency within the caliper; n is the common exposure n₀ of all pairs
``thinned``  without a caliper: the more frequent of the two is thinned to the exposure of the
             other, so n differs between pairs and no function type is lost for want of an
             equally frequent partner
``rare``     matched, only the function types outside the paper's frequent set
===========  =====================================================================================

Thinning needs no draws: its expectation over all choices is rarefaction, in closed form.

The effect is the Hodges–Lehmann median of the differences with its interval, the p that of flipping
signs. Balance is the standardised mean difference of log N and of length, before and after
matching; below 0.1 counts as balanced (Austin 2009). By the paper's own definition hardly any pair
fits the caliper, which is the main objection to it.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from jaxtyping import Float

from functok.controls.types.assignment import Forms, Pairs, assign
from functok.graph.bipartite import TokenFeatureGraph
from functok.graph.contrasts import Sides, frequent_set
from functok.richness.incidence import Unit, exposures, incidences
from functok.stats import hodges_lehmann, sign_flip

FEWEST = 6
"""Pairs below which there is no 95 % interval."""


class Matched(NamedTuple):
    """All pairs, and what they say together."""

    pairs: pl.DataFrame
    """Columns: reading, design, function_id, function, content_id, content (as shown), function_n,
    content_n (occurrences), exposure (n), difference (of log richness)."""
    effects: pl.DataFrame
    """Columns: reading, design, value, low, high (Hodges–Lehmann), p_value (sign flips), pairs,
    unpaired (function types left over), smd_log_n, smd_length (within the pairs),
    smd_log_n_before (of all types), note (why there is no interval; else null)."""


def matched(
    graph: TokenFeatureGraph,
    outcome: Float[np.ndarray, " vocabulary"],
    exposure: int,
    unit: Unit,
    sides: Sequence[Sides],
    subclasses: list[str],
    shown: list[str],
    seed: int,
) -> Matched:
    """Every design under every reading.

    Args:
        graph: whose edges give the thinned pairs' richness.
        outcome: log richness of every type at ``exposure``; NaN where it has too few.
        exposure: n₀.
        unit: of the exposure.
        sides: of ``readings``.
        subclasses, shown: of every token id; give the forms that a pair must agree in.
        seed: of the choice among equals and of the sign flips.
    """
    known = np.isfinite(outcome)
    occurrences = graph.token_occurrences.sum(0)
    log_n = np.log(np.maximum(occurrences, 1))
    log_exposure = np.log(np.maximum(exposures(graph, unit), 1))
    forms, frequent = Forms.of(shown, subclasses), frequent_set(occurrences)
    chosen: list[tuple[str, str, Sides, Pairs]] = []
    for one in sides:
        here = one.among(known)
        rare = Sides(here.reading, here.function & ~frequent, here.content)
        chosen.append((one.reading, "matched", here, assign(here, log_n, forms, seed)))
        thinned = assign(here, log_exposure, forms, seed, math.inf)
        chosen.append((one.reading, "thinned", here, thinned))
        chosen.append((one.reading, "rare", rare, assign(rare, log_n, forms, seed)))
    thinnings = [np.concatenate(pairs) for _, design, _, pairs in chosen if design == "thinned"]
    needed = np.unique(np.concatenate([np.empty(0, np.int64), *thinnings]))
    found = incidences(graph, needed, unit)
    rows, effects = [], []
    for reading, design, here, pairs in chosen:
        if design == "thinned":
            n = [
                min(found[one].exposure, found[two].exposure)
                for one, two in zip(*map(np.ndarray.tolist, pairs), strict=True)
            ]
            log_s = [
                [
                    math.log(found[token].richness(drawn))
                    for token, drawn in zip(side, n, strict=True)
                ]
                for side in map(np.ndarray.tolist, pairs)
            ]
            difference = np.array(log_s[0]) - np.array(log_s[1])
        else:
            n = [exposure] * len(pairs.function)
            difference = outcome[pairs.function] - outcome[pairs.content]
        keys = {"reading": reading, "design": design}
        effects.append(keys | _effect(here, pairs, difference, log_n, forms, seed))
        rows.append(
            pl.DataFrame(
                {
                    "reading": [reading] * len(n),
                    "design": [design] * len(n),
                    "function_id": pairs.function,
                    "function": [shown[token] for token in pairs.function],
                    "content_id": pairs.content,
                    "content": [shown[token] for token in pairs.content],
                    "function_n": occurrences[pairs.function],
                    "content_n": occurrences[pairs.content],
                    "exposure": n,
                    "difference": difference,
                },
                _PAIRS,
            )
        )
    return Matched(pl.concat([pl.DataFrame(schema=_PAIRS), *rows]), pl.DataFrame(effects, _EFFECTS))


_PAIRS = {
    "reading": pl.String, "design": pl.String, "function_id": pl.Int64, "function": pl.String,
    "content_id": pl.Int64, "content": pl.String, "function_n": pl.Int64, "content_n": pl.Int64,
    "exposure": pl.Int64, "difference": pl.Float64,
}  # fmt: skip
_EFFECTS = {
    "reading": pl.String, "design": pl.String, "value": pl.Float64, "low": pl.Float64,
    "high": pl.Float64, "p_value": pl.Float64, "pairs": pl.Int64, "unpaired": pl.Int64,
    "smd_log_n": pl.Float64, "smd_length": pl.Float64, "smd_log_n_before": pl.Float64,
    "note": pl.String,
}  # fmt: skip


def _effect(
    sides: Sides,
    pairs: Pairs,
    difference: np.ndarray,
    log_n: np.ndarray,
    forms: Forms,
    seed: int,
) -> dict[str, Any]:
    size = len(difference)
    few = f"{size} of {sides.function.sum()} function types have an equally frequent partner"
    return {
        **vars(hodges_lehmann(difference)),
        "p_value": sign_flip(difference, seed).p_value,
        "pairs": size,
        "unpaired": int(sides.function.sum()) - size,
        "smd_log_n": standardised_difference(log_n[pairs.function], log_n[pairs.content]),
        "smd_length": standardised_difference(
            forms.length[pairs.function], forms.length[pairs.content]
        ),
        "smd_log_n_before": standardised_difference(log_n[sides.function], log_n[sides.content]),
        "note": few if size < FEWEST else None,
    }


def standardised_difference(one: np.ndarray, two: np.ndarray) -> float:
    """(mean − mean) / √(mean of the variances); NaN where a side has fewer than two."""
    if min(len(one), len(two)) < 2:
        return math.nan
    apart = float(one.mean() - two.mean())
    spread = math.sqrt((one.var(ddof=1) + two.var(ddof=1)) / 2)
    return apart / spread if spread > 0 else (0.0 if apart == 0 else math.copysign(math.inf, apart))

"""Is the gap between classes learned? Differences in differences against the baselines.

With D = mean log S(n₀) of function types minus that of content types (documents as exposures,
``richness/tables.py``), every baseline of ``build.py`` gives

    Δ = D(trained) − D(baseline)

type by type, so that what a type has in both cancels. Against the re-initialised model this is test
P4. The interval is over documents × types (``two_way.py``; the same documents are left out in
both), p permutes the classes over the types' own differences.

The baselines together are interpreted by the first rule that holds (``docs/methods.md#baselines``):

====================================================================  =========================
if                                                                    reading
====================================================================  =========================
the trained model's D may be 0                                        no gap
a baseline that the rule needs is missing                             undecided
given the slot, D may be 0 (where that was measured)                  slot
D(reinitialised) has the same sign, and Δ may be 0                    architecture or tokeniser
D(shuffled-document) has the same sign, and Δ may be 0                token identity
D(reinitialised) has the same sign                                    partly learned
else                                                                  learned
====================================================================  =========================

"May be 0" means that the 95 % interval contains 0; "has the same sign" that the interval does not.

What would surprise: raw degree and frequency agree *more* in an untrained model than in a trained
one, since there every token gets a random draw of features (``graphs`` gives Spearman's ρ of each).
"""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from jaxtyping import Bool, Float
from scipy.stats import spearmanr

from functok.graph.bipartite import TokenFeatureGraph
from functok.graph.contrasts import Sides, primary, readings
from functok.graph.coverage import token_degrees
from functok.graph.labelled import LabelledGraph
from functok.richness.common_size import common_size, reaching
from functok.richness.histograms import Histograms
from functok.richness.incidence import Unit
from functok.richness.outcomes import Outcome, log_richness
from functok.stats import Estimate, permute_labels
from functok.stats.two_way import two_way

DRAWS = 4999
FEWER_DRAWS = 999
"""For all but the primary reading."""
UNTRAINED, SHUFFLED = "reinitialised", "shuffled-document"


class Baselines(NamedTuple):
    """A trained model's graph and its baselines."""

    differences: pl.DataFrame
    """Columns: reading, baseline, size (n₀), function, content (types that reach it in both),
    trained with trained_low and trained_high (D), control with control_low and control_high, value
    with low and high (Δ), p_value, note (why there is none; else null)."""
    graphs: pl.DataFrame
    """``trained`` first. Columns: baseline, positions, features (active), l0 (features per
    position), spearman (of raw degree and occurrences, over token types)."""
    readings: pl.DataFrame
    """Columns: reading, explanation (see the module's own words)."""
    learned: dict[str, Any] | None
    """P4: the row of ``differences`` against the re-initialised model under the primary reading;
    None without an untrained model, or without types."""


def baselines(
    subject: LabelledGraph,
    others: Mapping[str, TokenFeatureGraph],
    slots: Mapping[str, Estimate] | None = None,
    unit: Unit = "documents",
) -> Baselines:
    """Every baseline under every reading.

    Args:
        subject: the trained model's graph and its classes.
        others: name → graph of the same documents.
        slots: reading → the gap between classes given the slot, if it was measured.
        unit: of the exposure.
    """
    graphs = {"trained": subject.graph, **others}
    histograms = {name: Histograms.of(graph, unit) for name, graph in graphs.items()}
    sides = readings(subject)
    main = primary(sides, subject.graph.token_occurrences.sum(0))
    rows, explained = [], []
    outcomes: dict[tuple[str, int], Outcome] = {}
    for one in sides:
        draws = DRAWS if one.reading == main else FEWER_DRAWS
        found: dict[str, dict[str, Any]] = {}
        for name in others:
            pair = [histograms["trained"], histograms[name]]
            sizes = [common_size(h, one) for h in pair]
            row: dict[str, Any] = {"reading": one.reading, "baseline": name, "size": None}
            if None in sizes:
                rows.append(
                    row | {"note": "no common exposure is reached by types of both classes"}
                )
                continue
            size = min(size for size in sizes if size is not None)
            reach = reaching(pair[0], size) & reaching(pair[1], size)
            for own, h in zip(("trained", name), pair, strict=True):
                if (own, size) not in outcomes:
                    outcomes[own, size] = log_richness(h, size)
            contrast = _contrast(
                outcomes["trained", size], outcomes[name, size], one, reach, subject.seed, draws
            )
            rows.append(row | {"size": size, **contrast})
            if "value" in contrast:
                found[name] = rows[-1]
        slot = None if slots is None else slots.get(one.reading)
        explained.append({"reading": one.reading, "explanation": explanation(found, slot)})
    table = pl.DataFrame(rows, _DIFFERENCES)
    known = table.filter(pl.col("value").is_not_null(), reading=main, baseline=UNTRAINED)
    return Baselines(
        table,
        pl.DataFrame([_described(name, graph) for name, graph in graphs.items()], _GRAPHS),
        pl.DataFrame(explained, {"reading": pl.String, "explanation": pl.String}),
        None if known.is_empty() else known.row(0, named=True),
    )


def explanation(found: Mapping[str, Mapping[str, Any]], slot: Estimate | None = None) -> str:
    """What the baselines' rows of one reading say together."""
    if found and all(row["trained_low"] <= 0 <= row["trained_high"] for row in found.values()):
        return "no gap"
    if UNTRAINED not in found or SHUFFLED not in found:
        return "undecided"
    untrained, shuffled = found[UNTRAINED], found[SHUFFLED]
    if slot is not None and slot.low <= 0 <= slot.high:
        return "slot"
    for row, meaning in ((untrained, "architecture or tokeniser"), (shuffled, "token identity")):
        if _same_sign(row) and row["low"] <= 0 <= row["high"]:
            return meaning
    return "partly learned" if _same_sign(untrained) else "learned"


def _same_sign(row: Mapping[str, Any]) -> bool:
    if row["trained"] > 0:
        return row["control_low"] > 0
    return row["control_high"] < 0


def _contrast(
    trained: Outcome,
    control: Outcome,
    sides: Sides,
    reach: Bool[np.ndarray, " vocabulary"],
    seed: int,
    draws: int,
) -> dict[str, Any]:
    known = sides.among(reach & np.isfinite(trained.values) & np.isfinite(control.values))
    used = known.function | known.content
    mine = known.function[used]
    found: dict[str, Any] = {"function": int(mine.sum()), "content": int((~mine).sum())}
    if known.least < 2:
        return found | {"note": "fewer than two types of a class"}
    values = [one.values[used] for one in (trained, control)]
    without = _left_out(trained, control, used)
    kinds = {
        "trained": (values[0], without[0]),
        "control": (values[1], without[1]),
        "": (values[0] - values[1], None if without[0] is None else without[0] - without[1]),
    }
    for kind, (value, left_out) in kinds.items():
        estimate = _difference(value, mine, left_out)
        low, high = (f"{kind}_low", f"{kind}_high") if kind else ("low", "high")
        found |= {kind or "value": estimate.value, low: estimate.low, high: estimate.high}
    apart = values[0] - values[1]
    found["p_value"] = permute_labels(apart, mine, seed=seed, draws=draws).p_value
    return found | {"note": None}


def _left_out(
    trained: Outcome, control: Outcome, used: Bool[np.ndarray, " vocabulary"]
) -> tuple[Any, Any]:
    one, two = trained.left_out, control.left_out
    if one is None or two is None or len(one) != len(two):
        return None, None
    return one.of(used), two.of(used)


def _difference(
    values: Float[np.ndarray, " types"],
    mine: Bool[np.ndarray, " types"],
    left_out: Float[np.ndarray, "groups types"] | None,
) -> Estimate:
    """Mean of ``mine`` minus mean of the others, by Welch over types."""
    sizes = [int(mine.sum()), int((~mine).sum())]
    spreads = [
        float(values[side].var(ddof=1)) / n for side, n in zip((mine, ~mine), sizes, strict=True)
    ]
    variance = sum(spreads)
    parts = sum(part**2 / (n - 1) for part, n in zip(spreads, sizes, strict=True))
    freedom = variance**2 / parts if parts > 0 else float(len(values) - 2)
    weights = np.where(mine, 1 / sizes[0], -1 / sizes[1])
    return two_way(float(weights @ values), variance, freedom, weights, values, left_out)


def _described(name: str, graph: TokenFeatureGraph) -> dict[str, Any]:
    occurrences = graph.token_occurrences.sum(0)
    seen = np.flatnonzero(occurrences)
    degree = token_degrees(graph)[seen]
    rho = math.nan
    if len(seen) > 2 and np.ptp(degree) > 0 and np.ptp(occurrences[seen]) > 0:
        rho = float(np.asarray(spearmanr(degree, occurrences[seen]))[0])
    active = graph.activity.sum(0)
    return {
        "baseline": name,
        "positions": graph.positions,
        "features": int(np.count_nonzero(active)),
        "l0": float(active.sum() / max(graph.positions, 1)),
        "spearman": rho,
    }


_DIFFERENCES = {
    "reading": pl.String, "baseline": pl.String, "size": pl.Int64, "function": pl.Int64,
    "content": pl.Int64, "trained": pl.Float64, "trained_low": pl.Float64,
    "trained_high": pl.Float64, "control": pl.Float64, "control_low": pl.Float64,
    "control_high": pl.Float64, "value": pl.Float64, "low": pl.Float64, "high": pl.Float64,
    "p_value": pl.Float64, "note": pl.String,
}  # fmt: skip
_GRAPHS = {
    "baseline": pl.String, "positions": pl.Int64, "features": pl.Int64, "l0": pl.Float64,
    "spearman": pl.Float64,
}  # fmt: skip

"""Is the gap between classes learned? Differences in differences against the baselines.

With D the effect of class on log S(n₀), given the spline of log N (``types/regression.py``, model
``total``), every baseline of ``build.py`` gives

    Δ = D(trained) − D(baseline)

on the types that have a richness in both, so that what a type has in both cancels; Δ is the same
regression of the types' own differences. Against the re-initialised model this is test P4. Without
the spline Δ would hold what training adds to *frequent* types, whatever their class. The interval
is over documents × types (``two_way.py``; the same documents are left out in both), p that of
Freedman and Lane.

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

from functok.controls.types.regression import CLASS, LEAST, class_row, designed
from functok.graph.bipartite import TokenFeatureGraph
from functok.graph.contrasts import WHOLE, Sides, primary, readings
from functok.graph.coverage import token_degrees
from functok.graph.labelled import LabelledGraph
from functok.richness.common_size import SIZE
from functok.richness.histograms import Histograms
from functok.richness.incidence import Unit
from functok.richness.outcomes import Outcome, log_richness
from functok.stats import Estimate
from functok.stats.design import Design
from functok.stats.least_squares import fit

DRAWS = 4999
FEWER_DRAWS = 999
"""For all but the primary reading."""
UNTRAINED, SHUFFLED = "reinitialised", "shuffled-document"


class Baselines(NamedTuple):
    """A trained model's graph and its baselines."""

    differences: pl.DataFrame
    """Columns: reading, baseline, size (n₀), function, content (types that take part), trained with
    trained_low and trained_high (D), control with control_low and control_high, value with low and
    high (Δ), p_value, documents_low and documents_high (of Δ, over documents alone), note (why
    there is none; else null)."""
    graphs: pl.DataFrame
    """``trained`` first. Columns: baseline, positions, features (active), l0 (features per
    position), spearman (of raw degree and occurrences, over token types)."""
    readings: pl.DataFrame
    """Columns: reading, explanation (see the module's own words)."""
    learned: dict[str, dict[str, Any]]
    """P4 by reading: the row of ``differences`` against the re-initialised model; none without an
    untrained model, or without types."""
    outcomes: dict[str, Outcome]
    """log S(n₀) in every graph."""


def baselines(
    subject: LabelledGraph,
    others: Mapping[str, TokenFeatureGraph],
    slots: Mapping[str, Estimate] | None = None,
    unit: Unit = "documents",
    size: int = SIZE,
    eligible: Bool[np.ndarray, " vocabulary"] | None = None,
) -> Baselines:
    """Every baseline under every reading.

    Args:
        subject: the trained model's graph and its classes.
        others: name → graph of the same documents.
        slots: reading → the gap between classes given the slot, if it was measured.
        unit: of the exposure.
        size: n₀.
        eligible: types that may take part; all by default.
    """
    graphs = {"trained": subject.graph, **others}
    sides = readings(subject)
    occurrences = subject.graph.token_occurrences.sum(0)
    main = primary(sides, occurrences)
    outcomes = {
        name: log_richness(Histograms.of(graph, unit), size) for name, graph in graphs.items()
    }
    log_n = np.log(np.maximum(occurrences, 1))
    rows, explained = [], []
    for one in sides if eligible is None else [one.among(eligible) for one in sides]:
        draws = DRAWS if one.reading == main else FEWER_DRAWS
        found: dict[str, dict[str, Any]] = {}
        for name in others:
            row = {"reading": one.reading, "baseline": name, "size": size}
            pair = outcomes["trained"], outcomes[name]
            row |= contrast(*pair, one, log_n, subject.seed, draws)
            rows.append(row)
            if "value" in row:
                found[name] = row
        slot = None if slots is None else slots.get(one.reading)
        explained.append({"reading": one.reading, "explanation": explanation(found, slot)})
    table = pl.DataFrame(rows, _DIFFERENCES)
    known = table.filter(pl.col("value").is_not_null(), baseline=UNTRAINED)
    return Baselines(
        table,
        pl.DataFrame([_described(name, graph) for name, graph in graphs.items()], _GRAPHS),
        pl.DataFrame(explained, {"reading": pl.String, "explanation": pl.String}),
        {row["reading"]: row for row in known.iter_rows(named=True)},
        outcomes,
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


def contrast(
    trained: Outcome,
    control: Outcome,
    sides: Sides,
    log_n: Float[np.ndarray, " vocabulary"],
    seed: int,
    draws: int,
) -> dict[str, Any]:
    """D in both and Δ, as in ``Baselines.differences``; without value and p where there is a note.

    Args:
        trained, control: the outcomes.
        sides: one reading.
        log_n: log occurrences of every type.
        seed: of the permutations.
        draws: of these.
    """
    known = sides.among(np.isfinite(trained.values) & np.isfinite(control.values))
    used = known.function | known.content
    row: dict[str, Any] = {
        "function": int(known.function.sum()),
        "content": int(known.content.sum()),
    }
    least = LEAST if sides.reading in WHOLE else LEAST // 2
    made = designed({"log_n": log_n}, "total", known, {CLASS: known.function}, least)
    if not isinstance(made, Design):
        return row | {"note": made}
    values = [one.values[used] for one in (trained, control)]
    without = _left_out(trained, control, used)
    apart = None if without[0] is None else without[0] - without[1]
    kinds = {
        "trained": (values[0], without[0], 0),
        "control": (values[1], without[1], 0),
        "": (values[0] - values[1], apart, draws),
    }
    told = {
        kind: class_row(fit(value, made, (CLASS,), left_out, permuted, seed))
        for kind, (value, left_out, permuted) in kinds.items()
    }
    for kind, one in told.items():
        low, high = (f"{kind}_low", f"{kind}_high") if kind else ("low", "high")
        row |= {kind or "value": one["value"], low: one["low"], high: one["high"]}
    delta = told[""]
    row |= {name: delta[name] for name in ("documents_low", "documents_high")}
    return row | {"p_value": delta["p_permutation"], "note": None}


def _left_out(
    trained: Outcome, control: Outcome, used: Bool[np.ndarray, " vocabulary"]
) -> tuple[Any, Any]:
    one, two = trained.left_out, control.left_out
    if one is None or two is None or len(one) != len(two):
        return None, None
    return one.of(used), two.of(used)


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
    "p_value": pl.Float64, "documents_low": pl.Float64, "documents_high": pl.Float64,
    "note": pl.String,
}  # fmt: skip
_GRAPHS = {
    "baseline": pl.String, "positions": pl.Int64, "features": pl.Int64, "l0": pl.Float64,
    "spearman": pl.Float64,
}  # fmt: skip

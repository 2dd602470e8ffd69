"""Would another author, with other choices, have found the same? The specification curve.

For every combination of the choices in ``axes.py`` that the data allow (Simonsohn, Simmons & Nelson
2020; ``docs/methods.md#specification-curve``), these effects, all log ratios, above 0 for the
claim:

==============  ================================================================================
effect          meaning
==============  ================================================================================
``coverage``    features that function positions reach, over the same number of random positions
``class``       main effect of class in the 2×2
``total``       effect of class given frequency (test P2)
``direct``      effect of class given frequency, neighbours and dispersion (test P3)
==============  ================================================================================

Each keeps the interval of its own control. Over the curve: the median, the share of specifications
with the median's sign, and, for ``class``, a joint permutation test (``joint.py``), since
specifications are not independent and their intervals cannot be counted as votes. Last, how much of
the variance each axis explains (η², one axis at a time).

What would surprise: definitions by frequency are in the curve, for the paper's is one, but class is
then frequency under another name (``graph/contrasts.py``); the joint test uses the others alone.
"""

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from functok.controls.inputs import Inputs
from functok.controls.positions.comparison import Comparison
from functok.controls.positions.pools import Pool, pools
from functok.controls.specification.axes import Chosen, axis_choices, definitions, missing
from functok.controls.specification.joint import SEPARABLE, joint_test
from functok.controls.types.alone import alone
from functok.controls.types.contexts import by_token, context_table
from functok.controls.types.factorial import class_alone
from functok.controls.types.predictors import CONTEXT
from functok.graph.contrasts import SEPARATED, WHOLE, Sides
from functok.richness.common_size import SIZE, SIZES
from functok.richness.histograms import UNITS, Histograms
from functok.richness.outcomes import Outcome, log_richness
from functok.stats import Estimate
from functok.stats.design import Predictors

AXES = ("sae", "layer", "rule", "exclusion", "definition", "unit", "exposure")
ALL = "all definitions"


class SpecificationCurve(NamedTuple):
    """Every specification, and their summary."""

    specifications: pl.DataFrame
    """Columns: effect, sae, layer, rule, exclusion, definition, kind (of definition: ``frequency``,
    where class is frequency under another name; ``form``; ``subclass``), unit and exposure (null
    for coverage), value, low, high (95 %), types."""
    summary: pl.DataFrame
    """Columns: effect, definition (one, or all but sub-classes, or all by form), specifications,
    median, lowest, highest, same_sign (share with the median's sign), above and below (shares whose
    interval lies above 0, below 0), p_median and p_sign (joint permutation; null where none)."""
    axes: pl.DataFrame
    """Columns: effect, axis, levels, share (of the variance over all but sub-classes)."""
    missing: pl.DataFrame
    """Columns: axis, reason (why it could not be varied)."""


def curve(given: Inputs) -> SpecificationCurve:
    """Every specification that the graph and its alternatives allow."""
    sides = definitions(given.subject)
    kinds = {one.reading: _kind(one, given.occurrences) for one in sides}
    columns = _columns(given)
    rows: list[dict[str, Any]] = []
    kept: list[np.ndarray] = []
    for one in axis_choices(given.subject, given.alternatives):
        keys = {axis: getattr(one, axis) for axis in ("sae", "layer", "rule", "exclusion")}
        for reading, row in _coverage(one, sides):
            rows.append({"effect": "coverage", **keys, "definition": reading, **row})
        for unit in UNITS:
            h = Histograms.of(one.graph, unit)
            for size in SIZES:
                outcome = log_richness(h, size)
                choice = keys | {"unit": unit, "exposure": size}
                found = [*_effects(outcome, sides, given.occurrences, columns)]
                rows += [choice | row for row in found]
                if any(row["effect"] == "class" for row in found):
                    kept.append(outcome.values)
    for row in rows:
        row["kind"] = kinds[row["definition"]]
    table = pl.DataFrame(rows, _ROWS)
    by_form = [one for one in sides if kinds[one.reading] != "frequency"]
    outcomes = np.array(kept).reshape(len(kept), given.subject.graph.vocabulary)
    joint = joint_test(outcomes, by_form, given.occurrences, given.subject.seed)
    reasons = [*missing(given.subject, given.alternatives)]
    return SpecificationCurve(
        table,
        pl.DataFrame([*_summaries(table, joint)], _SUMMARY),
        pl.DataFrame([*_shares(table)], _AXES),
        pl.DataFrame(reasons, _MISSING, orient="row"),
    )


def _kind(sides: Sides, occurrences: np.ndarray) -> str:
    apart = sides.separation(occurrences)
    if sides.reading in WHOLE or sides.reading.startswith("most frequent"):
        return "frequency" if not apart < SEPARATED else "form"
    return "subclass"


def _coverage(one: Chosen, sides: list[Sides]) -> Iterator[tuple[str, dict[str, Any]]]:
    graph = one.graph
    everywhere = Pool(graph.activity, graph.token_occurrences.sum(1))
    some = [side for side in sides if side.function.any()]
    masks = [(side.function, side.content) for side in some]
    for side, (mine, others) in zip(some, pools(graph, masks), strict=True):
        row = next(Comparison(everywhere, mine).of_tables(others, None), None)
        if row is None or not math.isfinite(row["log_ratio"]):
            continue
        types = int(side.function.sum())
        yield (
            side.reading,
            {"value": row["log_ratio"], "low": row["low"], "high": row["high"], "types": types},
        )


def _effects(
    outcome: Outcome, sides: list[Sides], occurrences: np.ndarray, columns: Predictors
) -> Iterator[dict[str, Any]]:
    """The effects of class on one outcome, if there are enough types."""
    for one in sides:
        both = class_alone(outcome.values, occurrences, one, outcome.left_out)
        if both is None:
            continue
        yield {"effect": "class", "definition": one.reading, "types": both[1]} | vars(both[0])
        fitted = alone(outcome.values, columns, one, outcome.left_out)
        for effect, row in fitted.effects.items():
            told = {"effect": effect, "definition": one.reading, "types": fitted.types}
            yield told | vars(Estimate.of(row))


def _columns(given: Inputs) -> Predictors:
    """Frequency of every type, and its neighbours if the documents are there."""
    with np.errstate(divide="ignore"):
        frequency = {"log_n": np.log(given.occurrences)}
    if given.encoded is None:
        return frequency
    vocabulary = given.subject.graph.vocabulary
    table = context_table(given.encoded, vocabulary, SIZE, given.subject.seed)
    return frequency | by_token(table, CONTEXT, vocabulary)


def _summaries(
    table: pl.DataFrame, joint: dict[str, tuple[float, float]]
) -> Iterator[dict[str, Any]]:
    whole = pl.col("kind") != "subclass"
    for (effect,), rows in table.group_by("effect", maintain_order=True):
        parts = {ALL: rows.filter(whole), SEPARABLE: rows.filter(pl.col("kind") == "form")}
        parts |= {
            str(name): part for (name,), part in rows.group_by("definition", maintain_order=True)
        }
        for name, part in parts.items():
            if part.is_empty():
                continue
            value = part["value"].to_numpy()
            median = float(np.median(value))
            p_values = joint.get(name, (None, None)) if effect == "class" else (None, None)
            yield {
                "effect": effect,
                "definition": name,
                "specifications": len(part),
                "median": median,
                "lowest": float(value.min()),
                "highest": float(value.max()),
                "same_sign": float(np.mean(np.sign(value) == np.sign(median))),
                "above": float(np.mean(part["low"].to_numpy() > 0)),
                "below": float(np.mean(part["high"].to_numpy() < 0)),
                "p_median": p_values[0],
                "p_sign": p_values[1],
            }  # fmt: skip


def _shares(table: pl.DataFrame) -> Iterator[dict[str, Any]]:
    """η² of every axis that has two levels or more."""
    for (effect,), rows in table.filter(pl.col("kind") != "subclass").group_by(
        "effect", maintain_order=True
    ):
        value = rows["value"].to_numpy()
        total = float(np.square(value - value.mean()).sum())
        for axis in AXES:
            levels = rows[axis].n_unique()
            if levels < 2 or total == 0:
                continue
            mean = rows.select(pl.col("value").mean().over(axis))["value"].to_numpy()
            share = float(np.square(mean - value.mean()).sum()) / total
            yield {"effect": effect, "axis": axis, "levels": levels, "share": share}


_ROWS = {
    "effect": pl.String, "sae": pl.String, "layer": pl.String, "rule": pl.String,
    "exclusion": pl.String, "definition": pl.String, "kind": pl.String, "unit": pl.String,
    "exposure": pl.Int64, "value": pl.Float64, "low": pl.Float64, "high": pl.Float64,
    "types": pl.Int64,
}  # fmt: skip
_SUMMARY = {
    "effect": pl.String, "definition": pl.String, "specifications": pl.Int64,
    "median": pl.Float64, "lowest": pl.Float64, "highest": pl.Float64, "same_sign": pl.Float64,
    "above": pl.Float64, "below": pl.Float64, "p_median": pl.Float64, "p_sign": pl.Float64,
}  # fmt: skip
_AXES = {"effect": pl.String, "axis": pl.String, "levels": pl.Int64, "share": pl.Float64}
_MISSING = {"axis": pl.String, "reason": pl.String}

"""P1 to P4 under every reading of "function", side by side: what an account of the degree rests on.

Columns: reading, test (``P1`` to ``P4``, and ``slot``: P2 minus P3), separation (of the types that
take part, P(a function type is more frequent than a content type): near 1 class is frequency under
another name), effect with effect_low and effect_high (95 %) and p_value, documents_low and
documents_high (the interval over documents alone), unit and units (of the interval), note (what is
missing; null where there is an effect). See ``docs/methods.md#accounts``.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import polars as pl

from functok.claims.evidence import as_columns
from functok.controls.baselines.differences import UNTRAINED
from functok.controls.control import Result
from functok.controls.inputs import Inputs
from functok.controls.positions.exposure import exposure_effect
from functok.controls.suite.declared import NO_BASELINES, position_units
from functok.controls.types.regression import LEAST, RICHNESS, SLOT, class_effects
from functok.graph.contrasts import WHOLE, Sides
from functok.richness.common_size import SIZE
from functok.richness.incidence import exposures
from functok.stats import Estimate

_MODELS = {"P2": "total", "P3": "direct", SLOT: SLOT}
"""Tests that are rows of the regression, with their model."""


def side_by_side(given: Inputs) -> Result:
    """The module's table, of the three readings of the whole class."""
    rows = []
    for one in given.sides:
        if one.reading in WHOLE:
            apart = one.among(given.population).separation(given.occurrences)
            keys = {"reading": one.reading, "separation": apart}
            rows += [keys | row for row in (_positions(given, one), *_types(given, one))]
    return Result({"accounts": pl.DataFrame(rows, _COLUMNS)})


def _positions(given: Inputs, one: Sides) -> dict[str, Any]:
    half = exposure_effect(given.positions, one.reading)
    if half is None:
        return {"test": "P1", "note": "positions of both classes in enough documents are needed"}
    return {
        "test": "P1",
        **as_columns("effect", half.effect),
        "p_value": half.p_value,
        **as_columns("documents", half.documents),
        "unit": half.unit,
        "units": position_units(given, one, half),
    }


def _types(given: Inputs, one: Sides) -> Iterator[dict[str, Any]]:
    found = {} if given.regressed is None else class_effects(given.regressed, one.reading)
    for test, model in _MODELS.items():
        row = found.get(model)
        if row is None:
            yield {"test": test, "note": lacking(given, one) or _unfitted(given, one, model)}
        else:
            p_value = row["p_value"] if row["p_permutation"] is None else row["p_permutation"]
            yield {"test": test} | _columns(row, p_value, row["types"])
    learned = {} if given.differences is None else given.differences.learned
    row = learned.get(one.reading)
    if row is None:
        yield {"test": "P4", "note": lacking(given, one) or _uncompared(given, one)}
    else:
        yield {"test": "P4"} | _columns(row, row["p_value"], row["function"] + row["content"])


def _columns(row: dict[str, Any], p_value: float, units: int) -> dict[str, Any]:
    ends = {name: row[name] for name in ("documents_low", "documents_high")}
    effect = as_columns("effect", Estimate.of(row))
    return effect | {"p_value": p_value, **ends, "unit": "token types", "units": units}


def lacking(given: Inputs, sides: Sides) -> str:
    """What more text would have to bring; empty if there are types enough.

    The tokens are those in which the tenth most widespread type would reach the exposure, were the
    text as it is.
    """
    size, reached = given.asked or SIZE, exposures(given.subject.graph, given.unit)
    said = []
    for name, side in (("function", sides.function), ("content", sides.content)):
        spread = np.sort(reached[side])[::-1]
        lack = LEAST - int((spread >= size).sum())
        if lack > 0:
            said.append(f"{lack} more {name} types must reach {size} {given.unit}")
        if lack > 0 and len(spread) >= LEAST:
            tokens = given.subject.graph.positions * size / int(spread[LEAST - 1])
            said[-1] += f" (about {float(f'{tokens:.2g}'):,.0f} tokens are needed)"
    return "; ".join(said)


def _unfitted(given: Inputs, sides: Sides, model: str) -> str:
    """Why a model has no effect of class, though there are types enough."""
    if given.regressed is None:
        return given.too_short
    model = "direct" if model == SLOT else model
    fits = given.regressed.fits.filter(
        reading=sides.reading, outcome=RICHNESS, support="all", model=model
    )
    return fits["note"].item()


def _uncompared(given: Inputs, sides: Sides) -> str:
    """Why there is no comparison with the untrained model, though there are types enough."""
    if given.differences is None or UNTRAINED not in given.baselines:
        return NO_BASELINES
    rows = given.differences.differences.filter(reading=sides.reading, baseline=UNTRAINED)
    return rows["note"].item()


_COLUMNS = {
    "reading": pl.String, "test": pl.String, "separation": pl.Float64, "effect": pl.Float64,
    "effect_low": pl.Float64, "effect_high": pl.Float64, "p_value": pl.Float64,
    "documents_low": pl.Float64, "documents_high": pl.Float64, "unit": pl.String,
    "units": pl.Int64, "note": pl.String,
}  # fmt: skip

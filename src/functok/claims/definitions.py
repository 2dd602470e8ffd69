"""The rows of the claims under other definitions of "function": would the answer be the same?

Each step that writes rows of claims repeats them under the definitions of ``graph/contrasts.py``:
the most frequent tokens that cover 20 to 60 % of the positions, and the readings by form
(``docs/methods.md#other-definitions``). These repeats are descriptions: their p has no correction.
"""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import polars as pl

from functok.claims.declared import ROWS
from functok.claims.evidence import Evidence, as_columns, too_few
from functok.claims.rule import answer
from functok.stats import Estimate

COLUMNS = {
    "definition": pl.String, "test": pl.String, "effect": pl.Float64, "effect_low": pl.Float64,
    "effect_high": pl.Float64, "p_value": pl.Float64, "unit": pl.String, "units": pl.Int64,
    "answer": pl.String, "note": pl.String,
}  # fmt: skip
"""Of a table of repeats. Unit and units are those of the interval; answer follows from the rule of
``rule.py`` without Holm's correction; note says why there is no effect (else null)."""


def repeat(
    definition: str,
    test: str,
    effect: Estimate | None,
    p_value: float = math.nan,
    unit: str | None = None,
    units: int | None = None,
    note: str | None = None,
) -> dict[str, Any]:
    """A row of ``COLUMNS``; without an effect it is not run, and ``note`` says why."""
    row: dict[str, Any] = {"definition": definition, "test": test, "note": note}
    if effect is None:
        return row | {"answer": answer(ROWS[test], None, {})}
    row |= {**as_columns("effect", effect), "p_value": p_value, "unit": unit, "units": units}
    return row | {"answer": answer(ROWS[test], row, {})}


def repeats(
    definition: str, rows: Iterable[Evidence], tests: Sequence[str] = (), note: str | None = None
) -> list[dict[str, Any]]:
    """Rows of ``COLUMNS`` from those that would be written for the claims.

    Args:
        rows: of this definition.
        tests: those that there may be.
        note: why one of these is missing.
    """
    found = [
        repeat(
            definition,
            row.test,
            Estimate(row.effect, row.effect_low, row.effect_high),
            row.p_value,
            row.unit,
            row.units,
        )
        for row in rows
    ]
    missing = [test for test in tests if test not in {row["test"] for row in found}]
    return found + [repeat(definition, test, None, note=note) for test in missing]


def repeats_table(rows: Iterable[dict[str, Any]], documents: int) -> pl.DataFrame:
    """The rows as a table of ``COLUMNS``; without intervals where they would be of too few
    ``documents``, as those of the rows themselves (``Evidence.write``)."""
    table = pl.DataFrame([*rows], COLUMNS)
    missing = too_few(documents)
    if missing is None:
        return table
    ran = pl.col("effect").is_not_null()
    nothing = [
        pl.when(ran).then(pl.lit(math.nan)).alias(name)
        for name in ("effect_low", "effect_high", "p_value")
    ]
    return table.with_columns(
        *nothing,
        unit=pl.when(ran).then(pl.format("{} ({})", "unit", pl.lit(missing))),
        answer=pl.when(ran).then(pl.lit("undecided")).otherwise("answer"),
    )

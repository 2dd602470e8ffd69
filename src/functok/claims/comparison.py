"""Several runs side by side: the same declared rows, on other models, seeds or definitions."""

import math
from collections.abc import Mapping
from typing import Any

import polars as pl


def compared(claims: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """The effects of every row that some run has, and how they differ.

    Args:
        claims: ``claims.parquet`` of each run, by its name.

    Returns:
        A row per declared row and run. Columns claim, test, asks, effect_unit, run, effect with
        effect_low and effect_high, answer, and the difference from the first run that has the row,
        with difference_low and difference_high: 95 %, the runs taken as independent, which runs on
        the same text are not, so that it errs on the wide side where they agree.
    """
    columns = ("claim", "test", "asks", "effect_unit", "effect", "effect_low", "effect_high")
    table = pl.concat(
        part.select(*columns, "answer", pl.lit(name).alias("run")) for name, part in claims.items()
    )
    order = {test: place for place, test in enumerate(table["test"].unique(maintain_order=True))}
    rows = []
    for _, part in table.filter(pl.col("effect").is_not_null()).group_by(
        "test", maintain_order=True
    ):
        first, *rest = part.to_dicts()
        rows.append(first | dict.fromkeys(_DIFFERENCE, None))
        rows += [row | _difference(first, row) for row in rest]
    kept = (*columns[:4], "run", *columns[4:], "answer", *_DIFFERENCE)
    if not rows:
        schema = table.schema | dict.fromkeys(_DIFFERENCE, pl.Float64)
        return pl.DataFrame(schema=schema).select(kept)
    numbers: dict[str, Any] = dict.fromkeys(_DIFFERENCE, pl.Float64)
    return (
        pl.DataFrame(rows, schema_overrides=numbers, infer_schema_length=None)
        .select(kept)
        .sort(pl.col("test").replace_strict(order), maintain_order=True)
    )


_DIFFERENCE = ("difference", "difference_low", "difference_high")


def _difference(first: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, float]:
    value = other["effect"] - first["effect"]
    halves = [
        math.nan if row["effect_low"] is None else (row["effect_high"] - row["effect_low"]) / 2
        for row in (first, other)
    ]
    half = math.hypot(*halves)
    return dict(zip(_DIFFERENCE, (value, value - half, value + half), strict=True))


def sentences(claims: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """What each run says of each claim.

    Returns:
        Columns statement, and one with a clause for each run.
    """
    found: pl.DataFrame | None = None
    for name, part in claims.items():
        one = part.unique("claim", maintain_order=True).select(
            "statement", pl.col("sentence").alias(name)
        )
        found = (
            one
            if found is None
            else found.join(
                one, on="statement", how="full", coalesce=True, maintain_order="left_right"
            )
        )
    assert found is not None, "there is a run to compare"
    return found

"""The effects behind all verdicts, each with its interval, its margin and its answer."""

import altair as alt
import polars as pl
from altair.typing import ChartType

from functok.figures.plan import Plan, made_from
from functok.figures.style import (
    CONTENT,
    CONTROL,
    FUNCTION,
    MEASURED,
    WIDTH,
    tips,
    value_tips,
    with_intervals,
    zero_line,
)

_COLOURS = {
    "observed": MEASURED,
    "supported": MEASURED,
    "not observed": FUNCTION,
    "contradicted": FUNCTION,
    "negligible": CONTENT,
    "undecided": CONTROL,
}


def effect_rows(claims: pl.DataFrame) -> pl.DataFrame:
    """The rows that were run, claim by claim.

    Args:
        claims: ``claims.parquet``.

    Returns:
        Columns row (claim and test), asks, answer, effect with effect_low and effect_high, unit,
        low and high (the margin either way; null without one), size.
    """
    margin = pl.when(pl.col("margin") > 0).then("margin")
    return claims.filter(pl.col("effect").is_finite()).select(
        pl.format("{}: {}", "claim", "test").alias("row"),
        *("asks", "answer", "effect", "effect_low", "effect_high"),
        pl.col("effect_unit").alias("unit"),
        (-margin).alias("low"),
        margin.alias("high"),
        "size",
    )


def forest(table: pl.DataFrame) -> ChartType:
    """One panel for each unit, since effects in different units share no axis."""
    answers = [name for name in _COLOURS if name in table["answer"].unique()]
    scale = alt.Scale(domain=answers, range=[_COLOURS[name] for name in answers])
    parts: list[ChartType] = []
    for unit in table["unit"].unique(maintain_order=True):
        part = table.filter(unit=unit)
        base = alt.Chart(table, width=WIDTH - 160, height=24 * len(part)).encode(
            y=alt.Y("row:N", title=None, sort=part["row"].to_list()).axis(labelLimit=220),
            color=alt.Color("answer:N", scale=scale),
            tooltip=[
                *tips("row:N asks:N answer:N"),
                *value_tips("effect", ".3f", unit),
                alt.Tooltip("size:N"),
            ],
        )
        base = base.transform_filter(f"datum.unit == '{unit}'")
        within = base.transform_filter("isValid(datum.low)").mark_bar(opacity=0.15, height=18)
        parts.append(
            within.encode(x="low:Q", x2="high:Q", color=alt.value(CONTROL))
            + zero_line(table)
            + with_intervals(base, alt.X("effect:Q", title=unit), "effect_low", "effect_high", 50)
        )
    return alt.vconcat(*parts).resolve_scale(color="shared")


PLANS = (
    Plan(
        name="claims",
        section="findings",
        title="Every effect with its verdict",
        subtitle="bars: 95 % intervals; grey: effects too small to matter, as declared",
        reading="Right of the dashed line an observation (O-…) is what the paper reports, and a "
        "comparison (P…, E-…) is more than its control; within the grey band it is negligible.",
        control="Each row names its own; at 0 the measurement equals its control, or the bound "
        "that was declared for the observation.",
        absent="No row of a claim was run, so there are no effects to draw.",
        tables=made_from(effect_rows, lambda folder: folder.claims),
        chart=forest,
    ),
)

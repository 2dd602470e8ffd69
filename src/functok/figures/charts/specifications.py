"""The specification curve: effects in order of size, and below them the choices behind each."""

from functools import partial

import altair as alt
import numpy as np
import polars as pl
from altair.typing import ChartType

from functok.figures.plan import NO_CONTROLS, Plan, made_from, of_control
from functok.figures.style import (
    CONTENT,
    CONTROL,
    FUNCTION,
    WIDTH,
    readings_in_words,
    value_tips,
    zero_line,
)

MOST = 300
"""Specifications drawn; more are thinned evenly."""
_AXES = {
    "definition": "function",
    "rule": "active",
    "exclusion": "features",
    "unit": "unit",
    "exposure": "exposures",
    "sae": "SAE",
    "layer": "layer",
}


def specification_rows(table: pl.DataFrame, effect: str) -> pl.DataFrame:
    """The specifications of one effect, without sub-classes, in order of size.

    Args:
        table: ``controls/specifications.parquet``.
        effect: ``coverage``, ``class``, ``total`` or ``direct``.

    Returns:
        Columns rank, value, low, high, outcome, the choices (in words), types.
    """
    rows = table.filter((pl.col("effect") == effect) & (pl.col("kind") != "subclass"))
    rows = rows.sort("value").with_row_index("rank", 1)
    if len(rows) > MOST:
        rows = rows[np.linspace(0, len(rows) - 1, MOST).round().astype(int).tolist()]
    outcome = (
        pl.when(pl.col("low") > 0)
        .then(pl.lit("above 0"))
        .when(pl.col("high") < 0)
        .then(pl.lit("below 0"))
        .otherwise(pl.lit("interval contains 0"))
    )
    return rows.with_columns(
        readings_in_words("definition"),
        pl.col("exposure").cast(pl.String),
        pl.col("low", "high").fill_nan(None),
        outcome=outcome,
    ).select("rank", "value", "low", "high", "outcome", *_AXES, "types")


def specification_curve(table: pl.DataFrame) -> ChartType:
    """Sorted effects above, the choices as rows of ticks below."""
    base = alt.Chart(table, width=WIDTH - 130).encode(
        x=alt.X("rank:Q", title=None, axis=None).scale(nice=False, zero=False),
        color=alt.Color("outcome:N").scale(
            domain=["above 0", "below 0", "interval contains 0"], range=[FUNCTION, CONTENT, CONTROL]
        ),
        tooltip=[
            "rank:Q",
            *value_tips("value", ".3f", "log ratio", prefixed=False),
            *[alt.Tooltip(f"{axis}:N", title=words) for axis, words in _AXES.items()],
            "types:Q",
        ],
    )
    values, half = table["value"], (table["high"] - table["low"]).quantile(0.9) or 0.0
    ends = [float(values.to_numpy().min()) - half, float(values.to_numpy().max()) + half]
    scale = alt.Scale(domain=[min(ends[0], 0.0), max(ends[1], 0.0)], nice=False)
    low, y = (alt.Y(f"{name}:Q", title="log ratio", scale=scale) for name in ("low", "value"))
    bars = base.transform_filter("isValid(datum.low)").mark_rule(opacity=0.35, clip=True)
    points = base.mark_point(opacity=1, size=12).encode(y=y)
    effect = zero_line(table, across=True) + bars.encode(y=low, y2="high:Q") + points
    parts: list[ChartType] = [effect.properties(height=220)]
    for axis, words in _AXES.items():
        levels = table[axis].drop_nulls().unique(maintain_order=True).to_list()
        if len(levels) < 2:
            continue
        levels.sort(key=lambda level: (int(level) if axis == "exposure" else 0, level))
        parts.append(
            base.mark_tick(thickness=1.2, size=9, opacity=0.8)
            .encode(
                y=alt.Y(f"{axis}:N", title=words, sort=levels).axis(
                    titleAngle=0, titleAlign="right", titleX=-140, labelLimit=125, grid=False
                )
            )
            .properties(height=13 * len(levels))
        )
    return alt.vconcat(*parts, spacing=6).resolve_scale(x="shared", color="shared")


_CURVES = {
    "coverage": ("Coverage under other choices", "the same number of random positions reach"),
    "class": ("What class adds, under other choices", "content types of similar frequency reach"),
    "total": (
        "What class adds to frequency, under other choices",
        "content types of equal frequency reach",
    ),
    "direct": (
        "What class adds to context, under other choices",
        "content types of equal frequency, neighbours and dispersion reach",
    ),
}


def _curve(effect: str) -> Plan:
    title, reference = _CURVES[effect]
    return Plan(
        name=f"specifications-{effect}",
        section="controls",
        folded=effect != "class",
        title=title,
        subtitle="each column is one combination of choices, in order of effect; bars: 95 % "
        "intervals; dashes: what frequency alone would give",
        reading="A robust finding has the same sign along the whole curve; ticks concentrated on "
        "one side of a row show a choice that matters.",
        control=f"Each effect is a log ratio to what {reference} under the same choices; 0 is what "
        "frequency alone would give.",
        absent=NO_CONTROLS,
        tables=made_from(partial(specification_rows, effect=effect), of_control("specifications")),
        chart=specification_curve,
    )


PLANS = (*(_curve(effect) for effect in _CURVES),)

"""The effects that all verdicts rest on: a forest plot, claim by claim.

Effects have several units, so no axis has numbers: each unit has its own scale, on which its
furthest interval reaches the border, and every row says its numbers.
"""

import math

import altair as alt
import polars as pl
from altair.typing import ChartType

from functok.figures.plan import Plan, made_from
from functok.figures.style import CONTROL, VERDICTS, tips, value_tips, zero_line

_SCALED = ("at", "at_low", "at_high", "within_low", "within_high")
_ROW, _PANEL = 19, 300
"""Pixels: the height of a row, the width of a run's effects."""


def effect_rows(claims: pl.DataFrame) -> pl.DataFrame:
    """The rows that were run, claim by claim.

    Args:
        claims: ``claims.parquet``.

    Returns:
        Columns row (claim and test), claim, test, asks, answer, effect with effect_low and
        effect_high, unit, low and high (the margin either way; null without one), size, and the
        columns of ``on_scales``.
    """
    margin = pl.when(pl.col("margin") > 0).then("margin")
    ran = claims.filter(pl.col("effect").is_finite())
    return on_scales(
        ran.select(
            pl.format("{}: {}", "claim", "test").alias("row"),
            *("claim", "test", "asks", "answer", "effect", "effect_low", "effect_high"),
            pl.col("effect_unit").alias("unit"),
            (-margin).alias("low"),
            margin.alias("high"),
            "size",
        )
    )


def on_scales(rows: pl.DataFrame) -> pl.DataFrame:
    """Effects on the scale of their unit, of one run or of several.

    Returns:
        The rows with at, at_low, at_high, within_low and within_high: effect, interval and margin
        as shares of the largest end of an interval of that unit; numbers, the effect and its
        interval as text; and link, to the row in the report.
    """
    ends = pl.col("effect", "effect_low", "effect_high").fill_nan(None)
    rows = rows.with_columns(ends)
    furthest = pl.max_horizontal(pl.col("effect", "effect_low", "effect_high").abs())
    scale = furthest.max().over("unit")
    scale = pl.when(scale > 0).then(scale).otherwise(1.0)
    values = zip(("effect", "effect_low", "effect_high", "low", "high"), _SCALED, strict=True)
    shares = [(pl.col(name) / scale).clip(-1, 1).alias(share) for name, share in values]
    shown = rows.select("effect", "effect_low", "effect_high", "unit").iter_rows()
    return rows.with_columns(
        *shares,
        pl.Series("numbers", [_numbers(*row) for row in shown], pl.String),
        pl.format("#row-{}", "test").alias("link"),
    )


def _numbers(effect: float, low: float | None, high: float | None, unit: str) -> str:
    if low is None or high is None:
        return f"{effect:.3g} {unit}"
    largest = max(abs(effect), abs(low), abs(high))
    digits = max(0, 2 - math.floor(math.log10(largest))) if largest else 0
    value, *ends = (f"{one:.{digits}f}".replace("-", "−") for one in (effect, low, high))
    return f"{value} [{', '.join(ends)}] {unit}"


def forest(table: pl.DataFrame) -> ChartType:
    """A row for every effect, in the colour of its answer; a column for each run, if several."""
    several = "run" in table.columns
    answers = [name for name in VERDICTS if name in table["answer"].unique()]
    scale = alt.Scale(domain=answers, range=[VERDICTS[name] for name in answers])
    tests = table["test"].unique(maintain_order=True).to_list()
    runs = table["run"].unique(maintain_order=True).to_list() if several else [""]
    width = max(_PANEL // len(runs), 110)
    base = alt.Chart(table, width=width, height=alt.Step(_ROW)).encode(
        y=alt.Y("test:N", title=None, sort=tests).axis(ticks=False, domain=False, grid=True),
        color=alt.Color("answer:N", scale=scale),
        href="link:N",
        tooltip=[
            *tips("run:N claim:N test:N" if several else "claim:N test:N"),
            alt.Tooltip("asks:N", title="question"),
            "answer:N",
            *value_tips("effect", ".3f", "effect"),
            *tips("unit:N size:N"),
        ],
    )
    x = alt.X("at:Q", title="each unit on its own scale").scale(domain=[-1.05, 1.05], nice=False)
    x = x.axis(values=[0], format="d", grid=False, ticks=False)
    within = base.transform_filter("isValid(datum.within_low)").mark_bar(
        opacity=0.18, height=_ROW - 5
    )
    bars = base.transform_filter("isValid(datum.at_low)").mark_rule(strokeWidth=2)
    layers = [
        within.encode(x=alt.X("within_low:Q"), x2="within_high:Q", color=alt.value(CONTROL)),
        zero_line(table),
        bars.encode(x=alt.X("at_low:Q"), x2="at_high:Q"),
        base.mark_point(opacity=1, size=52).encode(x=x),
    ]
    if not several:
        # What is called wide is left out where there is no room for it.
        words = base.mark_text(align="left", style="wide", fontSize=11)
        ink = alt.value("currentColor")
        layers.append(words.encode(x=alt.value(width + 10), text="numbers:N", color=ink))
    return _facets(alt.layer(*layers), table, runs, several)


def _facets(layers: alt.LayerChart, table: pl.DataFrame, runs: list, several: bool) -> ChartType:
    claims = table["claim"].unique(maintain_order=True).to_list()
    heading = alt.Header(labelAngle=0, labelAlign="left", labelFontWeight=600, labelLimit=120)
    row = alt.Row("claim:N", title=None, sort=claims, header=heading)
    if several:
        column = alt.Column("run:N", title=None, sort=runs).header(labelLimit=200)
        found = layers.facet(row=row, column=column)
    else:
        found = layers.facet(row=row)
    return found.resolve_scale(y="independent").properties(spacing=3)


PLANS = (
    Plan(
        name="claims",
        section="findings",
        title="Every effect with its verdict",
        subtitle="bars: 95 % intervals; dashes: no more than the control, or the paper's bound; "
        "grey bands: too small to matter, as declared",
        reading="Right of the dashed line an observation (O-…) is what the paper reports, and a "
        "comparison (P…, E-…) is more than its control; within the grey band it is negligible.",
        control="Each row names its own; at 0 the measurement equals its control, or the bound "
        "that was declared for the observation.",
        absent="No row of a claim was run, so there are no effects to draw.",
        tables=made_from(effect_rows, lambda folder: folder.claims),
        chart=forest,
    ),
)

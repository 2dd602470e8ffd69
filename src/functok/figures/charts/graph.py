"""The token–feature graph: paper §3.1, Figure 5 and Table 1, and what frequency explains of them.

A token that occurs often reaches many features, whatever it is. The grey dashes show how many the
same number of random positions would reach.
"""

import altair as alt
import polars as pl
from altair.typing import ChartType

from functok.figures.plan import Plan, made_from, of_last_graph
from functok.figures.style import (
    CONTENT,
    CONTROL,
    DASHES,
    FUNCTION,
    HEIGHT,
    TOKEN_FONT,
    WIDTH,
    named,
    rank_axis,
    thinned,
    tips,
    token_labels,
    uncrowded,
    value_tips,
)

_RANDOM = "same number of random positions"


def degrees(degree: pl.DataFrame, labelled: int = 8) -> pl.DataFrame:
    """The tokens drawn: those of degree 1 or more (a log scale has no 0), the tail thinned.

    Args:
        degree: ``graph/step-…/degree.parquet``.
        labelled: how many tokens of highest degree are labelled, where there is room.

    Returns:
        ``degree`` with ``label``: the token; null for the others.
    """
    seen = degree.filter((pl.col("degree") > 0) & pl.col("class").is_in(["function", "content"]))
    top = seen.sort("degree", "rank", descending=[True, False]).head(labelled)["rank"].to_list()
    label = pl.when(pl.col("rank").is_in(top)).then(pl.col("token"))
    return uncrowded(thinned(seen.with_columns(label.alias("label"))), "rank", "degree")


def token_degree(table: pl.DataFrame) -> ChartType:
    """Degree against frequency rank, log-log, and the degree that frequency alone explains."""
    x = rank_axis("rank by frequency in the graph's text (log scale)")
    y = alt.Y("degree:Q", title="degree: features linked to the token (log scale)").scale(
        type="log"
    )
    base = alt.Chart(table, width=WIDTH, height=HEIGHT + 40).encode(
        x=x,
        tooltip=tips(
            "rank:Q token:N class:N",
            occurrences=",d",
            degree=",d",
            random_degree=(",.1f", _RANDOM),
        ),
    )
    colour = alt.Scale(domain=["function", "content", _RANDOM], range=[FUNCTION, CONTENT, CONTROL])
    return (
        base.mark_point(opacity=0.55, size=18).encode(y=y, color=alt.Color("class:N", scale=colour))
        + named(base.mark_line(strokeDash=DASHES).encode(y="random_degree:Q"), _RANDOM, colour)
        + token_labels(base, y, above=10, size=11)
    )


def coverage_by_rank(coverage: pl.DataFrame) -> pl.DataFrame:
    """``graph/step-…/coverage.parquet`` with ``label``: rank and token, unique on the axis."""
    ends = pl.col("of_active_low", "of_active_high").fill_nan(None)
    label = pl.format("{} {}", "rank", "token").alias("label")
    return coverage.select("rank", "token", label, "positions", "of_active", ends, "random")


def cumulative_coverage(table: pl.DataFrame) -> ChartType:
    """Share of the active features that the most frequent tokens reach together."""
    measured = "the most frequent tokens together"
    colour = alt.Scale(domain=[measured, _RANDOM], range=[FUNCTION, CONTROL])
    base = alt.Chart(table, width=WIDTH, height=HEIGHT).encode(
        x=alt.X("label:N", title="tokens added in order of frequency")
        .sort(None)
        .axis(labelAngle=-40, labelFont=TOKEN_FONT)
        .scale(domain=table["label"].to_list()),
        tooltip=[
            *tips("rank:Q token:N", positions=(",d", "positions so far")),
            *value_tips("of_active", ".1%", "coverage"),
            *tips(random=(".1%", _RANDOM)),
        ],
    )
    y = alt.Y("of_active:Q", title="share of the active features").axis(format=".0%")
    y = y.scale(domain=[0, 1])
    return (
        base.mark_area(opacity=0.2, color=FUNCTION).encode(
            y=alt.Y("of_active_low:Q"), y2="of_active_high:Q"
        )
        + named(base.mark_line(point=True).encode(y=y), measured, colour)
        + named(base.mark_line(point=True, strokeDash=DASHES).encode(y="random:Q"), _RANDOM, colour)
    )


PLANS = (
    Plan(
        name="token-degree",
        section="graph",
        title="Degree of each token",
        subtitle="dashed: the degree that frequency alone explains",
        reading="A token's height is the number of features that fire at it at least once; tokens "
        "with none are left out (log scale).",
        control="The dashed line is what the same number of random positions would reach: a "
        "point below it reaches fewer features than its frequency alone explains.",
        absent="The token–feature graph was not built.",
        tables=made_from(degrees, of_last_graph("degree")),
        chart=token_degree,
    ),
    Plan(
        name="cumulative-coverage",
        section="graph",
        title="Coverage of the most frequent tokens",
        subtitle="band: 95 % interval",
        reading="Each step to the right adds one token to the set; the height is the share of all "
        "active features that the set reaches.",
        control="The dashed line is the expected coverage of the same number of random "
        "positions, in closed form: the tokens are special only if the orange line departs from "
        "it.",
        absent="Coverage was not compared with random positions.",
        tables=made_from(coverage_by_rank, of_last_graph("coverage")),
        chart=cumulative_coverage,
    ),
)

"""Do features come back at function tokens: every feature instead of the paper's three (§3.2)."""

import altair as alt
import polars as pl
from altair.typing import ChartType

from functok.figures.plan import Plan, made_from
from functok.figures.style import CONTROL, DASHES, MEASURED, WIDTH, styled, with_intervals

_TRAINS = {"observed": "as they are", "shifted": "shifted around their documents"}
_COLOR = alt.Color("trains:N", title="activity of features").scale(
    domain=list(_TRAINS.values()), range=[MEASURED, CONTROL]
)


def rates_by_class(reactivation: pl.DataFrame) -> pl.DataFrame:
    """``retrieval/reactivation.parquet`` with a row per feature that was at risk in both classes.

    Returns:
        Columns trains (in words), feature, function, content (shares of the places at risk at
        which it came back), and events.
    """
    rate = pl.col("again") / pl.col("at_risk")
    whole = reactivation.group_by("trains", "feature").agg(
        *(
            rate.filter(pl.col("class") == name).first().alias(name)
            for name in ("function", "content")
        ),
        pl.col("again").sum().alias("events"),
    )
    return (
        whole.drop_nulls()
        .with_columns(pl.col("trains").replace_strict(_TRAINS))
        .sort("trains", "feature")
    )


def reactivation_rates(table: pl.DataFrame) -> ChartType:
    """One point per feature: how often it comes back at function and at content tokens."""
    largest = float(max(table["function"].max(), table["content"].max()))  # type: ignore[type-var]
    scale = alt.Scale(domain=[0, largest])
    points = (
        alt.Chart(table, width=WIDTH, height=WIDTH // 2)
        .mark_point(opacity=0.6, size=18)
        .encode(
            x=alt.X("content:Q", title="comes back at content tokens", scale=scale).axis(
                format="%"
            ),
            y=alt.Y("function:Q", title="at function tokens", scale=scale).axis(format="%"),
            color=_COLOR,
            tooltip=[
                "feature:N",
                "trains:N",
                alt.Tooltip("content:Q", format=".2%"),
                alt.Tooltip("function:Q", format=".2%"),
                alt.Tooltip("events:Q", title="re-activations"),
            ],
        )
    )
    diagonal = (
        alt.Chart(table)
        .transform_aggregate(rows="count()")
        .mark_rule(color=CONTROL, strokeDash=DASHES)
        .encode(
            x=alt.datum(0, scale=scale),
            y=alt.datum(0, scale=scale),
            x2=alt.datum(largest),
            y2=alt.datum(largest),
        )
    )
    return styled(
        diagonal + points,
        "Where features come back",
        "share of the places at which a feature that was active is active again; dashes: equal",
    )


def odds_in_words(odds: pl.DataFrame) -> pl.DataFrame:
    """``retrieval/reactivation_odds.parquet``, trains in words; what has no value is left out."""
    return odds.with_columns(pl.col("trains").replace_strict(_TRAINS)).filter(
        pl.col("odds_ratio").is_finite()
    )


def reactivation_odds(table: pl.DataFrame) -> ChartType:
    """The pooled odds ratio, raw and adjusted."""
    base = alt.Chart(table, width=WIDTH, height=120).encode(
        y=alt.Y("estimate:N", title=None, sort=["raw", "adjusted"]),
        yOffset=alt.YOffset("trains:N", sort=list(_TRAINS.values())),
        color=_COLOR,
        tooltip=[
            "trains:N",
            "estimate:N",
            alt.Tooltip("odds_ratio:Q", format=".3f", title="odds ratio"),
            alt.Tooltip("odds_ratio_low:Q", format=".3f", title="95 % from"),
            alt.Tooltip("odds_ratio_high:Q", format=".3f", title="to"),
        ],
    )
    scale = alt.Scale(type="log", nice=False, padding=20)
    x = alt.X("odds_ratio:Q", title="odds ratio, function against content", scale=scale)
    layers = alt.Chart(table).transform_aggregate(rows="count()").mark_rule(
        color=CONTROL, strokeDash=DASHES
    ).encode(x=alt.datum(1)) + with_intervals(base, x, "odds_ratio_low", "odds_ratio_high")
    return styled(
        layers,
        "Do features come back at function tokens?",
        "odds of re-activation at function against content tokens; bars: 95 %; dashes: equal odds",
    )


PLANS = (
    Plan(
        name="reactivation",
        section="retrieval",
        title="Where features come back",
        reading="Every point is a feature; above the dashes, one that had been active is likelier "
        "to be active again at a function token than at a content token. The paper shows three.",
        control="Grey are the same features with their activity in each document shifted around "
        "it: how often and how long they are active stays, the tie to the tokens is cut.",
        absent="Whether features come back at function tokens was not counted.",
        tables=made_from(rates_by_class, lambda folder: folder.retrieval("reactivation")),
        chart=reactivation_rates,
    ),
    Plan(
        name="reactivation-odds",
        section="retrieval",
        title="Do features come back at function tokens?",
        reading="Right of the dashes, the odds of coming back are higher at function tokens, with "
        "features as strata; adjusted, at the same lag, place in the document, rate of the feature "
        "and number of other features active.",
        control="Grey is the same for activity shifted around its document.",
        absent="No odds of coming back were estimated.",
        tables=made_from(odds_in_words, lambda folder: folder.retrieval("reactivation_odds")),
        chart=reactivation_odds,
    ),
)

"""Are features re-activated at function tokens: paper §3.2, for every feature instead of three."""

import altair as alt
import polars as pl
from altair.typing import ChartType

from functok.figures.plan import Plan, made_from
from functok.figures.style import (
    CONTROL,
    DASHES,
    MEASURED,
    WIDTH,
    tips,
    value_tips,
    with_intervals,
    zero_line,
)

SHOWN = 750
"""Features drawn at most: more points cover one another, and make the page heavy."""
_TRAINS = {"observed": "observed", "shifted": "shifted within documents"}
_ESTIMATES = {
    "by feature": "by feature",
    "held equal": "by feature, equal frequency and entropy",
    "matched pairs": "by feature, matched pairs",
    "raw": "pooled",
    "adjusted": "pooled, adjusted",
}
_COLOR = alt.Color("trains:N", title="activity of features").scale(
    domain=list(_TRAINS.values()), range=[MEASURED, CONTROL]
)


def rates_by_class(reactivation: pl.DataFrame) -> pl.DataFrame:
    """``retrieval/reactivation.parquet`` with a row per feature that was at risk in both classes.

    Returns:
        Columns trains (as in legends), feature, function, content (re-activations per position at
        risk), and events; of more than ``SHOWN`` features, so many drawn at random.
    """
    every = reactivation["feature"].unique().sort()
    shown = every.sample(min(SHOWN, len(every)), seed=0).implode()
    rate = pl.col("again") / pl.col("at_risk")
    rates = [
        rate.filter(pl.col("class") == name).first().alias(name) for name in ("function", "content")
    ]
    return (
        reactivation.filter(pl.col("feature").is_in(shown))
        .group_by("trains", "feature")
        .agg(*rates, pl.col("again").sum().alias("events"))
        .drop_nulls()
        .with_columns(pl.col("trains").replace_strict(_TRAINS))
        .sort("trains", "feature")
    )


def reactivation_rates(table: pl.DataFrame) -> ChartType:
    """One point per feature: re-activation rates at function and at content tokens."""
    largest = float(max(table["function"].max(), table["content"].max()))  # type: ignore[type-var]
    scale = alt.Scale(domain=[0, largest])
    title = "re-activation rate at {} tokens"
    x = alt.X("content:Q", title=title.format("content"), scale=scale).axis(format="%")
    y = alt.Y("function:Q", title=title.format("function"), scale=scale).axis(format="%")
    points = alt.Chart(table, width=WIDTH, height=WIDTH // 2).mark_point(opacity=0.6, size=18)
    once = alt.Chart(table).transform_aggregate(rows="count()")
    start, end = alt.datum(0, scale=scale), alt.datum(largest)
    diagonal = once.mark_rule(color=CONTROL, strokeDash=DASHES)
    return diagonal.encode(x=start, y=start, x2=end, y2=end) + points.encode(
        x=x,
        y=y,
        color=_COLOR,
        tooltip=[
            *tips("feature:N trains:N", content=".2%", function=".2%"),
            alt.Tooltip("events:Q", title="re-activations"),
        ],
    )


def odds_in_words(odds: pl.DataFrame) -> pl.DataFrame:
    """``retrieval/reactivation_odds.parquet`` with legend names: the odds ratios that are defined,
    not their differences."""
    return odds.filter(
        pl.col("odds_ratio").is_finite(), pl.col("trains").is_in([*_TRAINS])
    ).with_columns(
        pl.col("trains").replace_strict(_TRAINS), pl.col("estimate").replace_strict(_ESTIMATES)
    )


def reactivation_odds(table: pl.DataFrame) -> ChartType:
    """Odds ratios by feature and pooled over features."""
    height = 60 * table["estimate"].n_unique()
    base = alt.Chart(table, width=WIDTH, height=height).encode(
        y=alt.Y("estimate:N", title=None, sort=[*_ESTIMATES.values()]).axis(labelLimit=260),
        yOffset=alt.YOffset("trains:N", sort=list(_TRAINS.values())),
        color=_COLOR,
        tooltip=[*tips("trains:N estimate:N"), *value_tips("odds_ratio", ".3f", "odds ratio")],
    )
    scale = alt.Scale(type="log", nice=False, padding=20)
    x = alt.X("odds_ratio:Q", title="odds ratio, function over content", scale=scale)
    equal = zero_line(table, at=1.0)
    return equal + with_intervals(base, x, "odds_ratio_low", "odds_ratio_high")


PLANS = (
    Plan(
        name="reactivation",
        section="retrieval",
        folded=True,
        title="Re-activation by class",
        subtitle="share of positions at which a previously active feature is active again; "
        "dashes: equal",
        reading=f"Every point is a feature, at most {SHOWN} of them, drawn at random; above the "
        "dashes, a previously active feature is more likely to be active again at a function token "
        "than at a content token. The paper shows three features.",
        control="Grey points are the same features with their activity circularly shifted within "
        "each document: rate and duration are kept, the link to the tokens is cut.",
        absent="Re-activation was not measured.",
        tables=made_from(rates_by_class, lambda folder: folder.retrieval("reactivation")),
        chart=reactivation_rates,
    ),
    Plan(
        name="reactivation-odds",
        section="retrieval",
        title="Are features re-activated at function tokens?",
        subtitle="odds of re-activation, function over content tokens; bars: 95 %; dashes: equal "
        "odds",
        reading="To the right of the dashes, the odds of re-activation are higher at function "
        "tokens. By feature: the mean over features that promote what follows them, also with the "
        "tokens' frequency and next-token entropy held equal, and between types of equal "
        "frequency. Pooled: with features as strata; adjusted: at equal lag, position in the "
        "document, rate of the feature and number of other active features. Pooled odds ratios "
        "are uninformative for an SAE with a fixed number of active features.",
        control="Grey is the same for activity shifted within its document.",
        absent="No odds of re-activation were estimated.",
        tables=made_from(odds_in_words, lambda folder: folder.retrieval("reactivation_odds")),
        chart=reactivation_odds,
    ),
)

"""What features are about: one token, one class, or neither."""

import altair as alt
import polars as pl
from altair.typing import ChartType

from functok.figures.plan import NO_CONTROLS, Plan, made_from, of_control
from functok.figures.style import CONTROL, MEASURED, WIDTH, tips, value_tips, with_intervals

KINDS = {
    "token": "one token",
    "function": "function tokens",
    "content": "content tokens",
    "selective": "several tokens",
    "context": "context more than token",
    "indifferent": "no token in particular",
    "rare": "too rare to tell",
}
_SERIES = ("of the features", "of all firings")


def kind_rows(kinds: pl.DataFrame) -> pl.DataFrame:
    """Shares of features and of firings.

    Args:
        kinds: ``controls/feature_kinds.parquet``.

    Returns:
        Columns kind (in words), series, share with low and high (null for firings), features.
    """
    words, none = pl.col("kind").replace_strict(KINDS), pl.lit(None, pl.Float64)
    shares = (("share", "share_low", "share_high"), ("firings", none, none))
    return pl.concat(
        kinds.select(
            words, series=pl.lit(series), share=share, low=low, high=high, features="features"
        )
        for series, (share, low, high) in zip(_SERIES, shares, strict=True)
    )


def feature_kinds(table: pl.DataFrame) -> ChartType:
    """Every kind's share of the features, with its interval, and of the firings."""
    order = [words for words in KINDS.values() if words in table["kind"].unique()]
    base = alt.Chart(table, width=WIDTH - 60, height=32 * len(order)).encode(
        y=alt.Y("kind:N", title="about", sort=order).axis(labelLimit=240),
        yOffset=alt.YOffset("series:N", sort=_SERIES),
        color=alt.Color("series:N").scale(domain=_SERIES, range=[MEASURED, CONTROL]),
        tooltip=[
            *tips("kind:N series:N"),
            *value_tips("share", ".1%", "share", prefixed=False),
            *tips(features=",d"),
        ],
    )
    x = alt.X("share:Q", title="share").axis(format="%").scale(domainMin=0)
    return with_intervals(base, x, size=46)


PLANS = (
    Plan(
        name="feature-kinds",
        section="controls",
        folded=True,
        title="What features are about",
        subtitle="share of features that fire, and of all firings; bars: 95 % intervals",
        reading="Green is the share of features of a kind, grey their share of the activity; a "
        "token with features of its own has a higher degree for that reason alone.",
        control="The divergence of the same number of random positions is subtracted first; each "
        "effect is also given without single-token features.",
        absent=NO_CONTROLS,
        tables=made_from(kind_rows, of_control("feature_kinds")),
        chart=feature_kinds,
    ),
)

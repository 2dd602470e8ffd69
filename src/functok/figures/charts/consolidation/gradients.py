"""Whose loss drives the update: shares of the gradient by transition group."""

import altair as alt
import polars as pl
from altair.typing import ChartType

from functok.figures.plan import Plan, made_from
from functok.figures.style import (
    CONTROL,
    GROUP_SCALE,
    MEASURED,
    WIDTH,
    tips,
    value_tips,
    with_intervals,
)
from functok.tokens.counting.function_tokens import ARROWS

_SHARES = {"tokens": "tokens", "sgd": "gradient", "adam": "gradient, as Adam scales it"}
_COLOURS = [CONTROL, "#56b4e9", MEASURED]


def gradient_shares(gradients: pl.DataFrame) -> pl.DataFrame:
    """Shares of the tokens and of the gradient at the last checkpoint.

    Args:
        gradients: ``consolidation/gradients.parquet``.

    Returns:
        Columns transition, of (what is shared), share, share_low, share_high, signal_to_noise.
    """
    last = gradients.filter(
        pl.col("step").eq_missing(gradients["step"].max()),
        pl.col("block") == "all",
        pl.col("group").is_in(list(ARROWS)),
    )
    ends = ("", "_low", "_high")
    tokens = last.filter(optimiser="sgd").with_columns(
        pl.lit("tokens").alias("optimiser"),
        *(pl.col(f"share_of_tokens{end}").alias(f"share{end}") for end in ends),
        pl.lit(None, pl.Float64).alias("signal_to_noise"),
    )
    return pl.concat([tokens, last]).select(
        pl.col("group").replace_strict(ARROWS, return_dtype=pl.String).alias("transition"),
        pl.col("optimiser").replace_strict(_SHARES, return_dtype=pl.String).alias("of"),
        *(f"share{end}" for end in ends),
        "signal_to_noise",
    )


def gradient_share(table: pl.DataFrame) -> ChartType:
    """One point with its interval for each group and each of the three shares."""
    names = [*_SHARES.values()]
    base = alt.Chart(table, width=WIDTH, height=220).encode(
        y=alt.Y("transition:N", title=None, sort=list(GROUP_SCALE.domain)),
        yOffset=alt.YOffset("of:N", sort=names),
        color=alt.Color("of:N").scale(domain=names, range=_COLOURS),
        tooltip=[
            *tips("transition:N of:N"),
            *value_tips("share", ".1%", "share"),
            *tips(signal_to_noise=(".2f", "signal to noise of a micro-batch")),
        ],
    )
    x = alt.X("share:Q", title="share of the total").axis(format="%")
    return with_intervals(base, x, "share_low", "share_high")


PLANS = (
    Plan(
        name="gradient-share",
        section="consolidation",
        title="Shares of the gradient",
        subtitle="each group's share of the tokens, of the gradient of the mean loss, and of that "
        "gradient as Adam scales it; bars: 95 % over documents",
        reading="A group drives training if its share of the gradient is the largest. A share can "
        "be negative: then its updates undo those of the others.",
        control="Grey: its share if every token pulled equally hard. A large loss need not be a "
        "large gradient: what cannot be predicted is noise, which cancels between micro-batches.",
        absent="No gradients were measured (losses.gradients: 8000 in the study, functok "
        "gradients).",
        tables=made_from(gradient_shares, lambda folder: folder.consolidation("gradients")),
        chart=gradient_share,
    ),
)

"""The loss of single target tokens: paper §4.2, Figure 9c."""

import altair as alt
import polars as pl
from altair.typing import ChartType

from functok.figures.plan import Plan, made_from, one_model
from functok.figures.style import (
    ALL_TOKENS,
    HEIGHT,
    INK,
    TOKEN_FONT,
    WIDTH,
    steps_axis,
    tips,
    value_tips,
    with_intervals,
)

_COLOURS = ("#d55e00", "#0072b2", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")


def target_losses(targets: pl.DataFrame) -> pl.DataFrame:
    """The loss of single target tokens and of all tokens at each checkpoint.

    Args:
        targets: ``consolidation/loss_targets.parquet``.

    Returns:
        Columns step, target, tokens, mean, mean_low, mean_high (nats).
    """
    some = targets.filter(pl.col("kind") != "decile", pl.col("group") == "all")
    named = pl.when(pl.col("kind") == "all").then(pl.lit(ALL_TOKENS)).otherwise("target")
    means = pl.col("mean", "mean_low", "mean_high").fill_nan(None)
    return some.select("step", named.alias("target"), "tokens", means)


def target_loss(table: pl.DataFrame) -> ChartType:
    """Mean loss of each target token over checkpoints; of one model, a row for each."""
    names = table["target"].unique(maintain_order=True).to_list()
    others = [name for name in names if name != ALL_TOKENS]
    colours = [_COLOURS[place % len(_COLOURS)] for place in range(len(others))]
    scale = alt.Scale(domain=[*others, ALL_TOKENS], range=[*colours, INK])
    colour = alt.Color("target:N", scale=scale).legend(labelFont=TOKEN_FONT)
    base = alt.Chart(table, width=WIDTH).encode(
        tooltip=[
            *tips("step:Q target:N"),
            *value_tips("mean", ".3f", "mean loss, nats"),
            *tips(tokens=(",d", "times predicted")),
        ]
    )
    if one_model(table):
        y = alt.Y("target:N", title=None, sort=names).axis(labelFont=TOKEN_FONT)
        rows = base.encode(y=y, color=colour.legend(None)).properties(height=28 * len(names))
        x = alt.X("mean:Q", title="mean held-out loss, nats").scale(zero=False)
        return with_intervals(rows, x, "mean_low", "mean_high", size=70)
    lines = base.encode(x=steps_axis(table["step"]), color=colour).properties(height=HEIGHT)
    y = alt.Y("mean:Q", title="mean held-out loss, nats").scale(zero=False)
    area = lines.mark_area(opacity=0.2).encode(y=alt.Y("mean_low:Q"), y2="mean_high:Q")
    return area + lines.mark_line(point=True).encode(y=y)


PLANS = (
    Plan(
        name="target-loss",
        section="consolidation",
        folded=True,
        title="Loss of single target tokens",
        subtitle="bands: 95 % intervals",
        reading="Each line is the mean loss where that token is predicted. The paper's Figure 9c "
        "shows that frequent function tokens fall early and far.",
        control="The line of all tokens. Frequent tokens are learned early whatever their class: "
        "loss_targets.parquet has the deciles of frequency, by group.",
        alone=(
            "bars: 95 % intervals",
            "Each dot is the mean loss where that token is predicted.",
            "The dot of all tokens. loss_targets.parquet has the deciles of frequency, by group.",
        ),
        absent="No target tokens are named (losses.targets in the study).",
        tables=made_from(target_losses, lambda folder: folder.consolidation("loss_targets")),
        chart=target_loss,
    ),
)

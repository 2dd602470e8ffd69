"""The loss by transition group: paper §4.2, Figure 9, and a floor that it lacks.

A group's loss is bounded below by how unpredictable its targets are. The Kneser–Ney bigram, which
knows only word pairs, shows how much of a difference between groups comes from the text itself.
"""

import altair as alt
import numpy as np
import polars as pl
from altair.typing import ChartType

from functok.figures.plan import Plan, made_from, one_model
from functok.figures.style import (
    ALL_TOKENS,
    CONTROL,
    DASHES,
    GROUP_SCALE,
    HEIGHT,
    LOSS_SCALE,
    WIDTH,
    course_axis,
    log_x,
    spread,
    tips,
    value_tips,
    with_intervals,
)
from functok.tokens.counting.function_tokens import ARROWS

_LOSS = "loss"
"""The bar of a model without steps."""
_LINES = ARROWS | {"all": ALL_TOKENS}
"""What is drawn of a loss: the four groups and their mean."""
_LINE = alt.Color("transition:N", scale=LOSS_SCALE)
_MEAN = pl.col("loss_sum").sum() / pl.col("count").sum()


def _arrows() -> pl.Expr:
    return pl.col("group").replace_strict(_LINES, return_dtype=pl.String).alias("transition")


def training_losses(training: pl.DataFrame, bins: int = 48) -> pl.DataFrame:
    """The training loss in bins of steps, about evenly long on a log scale.

    Args:
        training: ``consolidation/training.parquet``: loss_sum (nats) and count by step and group.
        bins: how many at most.

    Returns:
        Columns step (mean over the bin), first_step, last_step, transition (the four, then all
        tokens), mean (nats), count.
    """
    kept = training.filter(pl.col("group").is_in(list(ARROWS)) & (pl.col("count") > 0))
    together = kept.with_columns(pl.lit("all").alias("group"))
    kept = pl.concat([kept, together])
    edges = np.unique(np.geomspace(1, training["step"].to_numpy().max() + 1, bins + 1).round())
    return (
        kept.with_columns(_arrows(), pl.Series("bin", np.digitize(kept["step"].to_numpy(), edges)))
        .group_by("transition", "bin", maintain_order=True)
        .agg(
            pl.col("step").mean(),
            pl.col("step").min().alias("first_step"),
            pl.col("step").max().alias("last_step"),
            _MEAN.alias("mean"),
            pl.col("count").sum(),
        )
        .drop("bin")
    )


def training_loss(table: pl.DataFrame) -> ChartType:
    """Mean training loss by transition group, and of all tokens, over steps."""
    line = alt.Chart(table, width=WIDTH, height=HEIGHT).mark_line(point=alt.OverlayMarkDef(size=14))
    return line.encode(
        x=log_x("step", "training step (log scale)").axis(format="~s", labelOverlap=True),
        y=alt.Y("mean:Q", title="mean training loss, nats").scale(zero=False),
        color=_LINE,
        tooltip=[
            *tips("transition:N"),
            alt.Tooltip("first_step:Q", title="from step"),
            alt.Tooltip("last_step:Q", title="to step"),
            *tips(mean=(".3f", "mean loss, nats"), count=(",d", "tokens")),
        ],
    )


def held_out_losses(summary: pl.DataFrame, floors: pl.DataFrame) -> pl.DataFrame:
    """Held-out losses by group and of all tokens at each checkpoint, with the floor of each.

    Args:
        summary: ``consolidation/loss_summary.parquet``.
        floors: ``consolidation/floors.parquet``: loss_sum (nats) and count by group.

    Returns:
        Columns step, tokens_read (where the summary has it), transition, mean, mean_low, mean_high,
        floor; all in nats.
    """
    both = pl.concat([floors, floors.with_columns(pl.lit("all").alias("group"))])
    by_group = both.group_by("group").agg(_MEAN.alias("floor"))
    return (
        summary.filter(pl.col("group").is_in(list(_LINES)))
        .join(by_group, on="group", how="left", maintain_order="left")
        .select(
            "step",
            *("tokens_read" for name in summary.columns if name == "tokens_read"),
            _arrows(),
            pl.col("mean", "mean_low", "mean_high", "floor").fill_nan(None),
        )
    )


def held_out_loss(table: pl.DataFrame) -> ChartType:
    """Mean held-out loss by transition group over checkpoints, above the bigram's."""
    if one_model(table):
        return _held_out_dots(table)
    bigram = (".3f", "Kneser–Ney bigram, nats")
    base = alt.Chart(table, width=WIDTH, height=HEIGHT).encode(
        x=course_axis(table),
        color=_LINE,
        tooltip=[
            *tips("step:Q transition:N"),
            *value_tips("mean", ".3f", "mean loss, nats"),
            *tips(floor=bigram),
        ],
    )
    floors = alt.Chart(table).mark_rule(strokeDash=DASHES, strokeWidth=1.5, opacity=0.8)
    return (
        base.mark_area(opacity=0.2).encode(y=alt.Y("mean_low:Q"), y2="mean_high:Q")
        + base.mark_line(point=True).encode(
            y=alt.Y("mean:Q", title="mean held-out loss, nats").scale(zero=False)
        )
        + floors.encode(
            y="min(floor):Q", color=_LINE, tooltip=tips("transition:N", **{"min(floor)": bigram})
        )
    )


def _held_out_dots(table: pl.DataFrame) -> ChartType:
    """One model's losses, a row for each group."""
    base = alt.Chart(table, width=WIDTH, height=150).encode(
        y=alt.Y("transition:N", title=None, sort=list(_LINES.values())),
        color=alt.Color("transition:N", scale=LOSS_SCALE, legend=None),
        tooltip=[
            "transition:N",
            *value_tips("mean", ".3f", "mean loss, nats"),
            alt.Tooltip("floor:Q", format=".3f", title="Kneser–Ney bigram, nats"),
        ],
    )
    x = alt.X("mean:Q", title="mean held-out loss, nats").scale(zero=False)
    floor = base.mark_tick(color=CONTROL, thickness=2, size=22).encode(
        x="floor:Q", color=alt.value(CONTROL)
    )
    return floor + with_intervals(base, x, "mean_low", "mean_high", size=70)


def loss_shares(summary: pl.DataFrame, most: int = 12) -> pl.DataFrame:
    """Each group's share of the total loss at up to ``most`` checkpoints, and of the tokens.

    Args:
        summary: ``consolidation/loss_summary.parquet``.
        most: checkpoints drawn.

    Returns:
        Columns bar (``tokens`` or the step), transition, order, share, share_low, share_high.
    """
    groups = summary.filter(pl.col("group").is_in(list(ARROWS)))
    last = groups["step"].max()
    steps = spread(sorted(groups["step"].drop_nulls().unique().to_list()), most)

    def bars(part: pl.DataFrame, bar: pl.Expr, share: str) -> pl.DataFrame:
        ends = pl.col(share, f"{share}_low", f"{share}_high").fill_nan(None)
        renamed = ends.name.replace(f"^{share}", "share")
        order = pl.col("group").replace_strict({name: i for i, name in enumerate(ARROWS)})
        return part.select(bar.alias("bar"), _arrows(), order.alias("order"), renamed)

    of_last = groups.filter(pl.col("step").eq_missing(last))
    tokens = bars(of_last, pl.lit("tokens"), "share_of_tokens")
    drawn = groups.filter(pl.col("step").is_null() | pl.col("step").is_in(steps))
    loss = bars(
        drawn.sort("step", maintain_order=True),
        pl.format("{}", pl.col("step")).fill_null(_LOSS),
        "share_of_loss",
    )
    return pl.concat([tokens, loss])


def loss_share(table: pl.DataFrame) -> ChartType:
    """The shares as stacked bars, first the share of the tokens.

    The borders of a stack are sums, so intervals would mislead; they are in the tooltip and in the
    table.
    """
    bars = table.filter(pl.col("bar") != "tokens")["bar"].unique(maintain_order=True)
    title = "tokens, then the loss" + ("" if _alone(table) else " at each training step")
    return (
        alt.Chart(table, width=WIDTH, height=HEIGHT)
        .mark_bar()
        .encode(
            x=alt.X("bar:N", title=title)
            .scale(domain=["tokens", " ", *bars])
            .axis(labelAngle=0, labelOverlap=True),
            y=alt.Y("share:Q", title="share of the total").axis(format=".0%").scale(domain=[0, 1]),
            color=alt.Color("transition:N", scale=GROUP_SCALE),
            order="order:Q",
            tooltip=[
                alt.Tooltip("bar:N", title="bar"),
                "transition:N",
                *value_tips("share", ".1%", "share"),
            ],
        )
    )


def _alone(table: pl.DataFrame) -> bool:
    return _LOSS in table["bar"]


PLANS = (
    Plan(
        name="training-loss",
        section="consolidation",
        folded=True,
        title="Training loss by transition group",
        reading="Each line is the mean loss of the next-token predictions of one group, or of "
        "all, binned over steps.",
        control="None here: compare with the held-out loss and its floors below.",
        absent="No model was trained here, so there is no training loss.",
        tables=made_from(training_losses, lambda folder: folder.consolidation("training")),
        chart=training_loss,
    ),
    Plan(
        name="held-out-loss",
        section="consolidation",
        title="Held-out loss by transition group",
        subtitle="bands: 95 % intervals; dashed: a Kneser–Ney bigram on the same tokens",
        reading="The distance of a line from its own dashed line is what the model lacks or has "
        "learned beyond word pairs; its height is mostly the unpredictability of the text.",
        control="Each dashed line is the loss of a Kneser–Ney bigram on the same tokens.",
        alone=(
            "bars: 95 % intervals; grey ticks: a Kneser–Ney bigram on the same tokens",
            "The distance of a dot from its own tick is what the model knows beyond word pairs of "
            "this corpus; its place is mostly the unpredictability of the text.",
            "Each grey tick is the loss of a Kneser–Ney bigram on the same tokens, counted in the "
            "rest of this corpus alone.",
        ),
        absent="The held-out loss was not split by transition group.",
        tables=made_from(
            held_out_losses,
            lambda folder: folder.consolidation("loss_summary"),
            lambda folder: folder.consolidation("floors"),
        ),
        chart=held_out_loss,
    ),
    Plan(
        name="loss-share",
        section="consolidation",
        title="Shares of the loss",
        subtitle=lambda table: (
            "each group's share of the tokens, then its share of the loss"
            + ("" if _alone(table) else " at each checkpoint")
        ),
        reading="The first bar divides the tokens, the others the loss, at each checkpoint if "
        "there are several; a group with a growing share improves more slowly than the others.",
        control="The first bar is each group's share if all tokens were equally hard.",
        absent="The held-out loss was not split by transition group.",
        tables=made_from(loss_shares, lambda folder: folder.consolidation("loss_summary")),
        chart=loss_share,
    ),
)

"""What dropping a transition group's targets costs: arms against their controls, over seeds."""

import altair as alt
import polars as pl
from altair.typing import ChartType

from functok.figures.plan import Plan, made_from
from functok.figures.style import (
    MEASURED,
    WIDTH,
    tips,
    value_tips,
    with_intervals,
    zero_line,
)

_OUTCOMES = {
    ("answer", "content"): "answers after content tokens",
    ("loss", "all"): "held-out text",
}
_COLOURS = [MEASURED, "#56b4e9"]
_ROW = 38
"""Pixels of a comparison."""


def differences(effects: pl.DataFrame) -> pl.DataFrame:
    """The differences that are drawn.

    Args:
        effects: ``consolidation/arm_effects.parquet``.

    Returns:
        Columns comparison (arm − control), of (which loss), difference with difference_low and
        difference_high (nats), seeds.
    """
    parts = [
        effects.filter(outcome=outcome, group=group).select(
            pl.format("{} − {}", "arm", "control").alias("comparison"),
            pl.lit(name).alias("of"),
            *("difference", "difference_low", "difference_high", "seeds"),
        )
        for (outcome, group), name in _OUTCOMES.items()
    ]
    return pl.concat(parts)


def arm_effects(table: pl.DataFrame) -> ChartType:
    """One point with its interval for each comparison and loss."""
    order = table["comparison"].unique(maintain_order=True).to_list()
    names = [*_OUTCOMES.values()]
    base = alt.Chart(table, width=WIDTH, height=_ROW * len(order)).encode(
        y=alt.Y("comparison:N", title=None, sort=order).axis(labelLimit=260),
        yOffset=alt.YOffset("of:N", sort=names),
        color=alt.Color("of:N").scale(domain=names, range=_COLOURS),
        tooltip=[
            *tips("comparison:N of:N"),
            *value_tips("difference", ".3f", "difference, nats"),
            *tips("seeds:Q"),
        ],
    )
    x = alt.X("difference:Q", title="loss of the arm − loss of its control, nats")
    return zero_line(table) + with_intervals(base, x, "difference_low", "difference_high")


PLANS = (
    Plan(
        name="arm-effects",
        section="consolidation",
        title="What does dropping a group's targets cost?",
        subtitle="the same model trained from the same weights on the same text in the same order, "
        "with some targets dropped; bars: 95 % over seeds; dashes: no difference",
        reading="Function→content predictions teach more than others if the arm that drops them "
        "stands to the right of every arm that drops as much elsewhere.",
        control="Arms that drop targets of the other groups with the same sum of loss, excess or "
        "gradient over all of training. Against plain training any drop costs something.",
        absent="No arms were trained (arms: {} in the study, functok counterfactual).",
        tables=made_from(differences, lambda folder: folder.consolidation("arm_effects")),
        chart=arm_effects,
    ),
)

"""Does a swap change the answer to the right other one? The tiny world, for §3.2.

One row per set of positions, with the whole residual stream, the SAE's features and random features
of equal norm.
"""

import altair as alt
import polars as pl
from altair.typing import ChartType

from functok.calibration.summary import METHODS, swaps_by_place
from functok.figures.plan import NO_WORLD, Plan, made_from
from functok.figures.style import CONTROL, DASHES, INK, MEASURED, tips, value_tips, with_intervals


def swap_success(table: pl.DataFrame) -> ChartType:
    """Share of the swaps that give the source's answer, by place and method."""
    methods = list(METHODS.values())
    order = table.unique("place").sort("place_order")["place"].to_list()
    base = alt.Chart(table, width=250, height=34 * len(order)).encode(
        y=alt.Y("place:N", title=None, sort=order, axis=alt.Axis(labelLimit=260)),
        yOffset=alt.YOffset("method:N", sort=methods),
        color=alt.Color("method:N", sort=methods).scale(
            domain=methods, range=[INK, MEASURED, CONTROL]
        ),
        tooltip=[
            *tips("latent:N place:N method:N"),
            *value_tips("iia", ".3f", "swapped"),
            *tips("prompts:Q facts:Q"),
        ],
    )
    x = alt.X("iia:Q", title="answers swapped").scale(domain=[0, 1]).axis(format="%")
    line = alt.Chart(table).transform_aggregate(chance="mean(chance)")
    chance = line.mark_rule(color=CONTROL, strokeDash=DASHES).encode(x="chance:Q")
    layers = alt.layer(with_intervals(base, x, "iia_low", "iia_high"), chance)
    return layers.facet(column=alt.Column("latent:N", title=None))


PLANS = (
    Plan(
        name="world-swaps",
        section="world",
        title="Which swap changes the answer",
        subtitle="share of answers that become the source prompt's; bars: 95 % over facts; "
        "dashes: chance",
        reading="Each prompt's entity or language is exchanged for another's at the tokens named "
        "on the left; at 100 % every answer became the right one for the other prompt. If "
        "function tokens work only in the last position, the position matters, not the class.",
        control="Grey adds the same number of random features at equal norm; dashes are the rate "
        "of a random answer to the same question.",
        absent=NO_WORLD,
        tables=made_from(swaps_by_place, lambda folder: folder.retrieval("world_swaps")),
        chart=swap_success,
    ),
)

"""At which layer does a prompt carry its trait over to other prompts: paper §3.2, Appendix A.

The residual stream of the trait prompt at its last function token is added to test prompts, layer
by layer; beside it a random direction of the same norm.
"""

import altair as alt
import polars as pl
from altair.typing import ChartType

from functok.figures.plan import Plan, made_from
from functok.figures.style import CONTROL, DASHES, MEASURED, spread, tips, value_tips

_NAMES = {"success": "the trait's residual stream", "control": "a random direction of equal norm"}
TOGETHER = "all traits together"
_COLUMNS, _WIDTH, _HEIGHT = 2, 270, 150


def layers_of_traits(layers: pl.DataFrame, traits: pl.DataFrame) -> pl.DataFrame:
    """Success by trait, layer and direction.

    Args:
        layers: ``retrieval/traits_by_layer.parquet``.
        traits: ``retrieval/traits.parquet``.

    Returns:
        Columns trait, layer, direction, share, share_low, share_high, plain (share without
        steering), prompts, and sae and feature at the layer at which a feature was found.
    """
    parts = [
        layers.select(
            pl.col("trait").fill_null(TOGETHER),
            "layer",
            pl.lit(words).alias("direction"),
            pl.col(name).alias("share"),
            pl.col(f"{name}_low").alias("share_low"),
            pl.col(f"{name}_high").alias("share_high"),
            *("plain", "prompts"),
        )
        for name, words in _NAMES.items()
    ]
    found = traits.select("trait", "layer", "sae", "feature").drop_nulls("feature")
    return pl.concat(parts).join(found, on=["trait", "layer"], how="left", maintain_order="left")


def success_by_layer(table: pl.DataFrame) -> ChartType:
    """One panel per trait: shares with intervals by layer; a ring where a feature was found."""
    order, names = table["trait"].unique(maintain_order=True).to_list(), list(_NAMES.values())
    ticks = spread(sorted(set(table["layer"])), 12)
    base = alt.Chart(table, width=_WIDTH, height=_HEIGHT).encode(
        x=alt.X("layer:Q", title="layer").axis(values=ticks, format="d").scale(nice=False),
        color=alt.Color("direction:N").scale(domain=names, range=[MEASURED, CONTROL]),
        tooltip=[
            *tips("trait:N layer:Q direction:N"),
            *value_tips("share", ".0%", "show the trait"),
            *tips("prompts:Q sae:N feature:Q"),
        ],
    )
    y = alt.Y("share:Q", title="test prompts").axis(format="%").scale(domain=[0, 1])
    ends = base.mark_rule(opacity=0.5).encode(y=alt.Y("share_low:Q"), y2="share_high:Q")
    ring = (
        base.transform_filter(f"isValid(datum.feature) && datum.direction === {names[0]!r}")
        .mark_point(size=160, filled=False, color="black", opacity=1)
        .encode(y=y, color=alt.value("black"))
    )
    plain = alt.Chart(table).transform_aggregate(plain="mean(plain)")
    dashes = plain.mark_rule(color=CONTROL, strokeDash=DASHES).encode(y="plain:Q")
    points = base.mark_line(point=True).encode(y=y)
    layers = alt.layer(ends, points, ring, dashes)
    return layers.facet(alt.Facet("trait:N", title=None, sort=order), columns=_COLUMNS)


PLANS = (
    Plan(
        name="trait-layers",
        section="retrieval",
        title="At which layer does a prompt carry its trait over?",
        subtitle="share of test prompts whose answer shows the trait; bars: 95 % over test "
        "prompts; dashes: without steering",
        reading="At each layer the trait prompt's residual stream at its last function token was "
        "added to test prompts at theirs; a ring marks the layer whose SAE was searched for the "
        "trait's feature, where one was found.",
        control="Grey is a random direction of the same norm at the same token, dashes are the "
        "unsteered model.",
        absent="No trait was searched for: the study names none, or the model does not show it.",
        tables=made_from(
            layers_of_traits,
            lambda folder: folder.retrieval("traits_by_layer"),
            lambda folder: folder.retrieval("traits"),
        ),
        chart=success_by_layer,
    ),
)

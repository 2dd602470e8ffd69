"""Which token of a prompt activates which feature: paper §3.2, Figure 6.

Columns are positions, not tokens: a token that occurs twice has two columns. Its name is below
them, in the colour of its class.
"""

from collections.abc import Callable

import altair as alt
import polars as pl
from altair.typing import ChartType

from functok.figures.plan import NO_WORLD, Plan, read
from functok.figures.style import CLASS_SCALE, MEASURED, TOKEN_FONT, styled
from functok.retrieval.prompts.trace import strongest
from functok.runtime.store import RunFolder

_COLUMN, _ROW = 26, 18
_SHOWN = 90
"""Characters of the prompt in a static figure's subtitle."""


def traced(trace: pl.DataFrame, features: int) -> pl.DataFrame:
    """The cells drawn, and every position of the prompt once.

    Args:
        trace: one prompt's rows of ``retrieval/traces.parquet``.
        features: how many, see ``retrieval.trace.strongest``.

    Returns:
        Columns prompt, text, position, token, class, row (from 0; features in the order in which
        they first fire), feature, activation, first, density; and one row without a feature for
        each position, for its name.
    """
    chosen = strongest(trace, features)
    rows = pl.DataFrame({"feature": chosen, "row": range(len(chosen))}).with_columns(
        pl.col("feature").cast(trace.schema["feature"]), pl.col("row").cast(pl.Int64)
    )
    columns = ["prompt", "text", "position", "token", "class"]
    cells = trace.join(rows, on="feature", how="inner", maintain_order="left").select(
        *columns, "row", "feature", "activation", "first", "density"
    )
    positions = trace.select(columns).unique("position", maintain_order=True).sort("position")
    return pl.concat([positions, cells], how="diagonal").select(cells.columns)


def trace_heat_map(table: pl.DataFrame) -> ChartType:
    """Features × positions, coloured by activation; a green edge where a feature first fires."""
    positions = table["position"].unique().sort().to_list()
    cells = table.filter(pl.col("feature").is_not_null()).unique("row").sort("row")
    order = cells["feature"].to_list()
    width, height = _COLUMN * len(positions), _ROW * max(len(order), 1)
    x = alt.X("position:O", title=None).scale(domain=positions, paddingInner=0.06)
    base = alt.Chart(table, width=width, height=height)
    heat = (
        base.transform_filter("isValid(datum.feature)")
        .mark_rect()
        .encode(
            x=x.axis(labels=False, ticks=False, domain=False),
            y=alt.Y("feature:O", title="feature").scale(domain=order, paddingInner=0.06),
            color=alt.Color("activation:Q")
            .scale(zero=True)
            .legend(title="activation", orient="right", gradientLength=min(height, 160)),
            stroke=alt.condition("datum.first", alt.value(MEASURED), alt.value(None)),
            strokeWidth=alt.value(1.6),
            tooltip=[
                "position:Q",
                "token:N",
                "class:N",
                "feature:O",
                alt.Tooltip("activation:Q", format=".2f"),
                alt.Tooltip("first:N", title="fires here first"),
                alt.Tooltip("density:Q", format=".2%", title="active in the corpus at"),
            ],
        )
    )
    names = (
        base.transform_filter("!isValid(datum.feature)")
        .mark_text(angle=300, align="right", baseline="middle", fontSize=11, font=TOKEN_FONT)
        .encode(
            x=x,
            y=alt.value(height + 10),
            text="token:N",
            color=alt.Color("class:N", scale=CLASS_SCALE),
            tooltip=["position:Q", "token:N", "class:N"],
        )
    )
    text = " ".join(str(table["text"][0]).split())
    shown = text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"
    # A long prompt is scrolled rather than squeezed: ``scroll`` tells the report to.
    layers = alt.layer(heat, names).resolve_scale(color="independent")
    return styled(
        layers.properties(usermeta={"scroll": True}),
        "Which token activates which feature",
        shown,
    )


def each_trace(name: str) -> Callable[[RunFolder, int], list[pl.DataFrame]]:
    """One table per prompt of the traces called ``name``."""

    def tables(folder: RunFolder, features: int) -> list[pl.DataFrame]:
        found = read(folder.retrieval(name))
        parts = [] if found is None else found.partition_by("prompt", maintain_order=True)
        return [traced(part, features) for part in parts]

    return tables


PLANS = (
    Plan(
        name="trace",
        section="retrieval",
        title="Which token activates which feature",
        reading="Columns are the prompt's positions, rows the features with the highest "
        "activations, in the order in which they first fire (green edge); further cells in a row "
        "are re-activations.",
        control="None: a trace is an illustration. Rows that fire at orange and blue tokens "
        "alike are evidence against a special role of function tokens.",
        absent="No prompt was traced.",
        tables=each_trace("traces"),
        chart=trace_heat_map,
    ),
    Plan(
        name="world-trace",
        section="world",
        title="Which token activates which feature",
        reading="Columns are the prompt's positions, rows the features with the highest "
        "activations, in the order in which they first fire; the two prompts differ in one word, "
        "the entity that they ask about.",
        control="None: a trace is an illustration.",
        absent=NO_WORLD,
        tables=each_trace("world_traces"),
        chart=trace_heat_map,
    ),
)

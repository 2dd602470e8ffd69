"""Two prompts' features compared: paper §3.2, Figure 6."""

from collections.abc import Callable

import altair as alt
import polars as pl
from altair.typing import ChartType

from functok.figures.plan import NO_WORLD, Plan, read
from functok.figures.style import CLASS_SCALE, TOKEN_FONT, styled
from functok.retrieval.prompts.trace_pairs import paired
from functok.runtime.store import RunFolder

_COLUMN, _ROW = 26, 18
_MORE_FIRST, _EQUAL, _MORE_SECOND = "#762a83", "#f7f7f7", "#1b7837"


def differences(traces: pl.DataFrame, features: int) -> list[pl.DataFrame]:
    """The first prompt compared with each of the others.

    Args:
        traces: ``retrieval/traces.parquet``.
        features: how many, see ``retrieval.trace_pairs.paired``.

    Returns:
        For each other prompt the columns of ``paired``, and text (both prompts).
    """
    first, *others = traces.partition_by("prompt", maintain_order=True)
    found = [
        paired(first, other, features).with_columns(
            text=pl.lit(f"{first['text'][0]} → {other['text'][0]}")
        )
        for other in others
    ]
    return [table for table in found if table["feature"].count()]


def trace_difference(table: pl.DataFrame) -> ChartType:
    """Features × pairs of positions: green if the second prompt has more, purple if the first."""
    columns = table["column"].unique().sort().to_list()
    order = table.drop_nulls("feature").unique("row").sort("row")["feature"].to_list()
    largest = float(table["difference"].abs().max())  # type: ignore[arg-type]
    height = _ROW * len(order)
    x = alt.X("column:O", title=None).scale(domain=columns, paddingInner=0.06)
    base = alt.Chart(table, width=_COLUMN * len(columns), height=height)
    heat = (
        base.transform_filter("isValid(datum.feature)")
        .mark_rect()
        .encode(
            x=x.axis(labels=False, ticks=False, domain=False),
            y=alt.Y("feature:O", title="feature").scale(domain=order, paddingInner=0.06),
            color=alt.Color("difference:Q")
            .scale(
                domain=[-largest, 0, largest],
                range=[_MORE_FIRST, _EQUAL, _MORE_SECOND],
            )
            .legend(title="difference", orient="right", gradientLength=min(height, 160)),
            tooltip=[
                "token:N",
                "class:N",
                "feature:O",
                alt.Tooltip("first:Q", format=".2f", title="in the first prompt"),
                alt.Tooltip("second:Q", format=".2f", title="in the second"),
            ],
        )
    )
    names = (
        base.transform_aggregate(groupby=["column", "token", "class"])
        .mark_text(angle=300, align="right", baseline="middle", fontSize=11, font=TOKEN_FONT)
        .encode(
            x=x,
            y=alt.value(height + 10),
            text="token:N",
            color=alt.Color("class:N", scale=CLASS_SCALE),
        )
    )
    layers = alt.layer(heat, names).resolve_scale(color="independent")
    return styled(
        layers.properties(usermeta={"scroll": True}),
        "Differences between two prompts",
        " ".join(str(table["text"][0]).split()),
    )


def first_compared(name: str) -> Callable[[RunFolder, int], list[pl.DataFrame]]:
    """The first prompt's trace compared with each other prompt's."""

    def tables(folder: RunFolder, features: int) -> list[pl.DataFrame]:
        found = read(folder.retrieval(name))
        return [] if found is None else differences(found, features)

    return tables


PLANS = (
    Plan(
        name="trace-difference",
        section="retrieval",
        title="Differences between two prompts",
        reading="Columns are aligned tokens of the two prompts; a cell is green if the feature "
        "is stronger in the second prompt and purple if in the first. Colour to the right of the "
        "words that differ is context carried forward.",
        control="Columns to the left of the first difference: nothing can differ there.",
        absent="Fewer than two prompts were traced, so none were compared.",
        tables=first_compared("traces"),
        chart=trace_difference,
    ),
    Plan(
        name="world-trace-difference",
        section="world",
        title="Differences between two prompts",
        reading="Green if a feature is stronger in the second prompt, purple if in the first: at "
        "the entity itself, and at positions to its right that carry it.",
        control="Columns to the left of the entity: nothing can differ there.",
        absent=NO_WORLD,
        tables=first_compared("world_traces"),
        chart=trace_difference,
    ),
)

"""Which token of a prompt activates which feature, and how prompts differ: paper §3.2, Figure 6.

Columns are positions, not tokens: a token that occurs twice has two columns. Its name is below
them, under a bar in the colour of its class. Under the pointer, a cell or a token shows its row and
its column alone; a click keeps them, a double click frees them.
"""

from collections.abc import Sequence

import altair as alt
import polars as pl
from altair.typing import ChartType

from functok.figures.plan import NO_WORLD, Plan, Tables, read, with_labels
from functok.figures.style import (
    CLASS_COLOUR,
    INK,
    MEASURED,
    TOKEN_FONT,
    feature_axis,
    tips,
)
from functok.retrieval.prompts.trace import how_many, rows_shown
from functok.retrieval.prompts.trace_pairs import paired
from functok.runtime.store import RunFolder

_COLUMN, _ROW, _BAR = 26, 18, 4
_PALE = 0.25
"""Opacity of what is not in the row and the column under the pointer."""
_SHOWN = 90
"""Characters of the prompt in a static figure's subtitle."""
_MORE_FIRST, _EQUAL, _MORE_SECOND = "#762a83", "#f7f7f7", "#1b7837"


def traced(
    trace: pl.DataFrame, features: int | Sequence[int], folder: RunFolder | None = None
) -> pl.DataFrame:
    """The cells drawn, and every position of the prompt once.

    Args:
        trace: one prompt's rows of ``retrieval/traces.parquet``.
        features: which, or how many, see ``prompts.trace.rows_shown``.
        folder: of the run, whose graph has names for its features, see ``plan.with_labels``.

    Returns:
        Columns prompt, text, position, token, class, row (from 0; features as named, or in the
        order in which they first fire), feature, activation, first, density; one row without a
        feature for each position, for its name; and one without a position for each feature named
        that fires nowhere in the prompt.
    """
    chosen = rows_shown(trace, features)
    rows = pl.DataFrame({"feature": chosen, "row": range(len(chosen))}).with_columns(
        pl.col("feature").cast(trace.schema["feature"]), pl.col("row").cast(pl.Int64)
    )
    columns = ["prompt", "text", "position", "token", "class"]
    cells = trace.join(rows, on="feature", how="inner", maintain_order="left").select(
        *columns, "row", "feature", "activation", "first", "density"
    )
    positions = trace.select(columns).unique("position", maintain_order=True).sort("position")
    silent = rows.join(cells, on="feature", how="anti", maintain_order="left")
    found = pl.concat([positions, cells, silent], how="diagonal").select(cells.columns)
    return with_labels(found, folder)


def trace_heat_map(table: pl.DataFrame) -> ChartType:
    """Features × positions, coloured by activation; a green edge where a feature first fires."""
    heat, below, height = _heat(table, "position")
    heat = heat.encode(
        color=alt.Color("activation:Q")
        .scale(zero=True)
        .legend(title="activation", orient="right", gradientLength=min(height, 160)),
        stroke=alt.condition("datum.first", alt.value(MEASURED), alt.value(None)),
        strokeWidth=alt.value(1.6),
        tooltip=[
            *tips("position:Q token:N class:N label:N", activation=".2f"),
            alt.Tooltip("first:N", title="fires here first"),
            *tips(density=(".2%", "active in the corpus at")),
        ],
    )
    below = below.transform_filter("!isValid(datum.feature)")
    return scrolled(heat, below.encode(tooltip=tips("position:Q token:N class:N")), height)


def differences(
    traces: pl.DataFrame, features: int | Sequence[int], folder: RunFolder | None = None
) -> list[pl.DataFrame]:
    """The first prompt compared with each of the others.

    Args:
        traces: ``retrieval/traces.parquet``.
        features: which, or how many, see ``prompts.trace_pairs.paired``.
        folder: see ``traced``.

    Returns:
        For each other prompt the columns of ``paired``, text (both prompts) and label.
    """
    first, *others = traces.partition_by("prompt", maintain_order=True)
    found = [
        paired(first, other, features).with_columns(
            text=pl.lit(f"{first['text'][0]} → {other['text'][0]}")
        )
        for other in others
    ]
    return [with_labels(table, folder) for table in found if table["feature"].count()]


def trace_difference(table: pl.DataFrame) -> ChartType:
    """Features × pairs of positions: green if the second prompt has more, purple if the first."""
    largest = float(table["difference"].abs().max())  # type: ignore[arg-type]
    heat, below, height = _heat(table, "column")
    heat = heat.encode(
        color=alt.Color("difference:Q")
        .scale(domain=[-largest, 0, largest], range=[_MORE_FIRST, _EQUAL, _MORE_SECOND])
        .legend(title="difference", orient="right", gradientLength=min(height, 160)),
        tooltip=tips(
            "token:N class:N label:N",
            first=(".2f", "in the first prompt"),
            second=(".2f", "in the second"),
        ),
    )
    below = below.transform_aggregate(groupby=["column", "token", "class"])
    return scrolled(heat, below, height)


def _heat(table: pl.DataFrame, column: str) -> tuple[alt.Chart, alt.Chart, int]:
    """A cell for each feature and ``column``, what stands below the columns, and the height."""
    columns = table[column].drop_nulls().unique().sort().to_list()
    order = table.drop_nulls("feature").unique("row").sort("row")["label"].to_list()
    height = _ROW * max(len(order), 1)
    x = alt.X(f"{column}:O", title=None).scale(domain=columns, paddingInner=0.06)
    # With a name of its own, what it is called does not depend on the charts made before.
    base = alt.Chart(table, width=_COLUMN * len(columns), height=height, name="cells")
    placed = f"isValid(datum.feature) && isValid(datum.{column})"
    cells = base.transform_filter(placed).mark_rect()
    points = {
        f"{event}_{field}": alt.selection_point(
            name=f"{event}_{field}", fields=[field], on=event, clear=clear
        )
        for event, clear in (("pointerover", "pointerout"), ("click", "dblclick"))
        for field in ("label", column)
    }
    over, kept = (
        points[f"{event}_label"] | points[f"{event}_{column}"] for event in ("pointerover", "click")
    )
    shown = alt.when(over & kept).then(alt.value(1)).otherwise(alt.value(_PALE))
    return (
        cells.encode(
            x=x.axis(labels=False, ticks=False, domain=False),
            y=feature_axis(order).scale(domain=order, paddingInner=0.06),
            opacity=shown,
        ).add_params(*points.values()),
        alt.Chart(table).encode(x=x),
        height,
    )


def scrolled(heat: ChartType, below: alt.Chart, height: int) -> ChartType:
    """The cells with class and name of each column below them; a long prompt is scrolled rather
    than squeezed: ``scroll`` tells the report to."""
    top = height + 4
    bars = below.mark_rect().encode(y=alt.value(top), y2=alt.value(top + _BAR), color=CLASS_COLOUR)
    names = below.mark_text(
        angle=300, align="right", baseline="middle", fontSize=11, font=TOKEN_FONT, limit=120
    ).encode(y=alt.value(top + _BAR + 8), text="token:N", color=alt.value(INK))
    layers = alt.layer(heat, bars, names).resolve_scale(color="independent")
    return layers.properties(usermeta={"scroll": True})


def _prompts(table: pl.DataFrame, longest: int = _SHOWN) -> str:
    """The prompts in one line."""
    text = " ".join(str(table["text"][0]).split())
    return text if len(text) <= longest else text[: longest - 1] + "…"


def _traced(table: pl.DataFrame) -> str:
    return f"{_prompts(table)} (green edge: where a feature fires first)"


def _compared(table: pl.DataFrame) -> str:
    return f"{_prompts(table, 2 * _SHOWN)} (green: more in the second prompt; purple: in the first)"


def each_trace(name: str, judged: bool = True) -> Tables:
    """One table per prompt of the traces called ``name``, of the SAE of the judged graph or not."""

    def tables(folder: RunFolder, features: int | Sequence[int]) -> list[pl.DataFrame]:
        found = read(folder.retrieval(name))
        parts = [] if found is None else found.partition_by("prompt", maintain_order=True)
        return [traced(part, features, folder if judged else None) for part in parts]

    return tables


def first_compared(name: str, judged: bool = True) -> Tables:
    """The first prompt's trace compared with each other prompt's; as ``each_trace``."""

    def tables(folder: RunFolder, features: int | Sequence[int]) -> list[pl.DataFrame]:
        found = read(folder.retrieval(name))
        where = folder if judged else None
        return [] if found is None else differences(found, features, where)

    return tables


def as_many(tables: Tables) -> Tables:
    """``tables`` of another SAE than that whose features a study names: as many of its own."""

    def counted(folder: RunFolder, features: int | Sequence[int]) -> list[pl.DataFrame]:
        return tables(folder, how_many(features))

    return counted


PLANS = (
    Plan(
        name="trace",
        section="retrieval",
        title="Which token activates which feature",
        subtitle=_traced,
        reading="Columns are the prompt's positions, rows the features that the study names, or "
        "those that vary most within the prompt, in the order in which they first fire; a green "
        "edge is where a feature fires first, further cells in a row are re-activations.",
        control="None: a trace is an illustration. Rows that fire at orange and blue tokens "
        "alike are evidence against a special role of function tokens.",
        absent="No prompt was traced.",
        tables=each_trace("traces"),
        chart=trace_heat_map,
    ),
    Plan(
        name="world-trace",
        section="world",
        folded=True,
        title="Which token activates which feature",
        subtitle=_traced,
        reading="Columns are the prompt's positions, rows the features that vary most within the "
        "prompt, in the order in which they first fire; the two prompts differ in one word, the "
        "entity that they ask about.",
        control="None: a trace is an illustration.",
        absent=NO_WORLD,
        tables=as_many(each_trace("world_traces", judged=False)),
        chart=trace_heat_map,
    ),
    Plan(
        name="trace-difference",
        section="retrieval",
        folded=True,
        title="Differences between two prompts",
        subtitle=_compared,
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
        folded=True,
        title="Differences between two prompts",
        subtitle=_compared,
        reading="Green if a feature is stronger in the second prompt, purple if in the first: at "
        "the entity itself, and at positions to its right that carry it.",
        control="Columns to the left of the entity: nothing can differ there.",
        absent=NO_WORLD,
        tables=as_many(first_compared("world_traces", judged=False)),
        chart=trace_difference,
    ),
)

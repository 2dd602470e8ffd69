"""Coverage along several orders of the tokens, by types and by positions
(``docs/methods.md#orders``).

The same curve twice: against how many tokens are in the set, where frequent tokens look strong,
and against how many positions they use up, where frequency is paid for.
"""

import altair as alt
import numpy as np
import polars as pl
from altair.typing import ChartType

from functok.figures.plan import Plan, made_from, of_last_graph
from functok.figures.style import CONTROL, FUNCTION, HEIGHT, MEASURED, WIDTH, tips

_COLOURS = {
    "frequency": FUNCTION,
    "degree": "#e69f00",
    "greedy": "#cc79a7",
    "greedy per occurrence": MEASURED,
    "random": CONTROL,
}
_TICKS = [10.0**power for power in range(-7, 1)]
"""One for each power of ten: more have no room for their labels."""
_BY = {"share_of_types": "share of the token types", "share_of_positions": "share of positions"}


def orders(cover: pl.DataFrame, most: int = 120) -> pl.DataFrame:
    """``cover.parquet`` in long form, each curve thinned to about ``most`` points.

    Returns:
        Columns ordering, by (what the share is of), share, of_active.
    """
    parts = []
    for curve in cover.partition_by("ordering", maintain_order=True):
        size = len(curve)
        places = np.unique(np.geomspace(1, size, most).round().astype(int)) - 1
        shares = curve.with_columns(
            share_of_types=pl.col("rank") / size,
            share_of_positions=pl.col("positions") / pl.col("positions").max(),
        )[places.tolist()]
        parts += [
            shares.select(
                "ordering", pl.lit(title).alias("by"), pl.col(name).alias("share"), "of_active"
            )
            for name, title in _BY.items()
        ]
    return pl.concat(parts)


def cover_orders(table: pl.DataFrame) -> ChartType:
    """Share of the active features reached, along each order."""
    present = [name for name in _COLOURS if name in table["ordering"].unique()]
    colour = alt.Scale(domain=present, range=[_COLOURS[name] for name in present])
    line = alt.Chart(table, width=WIDTH // 2 - 20, height=HEIGHT - 60).mark_line()
    return (
        line.encode(
            x=alt.X("share:Q", title=None).scale(type="log").axis(values=_TICKS, format="~%"),
            y=alt.Y("of_active:Q", title="share of the active features").axis(format=".0%"),
            color=alt.Color("ordering:N", scale=colour),
            tooltip=[*tips("ordering:N", share=".2%"), "of_active:Q"],
        )
        .facet(column=alt.Column("by:N", title=None, sort=list(_BY.values())))
        .resolve_scale(x="independent")
    )


PLANS = (
    Plan(
        name="cover-orders",
        section="graph",
        folded=True,
        title="Coverage along five orders of the tokens",
        subtitle="log scales; left: as many tokens, right: as many positions",
        reading="A higher curve reaches more features with the same share of types (left) or of "
        "positions (right); adding tokens by frequency is orange.",
        control="Grey adds tokens at random; green and pink are greedy, close to the best that "
        "any set of tokens can do.",
        absent="Orders of the tokens were not compared.",
        tables=made_from(orders, of_last_graph("cover")),
        chart=cover_orders,
    ),
)

"""One figure of several runs: their charts below one another, on common axes."""

from collections.abc import Mapping
from dataclasses import replace
from textwrap import wrap

import altair as alt
import polars as pl
from altair.typing import ChartType

from functok.figures.catalogue import Figure
from functok.figures.charts.claims import forest, on_scales

_EFFECTS = "claims"
"""The figure with a column for each run."""


def together(figures: Mapping[str, Figure]) -> Figure:
    """The figures of one plan as one.

    Args:
        figures: by the name of the run.

    Returns:
        The figure; its table has the name of the run in the column ``run``.
    """
    first = next(iter(figures.values()))
    tables = [
        figure.table.select(pl.lit(name).alias("run"), pl.all()) for name, figure in figures.items()
    ]
    table = pl.concat(tables, how="diagonal_relaxed")
    if first.name == _EFFECTS:
        table = on_scales(table).with_columns(link=pl.format("#claim-{}", "claim"))
        chart: ChartType = forest(table)
    else:
        charts = [_named(name, figure) for name, figure in figures.items()]
        chart = alt.vconcat(*charts, spacing=24).resolve_scale(
            x="shared", y="shared", color="independent"
        )
    subtitle = first.plan.words_under(first.table) if first.name == _EFFECTS else ""
    plan = replace(first.plan, chart=lambda _: chart, subtitle=subtitle, alone=None)
    return Figure(first.name, plan, table)


def stands_alone(figure: Figure) -> bool:
    """Whether a figure shares no axes with those of other runs: that of one prompt, which has its
    own tokens and features."""
    return bool(figure.specification.get("usermeta", {}).get("scroll"))


def _named(name: str, figure: Figure) -> ChartType:
    """A run's chart under its name, with what it says of itself."""
    under = wrap(figure.plan.words_under(figure.table), 100)
    heading = alt.TitleParams(name, subtitle=under, fontSize=13, subtitleFontSize=11)
    return figure.plan.chart(figure.table).properties(title=heading)

"""Write figures to disk: .png and .svg, with the data that they show as .parquet."""

from collections.abc import Iterable
from typing import Any

import polars as pl
import vl_convert
from altair.typing import ChartType

from functok.figures.catalogue import PLANS, Figure
from functok.figures.charts.graph import degrees
from functok.runtime.store import RunFolder, write_table, write_text, writing

_SCALE = 2
"""Pixels of the PNG per pixel of the chart."""


def specification(chart: ChartType) -> dict[str, Any]:
    """The Vega-Lite specification with its data in it."""
    return chart.to_dict()


def draw(figures: Iterable[Figure], folder: RunFolder) -> None:
    """Write every figure under ``figures/``, and remove those of an earlier drawing."""
    kept = set()
    for figure in figures:
        spec = specification(figure.chart)
        # No address is allowed: a specification must contain all that is needed to draw it.
        svg = vl_convert.vegalite_to_svg(spec, allowed_base_urls=[])
        write_text(folder.figure(figure.name, "svg"), svg)
        with writing(folder.figure(figure.name, "png")) as temporary:
            temporary.write_bytes(vl_convert.svg_to_png(svg, scale=_SCALE))
        write_table(folder.figure(figure.name, "parquet"), figure.table.to_arrow())
        kept |= {folder.figure(figure.name, suffix) for suffix in ("png", "svg", "parquet")}
    place = folder.figure("any", "png").parent
    for left in set(place.glob("*.*")) - kept if place.is_dir() else ():
        left.unlink()


def degree_figure(degree: pl.DataFrame, graph: str) -> Figure:
    """Figure 5 of a graph that was built outside a study.

    Args:
        degree: its ``degree.parquet``.
        graph: its name; several graphs of one model have a figure each.
    """
    plan = next(plan for plan in PLANS if plan.name == "token-degree")
    table = degrees(degree)
    return Figure(f"{plan.name}-{graph}", plan, table, plan.chart(table))

"""Figures on disk: .png and .svg for people, the .parquet behind them for everyone else."""

from collections.abc import Iterable
from typing import Any

import vl_convert
from altair.typing import ChartType

from functok.figures.catalogue import Figure
from functok.store import RunFolder, write_table, write_text, writing

_SCALE = 2
"""Pixels of the PNG per pixel of the chart."""


def specification(chart: ChartType) -> dict[str, Any]:
    """The Vega-Lite specification with its data in it."""
    return chart.to_dict()


def draw(figures: Iterable[Figure], folder: RunFolder) -> None:
    """Write every figure under ``figures/``; those of an earlier drawing that are gone, go."""
    kept = set()
    for figure in figures:
        spec = specification(figure.chart)
        # No address is allowed: what a specification holds must suffice to draw it.
        svg = vl_convert.vegalite_to_svg(spec, allowed_base_urls=[])
        write_text(folder.figure(figure.name, "svg"), svg)
        with writing(folder.figure(figure.name, "png")) as temporary:
            temporary.write_bytes(vl_convert.svg_to_png(svg, scale=_SCALE))
        write_table(folder.figure(figure.name, "parquet"), figure.table.to_arrow())
        kept |= {folder.figure(figure.name, suffix) for suffix in ("png", "svg", "parquet")}
    place = folder.figure("any", "png").parent
    for left in set(place.glob("*.*")) - kept if place.is_dir() else ():
        left.unlink()

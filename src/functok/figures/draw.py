"""Write figures to disk: .png and .svg, with the data that they show as .parquet."""

import json
import re
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from textwrap import wrap
from typing import Any

import vl_convert

from functok.figures.catalogue import PLANS, Figure, figures
from functok.figures.glyphs import fonts_note
from functok.runtime.store import RunFolder, remove_file, write_table, write_text, writing

_OURS = re.compile(
    rf"({'|'.join(re.escape(plan.name) for plan in PLANS)})(-\d+)?\.(png|svg|parquet)"
)
_SCALE = 2
"""Pixels of the PNG per pixel of the chart."""


def draw(drawn: Iterable[Figure], folder: RunFolder) -> None:
    """Write every figure under ``figures/``, and remove those of an earlier drawing.

    Only names that figures have are removed: a user's own file there stays.
    """
    kept = {place for figure in drawn for place in write_figure(figure, folder)}
    for left in set(folder.figures.iterdir()) - kept if folder.figures.is_dir() else ():
        if _OURS.fullmatch(left.name) and (left.is_file() or left.is_symlink()):
            remove_file(left)


def write_figure(figure: Figure, folder: RunFolder) -> list[Path]:
    """Write one figure; where its files lie."""
    svg = picture(figure)
    write_text(folder.figure(figure.name, "svg"), svg)
    with writing(folder.figure(figure.name, "png")) as temporary:
        temporary.write_bytes(vl_convert.svg_to_png(svg, scale=_SCALE))
    write_table(folder.figure(figure.name, "parquet"), figure.table.to_arrow())
    return [folder.figure(figure.name, suffix) for suffix in ("png", "svg", "parquet")]


def picture(figure: Figure) -> str:
    """The figure as SVG."""
    # No address is allowed: a specification must contain all that is needed to draw it.
    return vl_convert.vegalite_to_svg(_with_note(figure.specification), allowed_base_urls=[])


def draw_some(
    names: Collection[str], folder: RunFolder, features: int | Sequence[int]
) -> list[Path]:
    """Write the figures of these names, as far as the run has their tables; where they lie."""
    found = figures(folder, features, names)
    return [place for figure in found for place in write_figure(figure, folder)]


def _with_note(spec: dict[str, Any]) -> dict[str, Any]:
    """The specification with a line under its title where this machine lacks a font for it."""
    note = fonts_note(json.dumps(spec, ensure_ascii=False))
    title = spec.get("title")
    if note is None or not isinstance(title, dict):
        return spec
    lines = [*title.get("subtitle", []), *wrap(note, 100)]
    return {**spec, "title": {**title, "subtitle": lines}}

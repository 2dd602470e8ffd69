"""One figure for a paper: as wide as a journal's column, with its data beside it.

Titles are left out: what they say belongs in the caption. A chart is drawn anew for its width, so
that its letters keep their size; what cannot become narrow enough, such as a long legend, is then
made smaller as a whole.
"""

import json
import re
from pathlib import Path
from typing import Any

import vl_convert

from functok.figures.catalogue import Figure
from functok.figures.glyphs import fonts_note
from functok.figures.sample import sample
from functok.runtime.errors import require
from functok.runtime.store import RunFolder, write_table, write_text, writing

INCHES = {"single": 3.25, "double": 6.75}
"""Of a journal's column, and of both."""
SUFFIXES = (".pdf", ".svg", ".png")
_PIXELS, _POINTS, _DOTS = 96, 72, 300
"""Per inch: of a chart, of a page, of a PNG."""
_LEAST, _LEAST_OF_TRACE = 0.1, 0.5
"""Shares to which a chart's own width is reduced at most; the tokens below a trace need theirs."""
_NARROW = 480
"""Pixels below which the entries of a legend stand below one another."""
_SIZE = re.compile(r'(<svg [^>]*?)width="([\d.]+)" height="([\d.]+)"')


def check_place(path: Path) -> None:
    """Refuse a file that no figure can be written to.

    Raises:
        UserError: for another ending, or a folder that does not exist.
    """
    require(
        path.suffix in SUFFIXES,
        f"{path} ends in {path.suffix!r}; figures are written as {', '.join(SUFFIXES[:-1])} or "
        f"{SUFFIXES[-1]}.",
    )
    require(path.absolute().parent.is_dir(), f"There is no folder {path.parent}; create it first.")


def write_for_paper(figure: Figure, path: Path, inches: float) -> Path:
    """Write ``figure`` to ``path``, as its ending says and ``inches`` wide; where its data lie.

    Raises:
        UserError: see ``check_place``.
    """
    check_place(path)
    svg = _of_width(figure.specification, inches * _PIXELS)
    if path.suffix == ".svg":
        write_text(path, _sized(svg, inches, "in"))
    else:
        page = _sized(svg, inches * _POINTS)
        pdf = path.suffix == ".pdf"
        with writing(path) as temporary:
            temporary.write_bytes(
                vl_convert.svg_to_pdf(page) if pdf else vl_convert.svg_to_png(page, ppi=_DOTS)
            )
    data = path.with_suffix(".parquet")
    write_table(data, figure.table.to_arrow())
    return data


def caption(figure: Figure, folder: RunFolder) -> list[str]:
    """What the picture of a run does not say itself: title, how to read it, its control, what
    stands behind it, missing fonts."""
    title = figure.specification.get("title", {})
    under = " ".join(title.get("subtitle", []))
    first = f"{title.get('text', figure.plan.title)}{f': {under}' if under else ''}"
    note = fonts_note(json.dumps(figure.specification, ensure_ascii=False))
    more = [one for one in (sample(figure, folder), note) if one]
    return [f"{first.rstrip('.')}.", *figure.plan.words(figure.table), *more]


def _of_width(spec: dict[str, Any], pixels: float) -> str:
    """The chart without titles, as near to ``pixels`` as its views' own widths can bring it."""
    bare = {name: value for name, value in spec.items() if name != "title"}
    if pixels < _NARROW:
        config = bare.get("config", {})
        bare["config"] = {**config, "legend": {**config.get("legend", {}), "columns": 1}}
    lowest = _LEAST_OF_TRACE if spec.get("usermeta", {}).get("scroll") else _LEAST
    whole, near, least = (_width(_drawn(_scaled(bare, share))) for share in (1.0, 0.9, lowest))
    if whole - near < 1:  # nothing in it has a width of its own
        return _drawn(bare)
    wanted = max(pixels, least)  # beside a legend that is wider, no chart is narrower than need be
    return _drawn(_scaled(bare, max(1 + 0.1 * (wanted - whole) / (whole - near), lowest)))


def _drawn(spec: dict[str, Any]) -> str:
    # No address is allowed: a specification must contain all that is needed to draw it.
    return vl_convert.vegalite_to_svg(spec, allowed_base_urls=[])


def _scaled(view: dict[str, Any], share: float) -> dict[str, Any]:
    """``view`` with the widths of all its views multiplied."""
    found = dict(view)
    if isinstance(found.get("width"), int | float):
        found["width"] = found["width"] * share
    for parts in ("layer", "concat", "hconcat", "vconcat"):
        if parts in found:
            found[parts] = [_scaled(part, share) for part in found[parts]]
    if isinstance(found.get("spec"), dict):  # of a facet
        found["spec"] = _scaled(found["spec"], share)
    return found


def _width(svg: str) -> float:
    found = _SIZE.search(svg)
    assert found is not None
    return float(found[2])


def _sized(svg: str, width: float, unit: str = "") -> str:
    """The same picture at another width; what it shows keeps its proportions."""
    share = width / _width(svg)

    def now(found: re.Match[str]) -> str:
        return f'{found[1]}width="{width:g}{unit}" height="{float(found[3]) * share:g}{unit}"'

    return _SIZE.sub(now, svg, count=1)

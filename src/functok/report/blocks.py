"""A figure as a block of the page: the chart, how to read it, its control and its data."""

import base64
from collections.abc import Sequence

from functok.figures.catalogue import Figure
from functok.figures.sample import sample
from functok.report.faces import face_links
from functok.report.markup import escaped, folded, identity, script_json, table
from functok.runtime.store import RunFolder

ROWS = 50
"""Most rows of a table in the page; the Parquet file has all of them."""


def figure_block(figure: Figure, folder: RunFolder) -> str:
    """The block of a run's figure; of the SAE whose folder it is."""
    path = folder.figure(figure.name, "parquet").relative_to(folder.root).as_posix()
    named: dict[int, str] = {}
    if {"feature", "label"} <= {*figure.table.columns}:
        named = dict(figure.table.select("feature", "label").drop_nulls().iter_rows())
    return block(
        figure,
        folder.figure(figure.name, "svg").read_bytes(),
        f'<a href="{escaped(path)}">{escaped(path)}</a>',
        sample(figure, folder),
        face_links(folder, named),
        folder.sae and f"SAE {folder.sae}",
    )


def block(
    figure: Figure, svg: bytes, place: str, behind: str, links: str = "", run: str | None = None
) -> str:
    """The block of a figure.

    Args:
        figure: what is shown.
        svg: the static picture, which is shown until the chart is drawn, and if scripts do not run.
        place: where all rows of its data are, as HTML.
        behind: how much stands behind it (``figures/sample.py``).
        links: to the features that it names, as HTML.
        run: which SAE or run it is of, where there are several.
    """
    spec = dict(figure.specification)
    subtitle = " ".join(spec.pop("title", {}).get("subtitle", []))
    reading, control = figure.plan.words(figure.table)
    title = figure.plan.title + (f": {run}" if run else "")
    name = identity("spec", figure.name, *([run] if run else []))
    rows = min(ROWS, len(figure.table))
    data = folded(
        f"Data: {rows:,d} of {len(figure.table):,d} rows; all in {place}",
        table(figure.table.drop("text", "link", strict=False), limit=ROWS),
    )
    counted = f" <b>Sample.</b> {escaped(behind)}" if behind else ""
    alternative = escaped(". ".join(filter(None, (title, subtitle, reading))))
    picture = base64.b64encode(svg).decode("ascii")
    return (
        f'<h3 id="{identity("figure", name)}">{escaped(title)}</h3>'
        f'<figure data-chart="{name}"><div><p class="sub">{escaped(subtitle)}</p>'
        f'<div class="chart" role="img" aria-label="{alternative}">'
        f'<img alt="" src="data:image/svg+xml;base64,{picture}"></div></div>'
        f"<figcaption><p><b>Reading.</b> {escaped(reading)}</p>"
        f"<p><b>Control.</b> {escaped(control)}{counted}</p>{links}</figcaption></figure>{data}"
        f'<script type="application/json" id="{name}">{script_json(spec)}</script>'
    )


def blocks(figures: Sequence[Figure], folder: RunFolder) -> str:
    """The main figures, and below them, folded, the others."""
    main = [figure for figure in figures if not figure.folded]
    others = [figure for figure in figures if figure.folded]
    shown = "".join(figure_block(figure, folder) for figure in main)
    if not others:
        return shown
    titles = "; ".join(dict.fromkeys(figure.plan.title for figure in others))
    more = "".join(figure_block(figure, folder) for figure in others)
    return shown + folded(f"<b>More figures.</b> {escaped(titles)}", more, kind="more")
